use super::LookUp;
use crate::packages::fetch::http::{Client, HttpError, Policy};
use crate::packages::fetch::transfer::{Memory, Size, Stop};
use crate::packages::fetch::url::Url;
use applbuild_test_support::http_server::{Reply, Server};
use appliance_contract::causes::WithCauses as _;
use std::io;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The test server's address, followed by one that refuses connections and one that never answers.
const SERVED: &str = "127.0.0.1";
const REFUSED: &str = "127.0.0.2";
const SILENT: &str = "127.0.0.3";

/// A resolver whose answer depends on the number of earlier look-ups.
struct Resolver<F> {
    answer: F,
    asked: AtomicUsize,
}

impl<F> std::fmt::Debug for Resolver<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.asked)
    }
}

impl<F: Fn(usize) -> io::Result<Vec<&'static str>> + Send + Sync> LookUp for Resolver<F> {
    fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        assert_eq!(host, "mirror.invalid");
        let before = self.asked.fetch_add(1, Ordering::SeqCst);
        Ok((self.answer)(before)?.iter().map(|address| address.parse().unwrap()).collect())
    }
}

struct Setting {
    server: Server,
    client: Client,
    url: Url,
    asked: Box<dyn Fn() -> usize>,
}

fn setting(retries: u32, answer: impl Fn(usize) -> io::Result<Vec<&'static str>> + Send + Sync + 'static) -> Setting {
    let resolver = Arc::new(Resolver { answer, asked: AtomicUsize::new(0) });
    let none = Duration::ZERO;
    let policy = Policy { retries, first_wait: none, longest_wait: none, ..Policy::default() };
    let server = Server::start(|request| match request.path.as_str() {
        "/missing" => Reply::status(404, ""),
        "/closing" => Reply::sized(200, b"hello", "Connection: close\r\n"),
        _ => Reply::file(request, b"hello"),
    });
    let url = Url::parse(&format!("http://Mirror.invalid:{}/file", server.port())).unwrap();
    let client = Client::with_look_up(policy, None, None, resolver.clone());
    Setting { server, client, url, asked: Box::new(move || resolver.asked.load(Ordering::SeqCst)) }
}

impl Setting {
    fn fetch(&self) -> Result<(), HttpError> {
        let mut sink = Memory::default();
        self.client.fetch(&self.url, &mut sink, Size::AtMost(100), &Stop::default())?;
        assert_eq!(sink.0, b"hello");
        Ok(())
    }
}

#[test]
fn the_next_address_is_tried_where_one_refuses_and_is_kept_from_then_on() {
    let setting = setting(0, |_| Ok(vec![REFUSED, SERVED]));
    (0..3).for_each(|_| setting.fetch().unwrap());
    assert_eq!(((setting.asked)(), setting.server.connections()), (1, 1));
}

#[test]
fn a_host_of_which_no_address_answers_is_looked_up_anew() {
    let setting = setting(1, |before| Ok(vec![if before == 0 { REFUSED } else { SERVED }]));
    setting.fetch().unwrap();
    setting.fetch().unwrap();
    assert_eq!((setting.asked)(), 2);
}

#[test]
fn requests_at_once_share_a_look_up() {
    let setting = setting(0, |_| {
        std::thread::sleep(Duration::from_millis(300));
        Ok(vec![SERVED])
    });
    let (client, url) = (&setting.client, &setting.url);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                client.fetch(url, &mut Memory::default(), Size::AtMost(100), &Stop::default()).unwrap();
            });
        }
    });
    assert_eq!(((setting.asked)(), setting.server.requests().len()), (1, 6));
}

#[test]
fn a_question_whose_answer_is_lost_is_asked_again_meanwhile() {
    let setting = setting(0, |before| {
        if before == 0 {
            std::thread::sleep(Duration::from_secs(3600));
        }
        Ok(vec![SERVED])
    });
    let start = Instant::now();
    setting.fetch().unwrap();
    assert!(start.elapsed() < Duration::from_secs(14), "{:?}", start.elapsed());
    assert_eq!((setting.asked)(), 2);
}

#[test]
fn a_failed_look_up_names_the_host_and_the_flag_and_is_not_kept() {
    let failing = |before| if before < 3 { Err(io::Error::other("no such name")) } else { Ok(vec![SERVED]) };
    let setting = setting(2, failing);
    let said = setting.fetch().unwrap_err().with_causes();
    for part in
        ["gave up after 3 attempts", "looking up mirror.invalid (check the name", "): no such name", "--retries N"]
    {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(said.matches("no such name").count(), 1, "{said}");
    setting.fetch().unwrap();
    assert_eq!((setting.asked)(), 4);
    let none = self::setting(0, |_| Ok(Vec::new()));
    let said = none.fetch().unwrap_err().with_causes();
    assert!(said.contains("looking up mirror.invalid (") && said.ends_with("): it has no addresses"), "{said}");
}

#[test]
fn an_address_in_the_place_of_a_name_is_not_looked_up() {
    let setting = setting(0, |_| unreachable!("an address was looked up"));
    let url = Url::parse(&setting.server.url("file")).unwrap();
    setting.client.fetch(&url, &mut Memory::default(), Size::AtMost(100), &Stop::default()).unwrap();
}

#[test]
fn what_is_not_there_costs_no_connection() {
    let setting = setting(0, |_| Ok(vec![SERVED]));
    let missing = Url::parse(&format!("http://mirror.invalid:{}/missing", setting.server.port())).unwrap();
    for _ in 0..3 {
        let fetched = setting.client.fetch(&missing, &mut Memory::default(), Size::AtMost(100), &Stop::default());
        assert!(matches!(fetched, Err(HttpError::NotThere { .. })));
        setting.fetch().unwrap();
    }
    assert_eq!((setting.server.requests().len(), setting.server.connections()), (6, 1));
}

#[test]
fn a_silent_address_holds_up_the_next_for_a_moment_and_once() {
    let setting = setting(0, |_| Ok(vec![SILENT, SERVED]));
    // The listener never accepts and its backlog is full, so the next connection attempt gets no answer.
    let silent = (SILENT.parse::<IpAddr>().unwrap(), setting.server.port()).into();
    let _listener = TcpListener::bind(silent).unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&silent, Duration::from_millis(500)) {
        waiting.push(stream);
    }
    let start = Instant::now();
    setting.fetch().unwrap();
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    // With no open connection left, the address that answered is tried first.
    let again = Instant::now();
    let url = Url::parse(&format!("http://mirror.invalid:{}/closing", setting.server.port())).unwrap();
    for _ in 0..2 {
        setting.client.fetch(&url, &mut Memory::default(), Size::AtMost(100), &Stop::default()).unwrap();
    }
    assert!(again.elapsed() < Duration::from_millis(2500), "{:?}", again.elapsed());
    assert_eq!(((setting.asked)(), setting.server.connections()), (1, 2));
}
