use super::{Memory, Sink, Size, Stop};
use crate::packages::fetch::http::{Client, HttpError, Policy};
use crate::packages::fetch::url::Url;
use applbuild_test_support::http_server::{Reply, Server};
use appliance_contract::causes::WithCauses as _;
use std::time::Duration;

/// Retries without a wait.
fn client() -> Client {
    let none = Duration::ZERO;
    Client::with_proxies(Policy { retries: 3, first_wait: none, longest_wait: none, ..Policy::default() }, None, None)
}

fn body() -> Vec<u8> {
    (0..300_000u32).flat_map(|number| number.to_le_bytes()).collect()
}

fn fetch(server: &Server, size: Size) -> Result<Vec<u8>, HttpError> {
    resume(server, Vec::new(), size)
}

fn resume(server: &Server, here: Vec<u8>, size: Size) -> Result<Vec<u8>, HttpError> {
    let mut sink = Memory(here);
    client().fetch(&Url::parse(&server.url("file")).unwrap(), &mut sink, size, &Stop::default())?;
    Ok(sink.0)
}

fn exactly() -> Size {
    Size::Exactly(body().len() as u64)
}

#[test]
fn a_good_server_is_asked_once_and_told_who_asks() {
    let server = Server::start(|request| Reply::file(request, &body()));
    assert_eq!(fetch(&server, exactly()).unwrap(), body());
    assert_eq!(fetch(&server, Size::AtMost(2_000_000)).unwrap(), body());
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].header("user-agent").unwrap().starts_with("applbuild/"));
    assert_eq!(requests[0].header("accept-encoding"), Some("identity"));
}

#[test]
fn passing_errors_are_repeated() {
    for status in [408, 429, 500, 502, 503, 504] {
        let server = Server::start(move |request| match request.before {
            0 | 1 => Reply::status(status, "Retry-After: 7\r\n"),
            _ => Reply::file(request, &body()),
        });
        assert_eq!(fetch(&server, exactly()).unwrap(), body(), "{status}");
        assert_eq!(server.requests().len(), 3);
    }
}

#[test]
fn lasting_errors_are_not() {
    for status in [403, 404, 410, 400, 401] {
        let server = Server::start(move |_| Reply::status(status, ""));
        let said = fetch(&server, exactly()).unwrap_err().with_causes();
        assert!(said.contains(&status.to_string()) && said.contains(&server.url("file")), "{said}");
        assert_eq!(server.requests().len(), 1);
    }
    let missing = Server::start(|_| Reply::status(404, ""));
    assert!(matches!(fetch(&missing, exactly()), Err(HttpError::NotThere { .. })));
}

