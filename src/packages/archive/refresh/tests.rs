use super::{RefreshRequest, SuiteIndex, SuiteWanted, refresh};
use crate::cache::Cache;
use crate::packages::archive::file_hash::Sha512;
use crate::packages::archive::keyring::Keyring;
use crate::packages::archive::locations::{Archives, MirrorChoice};
use crate::packages::error::FetchError;
use crate::packages::fetch::http::{Client, Policy};
use crate::packages::lock::LockedSuite;
use crate::progress::Silent;
use crate::util::sha256;
use applbuild_test_support::http_server::{Reply, Server};
use applbuild_test_support::keys::{NOW, Signer, Terms};
use appliance_contract::Sha256;
use appliance_contract::causes::WithCauses as _;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

type Files = BTreeMap<String, Vec<u8>>;

fn signer() -> &'static (Signer, Keyring) {
    static SIGNER: OnceLock<(Signer, Keyring)> = OnceLock::new();
    SIGNER.get_or_init(|| {
        let signer = Signer::new(1);
        let keyring = Keyring::parse("test", &signer.keyring(&Terms::default())).unwrap();
        (signer, keyring)
    })
}

fn packages(suite: &str, component: &str) -> Vec<u8> {
    let stanza = |number| format!("Package: {suite}-{component}-{number}\nVersion: 1\n\n");
    (0..5000).map(stanza).collect::<String>().into_bytes()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The files of a suite on a mirror. `change` alters the Release text before it is signed.
fn suite(name: &str, by_hash: bool, change: impl Fn(String) -> String) -> Files {
    let mut files = Files::new();
    let mut listed = String::new();
    for component in ["main", "contrib"] {
        let folder = format!("{component}/binary-amd64");
        let plain = packages(name, component);
        for (ending, bytes) in [(".xz", xz(&plain)), (".gz", gz(&plain)), ("", plain.clone())] {
            let digest = sha256::of(&bytes);
            listed += &format!(" {digest} {} {folder}/Packages{ending}\n", bytes.len());
            files.insert(format!("/debian/dists/{name}/{folder}/Packages{ending}"), bytes.clone());
            if by_hash {
                files.insert(format!("/debian/dists/{name}/{folder}/by-hash/SHA256/{digest}"), bytes);
            }
        }
    }
    let by_hash = if by_hash { "yes" } else { "no" };
    // NOW is 2023-11-24 22:13:20.
    let text = format!(
        "Suite: stable\nCodename: {name}\nDate: Fri, 24 Nov 2023 20:00:00 UTC\nValid-Until: Sat, 25 Nov 2023 20:00:00 UTC\n\
         Acquire-By-Hash: {by_hash}\nArchitectures: all amd64\nComponents: updates/main contrib\nSHA256:\n{listed}"
    );
    files.insert(format!("/debian/dists/{name}/InRelease"), signer().0.sign(&change(text)).into_bytes());
    files
}

struct Machine {
    cache: tempfile::TempDir,
    base: String,
    components: Vec<String>,
    suites: Vec<String>,
    check_age: bool,
    locked: Vec<LockedSuite>,
    allow_older: bool,
}

impl Machine {
    fn at(base: String) -> Self {
        Self {
            cache: tempfile::tempdir().unwrap(),
            base,
            components: vec!["main".into(), "contrib".into()],
            suites: vec!["trixie".into()],
            check_age: true,
            locked: Vec::new(),
            allow_older: false,
        }
    }

    fn refresh(&self) -> Result<Vec<SuiteIndex>, FetchError> {
        let choice = MirrorChoice { mirror: Some(self.base.clone()), ..MirrorChoice::default() };
        let suite = |name: &String| SuiteWanted {
            archive: "debian".into(),
            name: name.clone(),
            components: self.components.clone(),
        };
        let suites: Vec<SuiteWanted> = self.suites.iter().map(suite).collect();
        let none = Duration::ZERO;
        let request = RefreshRequest {
            suites: &suites,
            architecture: "amd64",
            archives: &Archives::find(&choice)?,
            keyring: &signer().1,
            cache: &Cache::new(self.cache.path()),
            client: &Client::with_proxies(
                Policy { retries: 1, first_wait: none, longest_wait: none, ..Policy::default() },
                None,
                None,
            ),
            now: NOW,
            check_age: self.check_age,
            locked: &self.locked,
            allow_older: self.allow_older,
        };
        refresh(&request, &Silent)
    }

    fn said(&self) -> String {
        self.refresh().unwrap_err().with_causes()
    }
}

fn serve(files: Files) -> (Server, Machine) {
    let server = Server::start(move |request| match files.get(&request.path) {
        Some(bytes) => Reply::file(request, bytes),
        None => Reply::status(404, ""),
    });
    let machine = Machine::at(server.url("debian"));
    (server, machine)
}

fn good() -> Files {
    suite("trixie", true, |text| text)
}

#[test]
fn gives_the_indices_in_the_order_asked_for() {
    let mut files = good();
    files.extend(suite("trixie-updates", false, |text| text));
    let inrelease = sha256::of(&files["/debian/dists/trixie/InRelease"]);
    let (server, mut machine) = serve(files);
    machine.suites = vec!["trixie-updates".into(), "trixie".into()];
    let indices = machine.refresh().unwrap();
    let order: Vec<String> = indices.iter().map(|index| format!("{} {}", index.suite, index.component)).collect();
    assert_eq!(order, ["trixie-updates main", "trixie-updates contrib", "trixie main", "trixie contrib"]);
    for index in &indices {
        assert_eq!(index.packages, packages(&index.suite, &index.component));
        assert_eq!(index.date, 1_700_856_000);
    }
    assert_eq!(indices[2].inrelease_sha256, inrelease);
    assert_eq!(server.requests().len(), 6);
    let by_hash = |request: &&applbuild_test_support::http_server::Request| request.path.contains("/by-hash/SHA256/");
    assert_eq!(server.requests().iter().filter(by_hash).count(), 2);
    // The second time the compressed indices come from the cache.
    assert_eq!(machine.refresh().unwrap(), indices);
    assert_eq!(server.requests().len(), 8);
}

#[test]
fn a_folder_without_files_by_hash_serves_as_well() {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in good().iter().filter(|(path, _)| !path.contains("by-hash")) {
        let path = folder.path().join(&path[1..]);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let indices = Machine::at(format!("file:{}/debian", folder.path().display())).refresh().unwrap();
    assert_eq!(indices[1].packages, packages("trixie", "contrib"));
}

#[test]
fn takes_gzip_or_plain_where_release_lists_no_xz() {
    for gone in [&[".xz"][..], &[".xz", ".gz"]] {
        let (_server, machine) = serve(suite("trixie", true, |text| {
            text.lines()
                .filter(|line| !gone.iter().any(|ending| line.ends_with(ending)))
                .map(|line| format!("{line}\n"))
                .collect()
        }));
        assert_eq!(machine.refresh().unwrap()[0].packages, packages("trixie", "main"));
    }
    let (_server, machine) = serve(suite("trixie", true, |text| text.replace("Packages", "Sources")));
    assert!(machine.said().contains("lists no main/binary-amd64/Packages"), "{}", machine.said());
}

#[test]
fn an_index_that_decompresses_to_more_than_listed_is_cut_short() {
    let listed = packages("trixie", "main").len();
    for (found, said) in [
        (listed - 1, format!("decompresses to more than the {} bytes", listed - 1)),
        (listed + 1, format!("decompressed, found {listed} bytes")),
    ] {
        let change = move |text: String| {
            let lines = text.lines().map(|line| match line.ends_with("main/binary-amd64/Packages") {
                true => line.replace(&format!(" {listed} "), &format!(" {found} ")),
                false => line.to_owned(),
            });
            lines.map(|line| line + "\n").collect()
        };
        let (_server, machine) = serve(suite("trixie", true, change));
        assert!(machine.said().contains(&said), "{}", machine.said());
    }
}

#[test]
fn an_index_with_another_hash_is_refused_and_not_kept() {
    let mut files = good();
    for (path, bytes) in files.iter_mut().filter(|(path, _)| !path.ends_with("InRelease")) {
        if path.contains("/main/") {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
    }
    let (_server, machine) = serve(files);
    let said = machine.said();
    assert!(said.contains("found the SHA-256") && said.contains("--mirror"), "{said}");
    let kept = walk(&machine.cache.path().join("indices"))
        .into_iter()
        .filter(|(path, length)| !path.ends_with(".part") || *length > 0);
    assert_eq!(kept.collect::<Vec<_>>(), []);
}

fn walk(folder: &std::path::Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(walk(&entry.path())),
            false => found.push((entry.path().display().to_string(), entry.metadata().unwrap().len())),
        }
    }
    found
}

#[test]
fn a_mirror_that_moves_between_two_requests_is_asked_again() {
    let older = suite("trixie", false, |text| text.replace('1', "2"));
    let newer = suite("trixie", false, |text| text);
    let release = "/debian/dists/trixie/InRelease";
    let (first, asked) = (older[release].clone(), Arc::new(Mutex::new(0)));
    let count = asked.clone();
    let server = Server::start(move |request| match newer.get(&request.path) {
        Some(_) if request.path == release && request.before == 0 => Reply::whole(&first),
        Some(bytes) => {
            *count.lock().unwrap() += 1;
            Reply::file(request, bytes)
        }
        None => Reply::status(404, ""),
    });
    let mut machine = Machine::at(server.url("debian"));
    machine.check_age = false;
    // The older Release lists sizes and hashes that the mirror no longer has.
    assert_eq!(machine.refresh().unwrap()[0].packages, packages("trixie", "main"));
    assert_eq!(server.requests().iter().filter(|request| request.path == release).count(), 2);
}

#[test]
fn an_unknown_suite_is_named_with_the_nearest() {
    let (server, mut machine) = serve(good());
    machine.suites = vec!["trxie-updates".into()];
    let url = server.url("debian/dists/trxie-updates/InRelease");
    let expected =
        format!("the archive debian has no suite trxie-updates ({url} is not there); did you mean trixie-updates?");
    assert_eq!(machine.said(), expected);
    machine.suites = vec!["../../etc".into()];
    assert!(machine.said().contains("has no suite ../../etc"), "{}", machine.said());
}

#[test]
fn an_unknown_component_or_architecture_is_named_with_those_there_are() {
    let (_server, mut machine) = serve(good());
    machine.components = vec!["mian".into()];
    assert_eq!(machine.said(), "the suite trixie has no component mian, only main, contrib; did you mean main?");
    let foreign = |text: String| text.replace("all amd64", "armhf arm64").replace("binary-amd64", "binary-arm64");
    let (_server, machine) = serve(suite("trixie", true, foreign));
    assert_eq!(machine.said(), "the suite trixie has no architecture amd64, only armhf, arm64");
}

#[test]
fn another_suite_under_this_name_is_refused() {
    let (_server, machine) =
        serve(suite("trixie", true, |text| text.replace("Codename: trixie", "Codename: bookworm")));
    assert!(machine.said().contains("found the suite bookworm (stable), expected trixie"), "{}", machine.said());
}

#[test]
fn an_old_release_is_refused_unless_asked_not_to() {
    for change in ["25 Nov 2023 20:00:00", "24 Nov 2023 23:59:59"] {
        let change = move |text: String| match change.starts_with("25") {
            true => text.replace("Sat, 25 Nov 2023", "Fri, 24 Nov 2023"),
            false => text.replace("Date: Fri, 24 Nov 2023 20:00:00", "Date: Fri, 24 Nov 2023 23:59:59"),
        };
        let (_server, mut machine) = serve(suite("trixie", true, change));
        let said = machine.said();
        assert!(
            said.contains("it was valid until 2023-11-24") || said.contains("it is dated 2023-11-24 23:59:59"),
            "{said}"
        );
        machine.check_age = false;
        assert!(machine.refresh().is_ok());
    }
}

#[test]
fn a_suite_that_goes_back_is_refused_unless_asked_not_to() {
    let (yesterday, today) = ("Thu, 23 Nov 2023 20:00:00", "Fri, 24 Nov 2023 20:00:00");
    let older = suite("trixie", true, move |text| text.replacen(today, yesterday, 1));
    let newer = good();
    let back = Arc::new(Mutex::new(false));
    let went = back.clone();
    let server = Server::start(move |request| {
        let files = if *went.lock().unwrap() { &older } else { &newer };
        files.get(&request.path).map_or(Reply::status(404, ""), |bytes| Reply::file(request, bytes))
    });
    let mut machine = Machine::at(server.url("debian"));
    machine.refresh().unwrap();
    *back.lock().unwrap() = true;
    let said = machine.said();
    assert!(
        said.contains("dated 2023-11-23 20:00:00 UTC, and one was seen there of 2023-11-24 20:00:00 UTC"),
        "{said}"
    );
    assert!(said.contains("--allow-older"), "{said}");
    machine.allow_older = true;
    machine.refresh().unwrap();
    // The newest date seen is unchanged.
    machine.allow_older = false;
    assert!(machine.refresh().is_err());

    // A new cache has no dates, but the lock has one.
    machine.cache = tempfile::tempdir().unwrap();
    let locked = |archive: &str, date| LockedSuite {
        archive: archive.into(),
        name: "trixie".into(),
        inrelease_sha256: Sha256::default(),
        date,
        signed_by: Vec::new(),
        key: Vec::new(),
    };
    machine.locked = vec![locked("debian-security", i64::MAX), locked("debian", 1_700_856_000)];
    let said = machine.said();
    assert!(said.contains("the lock is made from one of 2023-11-24 20:00:00 UTC"), "{said}");
    machine.allow_older = true;
    machine.refresh().unwrap();
}

#[test]
fn an_altered_or_unsigned_release_is_refused() {
    let release = "/debian/dists/trixie/InRelease";
    let mut files = good();
    let text = String::from_utf8(files[release].clone()).unwrap();
    files.insert(release.into(), text.replace("Codename: trixie", "Codename: trixiE").into_bytes());
    let (_server, machine) = serve(files.clone());
    let said = machine.said();
    assert!(said.contains("does not belong to this text") && said.contains("/dists/trixie/InRelease"), "{said}");
    files.insert(release.into(), b"Codename: trixie\nDate: x\n".to_vec());
    let (_server, machine) = serve(files);
    assert!(machine.said().contains("it is not signed"), "{}", machine.said());
}

#[test]
fn the_first_failure_ends_the_other_suites() {
    let mut files = good();
    files.extend(suite("forky", true, |text| text));
    let (_server, mut machine) = serve(files);
    machine.suites = vec!["trixie".into(), "sid".into(), "forky".into()];
    assert!(machine.said().contains("has no suite sid"), "{}", machine.said());
}

/// The properties of a small archive.
struct Odd {
    head: &'static str,
    algorithm: &'static str,
    /// Path below the suite's directory, and content. Files whose path begins with `-` are listed, but not served.
    files: Vec<(&'static str, Vec<u8>)>,
    inrelease: bool,
    at: &'static str,
}

const HEAD: &str = "Suite: stable\nDate: Fri, 24 Nov 2023 20:00:00 UTC\nArchitectures: amd64\nComponents: main\n";
const INDEX: &str = "main/binary-amd64/Packages";

impl Odd {
    fn new(files: Vec<(&'static str, Vec<u8>)>) -> Self {
        Self { head: HEAD, algorithm: "SHA256", files, inrelease: true, at: "dists/stable" }
    }

    fn serve(&self) -> (Server, Machine) {
        let mut served = Files::new();
        let mut text = format!("{}{}:\n", self.head, self.algorithm);
        for (path, bytes) in &self.files {
            let hash = match self.algorithm {
                "SHA256" => sha256::of(bytes).to_string(),
                "SHA512" => Sha512::of(bytes).to_string(),
                _ => "d41d8cd98f00b204e9800998ecf8427e".to_owned(),
            };
            let listed = path.trim_start_matches('-');
            text += &format!(" {hash} {} {listed}\n", bytes.len());
            if listed == *path {
                served.insert(format!("/debian/{}/{path}", self.at), bytes.clone());
            }
        }
        let file = |name: &str| format!("/debian/{}/{name}", self.at);
        if self.inrelease {
            served.insert(file("InRelease"), signer().0.sign(&text).into_bytes());
        } else {
            served.insert(file("Release.gpg"), signer().0.sign_apart(&text).into_bytes());
            served.insert(file("Release"), text.into_bytes());
        }
        let (server, mut machine) = serve(served);
        machine.suites = vec!["stable".into()];
        machine.components = vec!["main".into()];
        (server, machine)
    }

    /// The text of the only index.
    fn text(&self) -> String {
        let (_server, machine) = self.serve();
        let indices = machine.refresh().unwrap_or_else(|error| panic!("{}", error.with_causes()));
        String::from_utf8(indices[0].packages.clone()).unwrap()
    }

    fn said(&self) -> String {
        let (_server, machine) = self.serve();
        machine.said()
    }
}

#[test]
fn one_packed_form_alone_is_enough() {
    let zst = zstd::encode_all(&b"text"[..], 1).unwrap();
    let mut lzma = liblzma::write::XzEncoder::new_stream(
        Vec::new(),
        liblzma::stream::Stream::new_lzma_encoder(&liblzma::stream::LzmaOptions::new_preset(1).unwrap()).unwrap(),
    );
    lzma.write_all(b"text").unwrap();
    for (path, bytes) in [
        ("main/binary-amd64/Packages.gz", gz(b"text")),
        ("main/binary-amd64/Packages.xz", xz(b"text")),
        ("main/binary-amd64/Packages.zst", zst),
        ("main/binary-amd64/Packages.lzma", lzma.finish().unwrap()),
        (INDEX, b"text".to_vec()),
    ] {
        for algorithm in ["SHA256", "SHA512"] {
            assert_eq!(Odd { algorithm, ..Odd::new(vec![(path, bytes.clone())]) }.text(), "text", "{path}");
        }
    }
    let said = Odd::new(vec![("main/binary-amd64/Packages.bz2", vec![1])]).said();
    assert!(said.contains("(.xz, .zst, .lzma, .gz or plain), only main/binary-amd64/Packages.bz2"), "{said}");
}

#[test]
fn a_form_that_is_listed_and_not_served_is_passed_over() {
    let odd = Odd::new(vec![("-main/binary-amd64/Packages.xz", xz(b"text")), (INDEX, b"text".to_vec())]);
    assert_eq!(odd.text(), "text");
    let said = Odd::new(vec![("-main/binary-amd64/Packages.xz", xz(b"text"))]).said();
    assert!(said.contains("Packages.xz: found nothing there"), "{said}");
}

#[test]
fn an_index_that_is_not_what_release_lists_is_refused_by_any_hash() {
    for algorithm in ["SHA256", "SHA512"] {
        let odd = Odd { algorithm, ..Odd::new(vec![(INDEX, b"text".to_vec())]) };
        let (server, machine) = odd.serve();
        drop(server);
        let spoiled = Server::start(move |request| match request.path.ends_with("Packages") {
            true => Reply::whole(b"tent"),
            false => Reply::whole(&odd_release(&odd)),
        });
        let said = Machine { base: spoiled.url("debian"), ..machine }.said();
        assert!(said.contains("found the SHA-") && said.contains("expected"), "{said}");
    }
    let said = Odd { algorithm: "MD5Sum", ..Odd::new(vec![(INDEX, b"text".to_vec())]) }.said();
    assert!(said.contains("found no SHA256 and no SHA512") && said.contains("owner must add"), "{said}");
}

/// The InRelease file of an archive that is no longer served.
fn odd_release(odd: &Odd) -> Vec<u8> {
    let mut text = format!("{}{}:\n", odd.head, odd.algorithm);
    for (path, bytes) in &odd.files {
        let hash = match odd.algorithm {
            "SHA256" => sha256::of(bytes).to_string(),
            _ => Sha512::of(bytes).to_string(),
        };
        text += &format!(" {hash} {} {path}\n", bytes.len());
    }
    signer().0.sign(&text).into_bytes()
}

#[test]
fn release_with_its_signature_apart_counts_where_there_is_no_inrelease() {
    let odd = || Odd { inrelease: false, ..Odd::new(vec![(INDEX, b"text".to_vec())]) };
    assert_eq!(odd().text(), "text");

    // An invalid InRelease is an error, even if a valid Release is next to it.
    let (server, machine) = odd().serve();
    let good = server.url("debian");
    let with = |inrelease: &'static [u8]| {
        let good = good.clone();
        Server::start(move |request| {
            if request.path.ends_with("/InRelease") {
                return Reply::whole(inrelease);
            }
            let path = request.path.strip_prefix("/debian").unwrap();
            Reply::status(302, &format!("Location: {good}{path}\r\n"))
        })
    };
    let bad = with(b"Suite: stable\n");
    let said = Machine { base: bad.url("debian"), ..machine }.said();
    assert!(said.contains("InRelease: it is not signed"), "{said}");

    // A Release file without a signature is refused, too.
    let text = odd().head.as_bytes().to_vec();
    let unsigned = Server::start(move |request| match request.path.ends_with("/Release") {
        true => Reply::whole(&text),
        false => Reply::status(404, ""),
    });
    let mut machine = Machine::at(unsigned.url("debian"));
    machine.suites = vec!["stable".into()];
    let said = machine.said();
    assert!(said.contains("/Release is not signed") && said.contains("Release.gpg"), "{said}");
}

#[test]
fn taking_inrelease_away_does_not_make_an_older_release_new() {
    let files = || vec![(INDEX, b"text".to_vec())];
    let (new, _) = Odd::new(files()).serve();
    let older = "Suite: stable\nDate: Thu, 23 Nov 2023 20:00:00 UTC\nComponents: main\n";
    let (old, _) = Odd { head: older, inrelease: false, ..Odd::new(files()) }.serve();
    let (new, old) = (new.url(""), old.url(""));
    let back = Arc::new(Mutex::new(false));
    let went = back.clone();
    let server = Server::start(move |request| {
        let base = if *went.lock().unwrap() { &old } else { &new };
        Reply::status(302, &format!("Location: {}{}\r\n", base.trim_end_matches('/'), request.path))
    });
    let mut machine = Machine::at(server.url("debian"));
    (machine.suites, machine.components) = (vec!["stable".into()], vec!["main".into()]);
    machine.refresh().unwrap();
    *back.lock().unwrap() = true;
    assert!(machine.said().contains("the mirror has gone back"), "{}", machine.said());
}

#[test]
fn what_release_does_not_say_is_found_by_what_it_lists() {
    const ALL: &str = "main/binary-all/Packages";
    let both = || vec![(INDEX, b"amd64".to_vec()), (ALL, b"all".to_vec())];
    let date = "Date: Fri, 24 Nov 2023 20:00:00 UTC\n";
    assert_eq!(Odd { head: "", ..Odd::new(both()) }.text(), "amd64\n\nall");
    for (architectures, files, expected) in [
        ("Architectures: all amd64\nDate: Fri, 24 Nov 2023 20:00:00 UTC\n", both(), "amd64\n\nall"),
        ("Architectures: all amd64\nNo-Support-for-Architecture-all: Packages\n", both(), "amd64"),
        ("Architectures: amd64\n", both(), "amd64"),
        ("Architectures: all\n", vec![(ALL, b"all".to_vec())], "all"),
        ("Architectures: noarch\nComponents:\n", vec![(INDEX, b"amd64".to_vec())], "amd64"),
        (date, vec![(INDEX, b"amd64".to_vec())], "amd64"),
    ] {
        assert_eq!(Odd { head: architectures, ..Odd::new(files) }.text(), expected, "{architectures}");
    }
    // A component without an index for this architecture is empty if another component has one.
    let (_server, mut machine) = Odd { head: "Components: main contrib\n", ..Odd::new(both()) }.serve();
    machine.components = vec!["contrib".into(), "main".into()];
    assert_eq!(machine.refresh().unwrap()[0].packages, b"");
    machine.components = vec!["contrib".into()];
    assert!(machine.said().contains("lists no contrib/binary-amd64/Packages"), "{}", machine.said());
    let said = Odd { head: "Architectures: armhf\n", ..Odd::new(vec![]) }.said();
    assert_eq!(said, "the suite stable has no architecture amd64, only armhf");
}

#[test]
fn a_flat_archive_has_its_files_in_one_directory() {
    for (below, suite) in [("", "/"), ("/dir", "dir/")] {
        let files = vec![("Packages.gz", gz(b"text"))];
        let odd = Odd { at: "some/dir", head: "Origin: vendor\n", ..Odd::new(files) };
        let (server, machine) = odd.serve();
        let base = server.url(if below.is_empty() { "debian/some/dir" } else { "debian/some" });
        let machine = Machine { base, suites: vec![suite.into()], components: vec![], ..machine };
        let indices = machine.refresh().unwrap_or_else(|error| panic!("{}", error.with_causes()));
        assert_eq!((indices[0].packages.as_slice(), indices[0].component.as_str()), (&b"text"[..], ""));
    }
    let (_server, machine) = Odd { at: "dists/a/b/1.0", head: "Suite: a\n", ..Odd::new(vec![(INDEX, vec![])]) }.serve();
    let machine = Machine { suites: vec!["a/b/1.0".into()], ..machine };
    machine.refresh().unwrap();
}
