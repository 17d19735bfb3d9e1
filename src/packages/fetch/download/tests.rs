use super::download;
use crate::cache::{Cache, FileKind};
use crate::packages::archive::locations::{Archives, MirrorChoice};
use crate::packages::error::FetchError;
use crate::packages::fetch::hosts::LookUp;
use crate::packages::fetch::http::{Client, PARALLEL, Policy};
use crate::packages::lock::LockedPackage;
use crate::progress::{Progress, Silent, Stage, Unit};
use crate::util::sha256;
use applbuild_test_support::http_server::{Reply, Request, Server};
use appliance_contract::causes::WithCauses as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn content(number: usize) -> Vec<u8> {
    vec![number as u8; 1000 * (number + 1)]
}

fn package(number: usize) -> LockedPackage {
    let content = content(number);
    LockedPackage {
        name: format!("p{number}"),
        version: "1".into(),
        architecture: "amd64".into(),
        sha256: sha256::of(&content),
        size: content.len() as u64,
        archive: "debian".into(),
        path: format!("pool/p{number}_1_amd64.deb"),
    }
}

fn number(request: &Request) -> usize {
    request.path.trim_start_matches("/debian/pool/p").split('_').next().unwrap().parse().unwrap()
}

fn good() -> Server {
    Server::start(|request| Reply::file(request, &content(number(request))))
}

/// Resolves every host name to this machine.
#[derive(Debug, Default)]
struct Here(AtomicU64);

impl LookUp for Here {
    fn look_up(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }
}

struct Machine {
    folder: tempfile::TempDir,
    archives: Archives,
    client: Client,
}

impl Machine {
    fn new(server: &Server) -> Self {
        Self::with_look_up(&server.url("debian"), Arc::new(Here::default()))
    }

    fn with_look_up(mirror: &str, look_up: Arc<dyn LookUp>) -> Self {
        let choice = MirrorChoice { mirror: Some(mirror.to_owned()), ..MirrorChoice::default() };
        let none = Duration::ZERO;
        let policy = Policy { retries: 2, first_wait: none, longest_wait: none, ..Policy::default() };
        Self {
            folder: tempfile::tempdir().unwrap(),
            archives: Archives::find(&choice).unwrap(),
            client: Client::with_look_up(policy, None, None, look_up),
        }
    }

    fn cache(&self) -> Cache {
        Cache::new(self.folder.path())
    }

    fn download(&self, packages: &[LockedPackage]) -> Result<Vec<PathBuf>, FetchError> {
        download(packages, &self.archives, &self.cache(), &self.client, &Silent)
    }

    fn place(&self, package: &LockedPackage) -> PathBuf {
        self.cache().path(FileKind::Package, package.sha256)
    }

    fn part(&self, package: &LockedPackage) -> PathBuf {
        PathBuf::from(format!("{}.part", self.place(package).display()))
    }