#[test]
fn a_server_that_never_recovers_is_given_up() {
    let server = Server::start(|_| Reply::status(503, ""));
    let said = fetch(&server, exactly()).unwrap_err().with_causes();
    assert!(said.contains("gave up after 4 attempts") && said.contains("the server answered 503"), "{said}");
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn a_transfer_that_breaks_off_goes_on_where_it_was() {
    let server = Server::start(|request| match request.before {
        0 => Reply::file(request, &body()).cut(100_000),
        1 => Reply::file(request, &body()).cut(50_000),
        _ => Reply::file(request, &body()),
    });
    assert_eq!(fetch(&server, exactly()).unwrap(), body());
    let asked: Vec<_> = server.requests().iter().map(|request| request.header("range").map(str::to_owned)).collect();
    assert_eq!(asked, [None, Some("bytes=100000-".into()), Some("bytes=150000-".into())]);
    assert_eq!(server.requests()[1].header("if-range"), Some("\"one\""));
}

#[test]
fn what_an_earlier_run_left_is_taken_up() {
    let server = Server::start(|request| Reply::file(request, &body()));
    assert_eq!(resume(&server, body()[..1000].to_vec(), exactly()).unwrap(), body());
    assert_eq!(server.requests()[0].header("range"), Some("bytes=1000-"));
    // The file is complete: no request is sent.
    assert_eq!(resume(&server, body(), exactly()).unwrap(), body());
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_server_without_ranges_or_with_a_newer_file_sends_all_of_it() {
    let server = Server::start(|request| match request.before {
        0 => Reply::file(request, &body()).cut(100_000),
        _ => Reply::whole(&body()),
    });
    assert_eq!(fetch(&server, exactly()).unwrap(), body());
    assert_eq!(resume(&server, vec![9; 500], exactly()).unwrap(), body());
}

#[test]
fn another_range_than_the_one_asked_for_is_not_used() {
    for range in
        ["", "Content-Range: bytes 0-9/10\r\n", "Content-Range: octets\r\n", "Content-Range: bytes 500-9/10\r\n"]
    {
        let server = Server::start(move |request| match request.before {
            0 => Reply::sized(206, &body()[500..], range),
            _ => Reply::file(request, &body()),
        });
        assert_eq!(resume(&server, vec![9; 500], exactly()).unwrap(), body(), "{range:?}");
        assert_eq!(server.requests()[1].header("range"), None);
    }
}

#[test]
fn a_range_that_the_server_has_not_begins_again() {
    let server = Server::start(|request| match request.header("range") {
        Some(_) => Reply::status(416, ""),
        None => Reply::whole(&body()),
    });
    assert_eq!(resume(&server, vec![9; 500], exactly()).unwrap(), body());
}

#[test]
fn more_than_is_expected_is_refused_at_once() {
    let announced = Server::start(|request| Reply::file(request, &[7; 1001]));
    assert!(matches!(fetch(&announced, Size::Exactly(1000)), Err(HttpError::Size { expected: 1000, found: 1001, .. })));
    assert!(matches!(fetch(&announced, Size::AtMost(1000)), Err(HttpError::TooLarge { most: 1000, .. })));
    let endless = Server::start(|_| Reply::endless(&[7; 4096]));
    assert!(matches!(fetch(&endless, Size::Exactly(10_000)), Err(HttpError::Size { expected: 10_000, .. })));
    assert!(fetch(&endless, Size::AtMost(10_000)).is_err());
    assert_eq!(endless.requests().len(), 2);
}

#[test]
fn less_than_is_expected_is_named() {
    let announced = Server::start(|request| Reply::file(request, &[7; 999]));
    assert!(matches!(fetch(&announced, Size::Exactly(1000)), Err(HttpError::Size { expected: 1000, found: 999, .. })));
    let cut = Server::start(|request| Reply::file(request, &[7; 1000]).cut(0));
    let said = fetch(&cut, Size::Exactly(1000)).unwrap_err();
    assert!(matches!(said, HttpError::GaveUp { attempts: 4, .. }), "{said}");
    assert!(fetch(&cut, Size::AtMost(1000)).is_err());
}

#[test]
fn a_silent_server_is_asked_again() {
    let server = Server::start(|request| match request.before {
        0 => Reply::file(request, &body()).cut(1000).then_silence(),
        _ => Reply::file(request, &body()),
    });
    let read_timeout = Duration::from_millis(300);
    let client = Client::with_proxies(
        Policy { read_timeout, retries: 3, first_wait: Duration::ZERO, ..Policy::default() },
        None,
        None,
    );
    let mut sink = Memory::default();
    client.fetch(&Url::parse(&server.url("file")).unwrap(), &mut sink, exactly(), &Stop::default()).unwrap();
    assert_eq!(sink.0, body());
    assert_eq!(server.requests()[1].header("range"), Some("bytes=1000-"));
}

#[test]
fn a_server_that_sends_an_octet_now_and_then_is_given_up() {
    let bounded = |answer: fn() -> Reply| {
        let server = Server::start(move |_| answer());
        let short = Duration::from_secs(1);
        let policy = Policy {
            read_timeout: short,
            retries: 1,
            first_wait: Duration::ZERO,
            longest_wait: short,
            ..Policy::default()
        };
        let url = Url::parse(&server.url("file")).unwrap();
        let client = Client::with_proxies(policy, None, None);
        let said = client.fetch(&url, &mut Memory::default(), exactly(), &Stop::default()).unwrap_err().with_causes();
        assert!(said.contains("gave up after 2 attempts") && server.requests().len() == 2, "{said}");
        said
    };
    assert!(bounded(|| Reply::whole(&body()).slowly()).contains("less than 256 bytes a second"));
    bounded(|| Reply::whole(&body()).slowly_from_the_start());
    assert!(bounded(Reply::none).contains("timeout"));
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let target = Server::start(|request| Reply::file(request, &body()));
    let location = format!("Location: {}\r\n", target.url("elsewhere"));
    let server = Server::start(move |_| Reply::status(302, &location));
    assert_eq!(fetch(&server, exactly()).unwrap(), body());
    assert_eq!(resume(&server, body()[..7].to_vec(), exactly()).unwrap(), body());
    let round = Server::start(|_| Reply::status(302, "Location: /file\r\n"));
    assert!(matches!(fetch(&round, exactly()), Err(HttpError::Transport { .. })));
    assert!(round.requests().len() < 20);
    let file = Server::start(|_| Reply::status(302, "Location: file:///etc/passwd\r\n"));
    assert!(fetch(&file, Size::AtMost(100_000)).is_err());
}

#[test]
fn encoded_bodies_are_taken_as_they_are() {
    let server = Server::start(|_| Reply::sized(200, b"not gzip", "Content-Encoding: gzip\r\n"));
    assert_eq!(fetch(&server, Size::Exactly(8)).unwrap(), b"not gzip");
}

#[test]
fn a_port_where_nobody_listens_is_named() {
    let url = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Url::parse(&format!("http://{}/file", listener.local_addr().unwrap())).unwrap()
    };
    let said = client().fetch(&url, &mut Memory::default(), exactly(), &Stop::default()).unwrap_err().with_causes();
    assert!(said.contains(&url.to_string()) && said.contains("4 attempts"), "{said}");
}

#[test]
fn folders_serve_as_well() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a~b"), body()).unwrap();
    let base = Url::parse(&format!("file:{}", folder.path().display())).unwrap();
    let get = |name: &str, here: &[u8], size| {
        let mut sink = Memory(here.to_vec());
        client().fetch(&base.join(name).unwrap(), &mut sink, size, &Stop::default())?;
        Ok::<_, HttpError>(sink.0)
    };
    assert_eq!(get("a~b", &[], exactly()).unwrap(), body());
    assert_eq!(get("a~b", &body()[..99], exactly()).unwrap(), body());
    assert!(matches!(get("a~b", &[], Size::Exactly(5)), Err(HttpError::Size { .. })));
    assert!(matches!(get("none", &[], exactly()), Err(HttpError::NotThere { .. })));
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    assert!(matches!(get("folder", &[], exactly()), Err(HttpError::NotThere { .. })));
    assert!(matches!(get("a~b/c", &[], exactly()), Err(HttpError::NotThere { .. })));
}