    fn put(&self, path: PathBuf, bytes: &[u8]) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

#[test]
fn gives_verified_files_in_the_order_asked_for() {
    let server = good();
    let machine = Machine::new(&server);
    let packages: Vec<LockedPackage> = [7, 3, 9, 3, 0, 1, 2].map(package).into();
    let files = machine.download(&packages).unwrap();
    let contents: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert_eq!(contents, [7, 3, 9, 3, 0, 1, 2].map(content));
    let sha256 = packages[0].sha256;
    assert!(files[0].ends_with(format!("packages/sha256/{}/{sha256}.deb", hex::encode(&sha256.as_bytes()[..1]))));
    // A package requested twice is fetched once, and nothing is fetched twice.
    assert_eq!(server.requests().len(), 6);
    assert_eq!(machine.download(&packages).unwrap(), files);
    assert_eq!(server.requests().len(), 6);
    assert_eq!(machine.download(&[]).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn a_mirror_is_looked_up_once_and_its_connections_are_used_again() {
    let server = good();
    let here = Arc::new(Here::default());
    let machine = Machine::with_look_up(&format!("http://mirror.invalid:{}/debian", server.port()), here.clone());
    let packages: Vec<LockedPackage> = (0..60).map(package).collect();
    machine.download(&packages).unwrap();
    assert_eq!(server.requests().len(), 60);
    assert_eq!(here.0.load(Ordering::Relaxed), 1);
    assert!(server.connections() <= PARALLEL, "{} connections", server.connections());
}

#[test]
fn progress_tells_each_octet_once() {
    #[derive(Default)]
    struct Count(AtomicU64, AtomicU64);
    impl Progress for Count {
        fn stage(&self, stage: Stage, total: u64, unit: Unit) {
            assert_eq!((stage, unit), (Stage::Download, Unit::Bytes));
            self.0.store(total, Ordering::Relaxed);
        }
        fn advance(&self, count: u64) {
            self.1.fetch_add(count, Ordering::Relaxed);
        }
        fn item(&self, _: &str) {}
        fn warn(&self, _: &str) {}
    }
    let server = Server::start(|request| match request.before {
        0 => Reply::file(request, &content(number(request))).cut(700),
        1 => Reply::whole(&content(number(request))).cut(900),
        _ => Reply::file(request, &content(number(request))),
    });
    let machine = Machine::new(&server);
    machine.put(machine.part(&package(4)), &content(4)[..500]);
    let packages: Vec<LockedPackage> = [4, 5, 6].map(package).into();
    let count = Count::default();
    for _ in 0..2 {
        count.1.store(0, Ordering::Relaxed);
        download(&packages, &machine.archives, &machine.cache(), &machine.client, &count).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed), 5000 + 6000 + 7000);
        assert_eq!(count.1.load(Ordering::Relaxed), count.0.load(Ordering::Relaxed));
    }
}

#[test]
fn half_a_file_is_taken_up_and_a_spoilt_one_is_not() {
    let server = good();
    let machine = Machine::new(&server);
    machine.put(machine.part(&package(5)), &content(5)[..2500]);
    machine.put(machine.part(&package(6)), &[99; 2500]);
    machine.put(machine.part(&package(7)), &[99; 99_999]);
    machine.put(machine.part(&package(8)), &[99; 9000]);
    let files = machine.download(&[5, 6, 7, 8].map(package)).unwrap();
    for (file, number) in files.iter().zip(5..) {
        assert_eq!(std::fs::read(file).unwrap(), content(number));
    }
    let ranges = |number: usize| {
        let asked = server.requests().into_iter().filter(move |request| self::number(request) == number);
        asked.map(|request| request.header("range").map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(ranges(5), [Some("bytes=2500-".into())]);
    assert_eq!(ranges(6), [Some("bytes=2500-".into()), None]);
    assert_eq!((ranges(7), ranges(8)), (vec![None], vec![None]));
}

#[test]
fn a_damaged_file_in_the_cache_is_fetched_again() {
    let server = good();
    let machine = Machine::new(&server);
    let mut altered = content(5);
    altered[17] ^= 1;
    machine.put(machine.place(&package(5)), &altered);
    machine.put(machine.place(&package(6)), b"");
    let files = machine.download(&[5, 6].map(package)).unwrap();
    assert_eq!(std::fs::read(&files[0]).unwrap(), content(5));
    assert_eq!(std::fs::read(&files[1]).unwrap(), content(6));
}

#[test]
fn another_content_is_refused_by_name_and_the_rest_is_kept() {
    let server = Server::start(|request| match number(request) {
        3 => Reply::file(request, &vec![99; 4000]),
        number => Reply::file(request, &content(number)),
    });
    let machine = Machine::new(&server);
    machine.download(&[5, 6].map(package)).unwrap();
    let said = machine.download(&[5, 6, 3].map(package)).unwrap_err().with_causes();
    let (expected, found) = (package(3).sha256.to_string(), sha256::of([99; 4000]).to_string());
    for part in ["package p3 1", "/debian/pool/p3_1_amd64.deb", expected.as_str(), found.as_str()] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(machine.place(&package(5)).exists() && !machine.place(&package(3)).exists());
    // It was requested twice, because the first failure may be temporary.
    assert_eq!(server.requests().iter().filter(|request| number(request) == 3).count(), 2);
}

#[test]
fn what_is_gone_or_has_another_size_is_named() {
    let server = Server::start(|request| match number(request) {
        1 => Reply::status(404, ""),
        _ => Reply::file(request, b"short"),
    });
    let machine = Machine::new(&server);
    let said = machine.download(&[package(1)]).unwrap_err().with_causes();
    assert!(said.starts_with("package p1 1: http://") && said.contains("404"), "{said}");
    let said = machine.download(&[package(2)]).unwrap_err().with_causes();
    assert!(said.contains("found 5 bytes or more, expected 3000"), "{said}");
}

#[test]
fn what_was_fetched_before_a_failure_is_kept_and_gone_on_with() {
    let server = Server::start(|request| match (number(request), request.before) {
        (1, 0..3) => Reply::file(request, &content(1)).cut(600),
        (number, _) => Reply::file(request, &content(number)),
    });
    let mut machine = Machine::new(&server);
    machine.client.policy.retries = 0;
    assert!(machine.download(&[package(1)]).is_err());
    assert_eq!(std::fs::metadata(machine.part(&package(1))).unwrap().len(), 600);
    machine.client.policy.retries = 3;
    let files = machine.download(&[package(1)]).unwrap();
    assert_eq!(std::fs::read(&files[0]).unwrap(), content(1));
    assert!(!machine.part(&package(1)).exists());
}

#[test]
fn two_at_once_fetch_each_file_once() {
    let server = good();
    let machine = Machine::new(&server);
    let packages: Vec<LockedPackage> = (0..12).map(package).collect();
    std::thread::scope(|scope| {
        let both = [0, 1].map(|_| scope.spawn(|| machine.download(&packages)));
        for one in both {
            assert_eq!(one.join().unwrap().unwrap().len(), 12);
        }
    });
    assert_eq!(server.requests().len(), 12);
}

#[test]
fn offline_uses_the_cache_and_names_what_it_lacks() {
    let server = good();
    let mut machine = Machine::new(&server);
    machine.download(&[1, 2].map(package)).unwrap();
    machine.client = Client::offline();
    assert_eq!(machine.download(&[2, 1].map(package)).unwrap().len(), 2);
    let said = machine.download(&[1, 2, 8, 7].map(package)).unwrap_err().with_causes();
    let named =
        [7, 8].map(|number| format!("p{number} 1 (SHA-256 {}…)", &package(number).sha256.to_string()[..12])).join(", ");
    let expected = format!(
        "the build is offline, and the cache lacks 2 packages: {named}; build once without --offline, or take what is \
         missing from an archive: applbuild archive import DIR"
    );
    assert_eq!(said, expected);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_lock_that_leads_out_of_the_archive_is_refused() {
    let server = good();
    let machine = Machine::new(&server);
    let wrong = |change: fn(&mut LockedPackage)| {
        let mut package = package(1);
        change(&mut package);
        machine.download(&[package]).unwrap_err().with_causes()
    };
    assert!(wrong(|package| package.path = "../secret".into()).contains("\"../secret\""));
    assert!(wrong(|package| package.archive = "debian-security".into()).contains("--security-mirror"));
    assert!(server.requests().is_empty());
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let server = good();
    let machine = Machine::new(&server);
    std::fs::write(machine.folder.path().join("packages"), b"a file where a folder should be").unwrap();
    let said = machine.download(&[package(1)]).unwrap_err().with_causes();
    assert!(said.contains("--cache") && said.contains(&machine.folder.path().display().to_string()), "{said}");
}