#[test]
fn an_offline_client_asks_nobody() {
    let server = Server::start(|request| Reply::file(request, &body()));
    let url = Url::parse(&server.url("file")).unwrap();
    let said = Client::offline().fetch(&url, &mut Memory::default(), exactly(), &Stop::default()).unwrap_err();
    assert!(matches!(said, HttpError::Offline { .. }) && said.to_string().contains("--offline"), "{said}");
    assert!(server.requests().is_empty());
}

#[test]
fn a_stop_ends_a_transfer() {
    let server = Server::start(|_| Reply::endless(&[7; 4096]));
    let url = Url::parse(&server.url("file")).unwrap();
    struct Stopping<'a>(&'a Stop, u64);
    impl Sink for Stopping<'_> {
        fn position(&self) -> u64 {
            self.1
        }
        fn write(&mut self, bytes: &[u8]) -> Result<(), HttpError> {
            self.1 += bytes.len() as u64;
            self.0.now();
            Ok(())
        }
        fn restart(&mut self) -> Result<(), HttpError> {
            self.1 = 0;
            Ok(())
        }
    }
    let stop = Stop::default();
    let said = client().fetch(&url, &mut Stopping(&stop, 0), Size::Exactly(u64::MAX), &stop).unwrap_err();
    assert!(matches!(said, HttpError::Stopped { .. }), "{said}");
}
