//! Mirrors that lie, break, hang and flood: none of their data is accepted, and each kind of failure has its own error.

use applbuild::util::sha256;
use applbuild_test_support::debs::{Deb, frame};
use applbuild_test_support::http_server::{Reply, Request, Server};
use applbuild_test_support::keys::{How, Signer, clear_sign};
use applbuild_test_support::mirror::{
    Archive, Files, Made, Mirror, PACKAGES, TODAY, YESTERDAY, made, package, pool, xz,
};
use applbuild_test_support::project::{Project, all};
use predicates::str::contains;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// One retry.
const TWICE: &[&str] = &["--retries", "1"];
/// One retry, with a timeout of two seconds per attempt.
const IMPATIENT: &[&str] = &["--retries", "1", "--timeout", "2"];

type Spoil = Box<dyn Fn(&Request, &[u8]) -> Option<Reply> + Send + Sync>;

fn packages() -> Vec<Deb> {
    vec![package("hello", "1.0"), package("world", "1.0")]
}

fn good() -> Archive {
    Archive::new(TODAY, &packages())
}

/// Replaces the answers for files whose path has this suffix.
fn at(ending: &'static str, reply: impl Fn(&Request, &[u8]) -> Reply + Send + Sync + 'static) -> Spoil {
    Box::new(move |request, bytes| request.path.ends_with(ending).then(|| reply(request, bytes)))
}

/// Every file outside the cache, with its content.
fn outside(project: &Project) -> BTreeMap<PathBuf, Vec<u8>> {
    let files =
        all(project.folder()).into_iter().filter(|path| path.is_file() && !path.starts_with(project.at("cache")));
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Checks that every cached file under a final name matches the hash in that name.
fn cache_is_sound(project: &Project) {
    for room in ["cache/packages", "cache/indices"] {
        for path in all(&project.at(room)) {
            if path.is_file() && path.extension().is_none_or(|ending| ending != "part") {
                let name = path.file_stem().unwrap().to_str().unwrap();
                assert_eq!(sha256::of(fs::read(&path).unwrap()).to_string(), name);
            }
        }
    }
}

/// The mirror is refused, with these words in the error, and nothing is written outside the cache.
fn refused(case: &str, archive: Archive, spoil: Spoil, words: &[&str]) {
    refused_when(TWICE, case, archive, spoil, words);
}

fn refused_when(flags: &[&str], case: &str, archive: Archive, spoil: Spoil, words: &[&str]) {
    let project = Project::new();
    let mirror = Mirror::with(archive, move |request, bytes| spoil(request, bytes.unwrap_or_default()));
    let before = outside(&project);
    let said = project.refused(project.make("lock", &mirror.url(), flags));
    for word in words {
        assert!(said.contains(word), "{case}: expected {word:?} in: {said}");
    }
    assert_eq!(outside(&project), before, "{case}");
    cache_is_sound(&project);
}

fn nothing_is_spoiled() -> Spoil {
    Box::new(|_, _| None)
}

/// A server's failure: name, reply, flags, and a part of the expected error.
type Trouble = (&'static str, fn(&Request, &[u8]) -> Reply, &'static [&'static str], &'static str);

const TROUBLES: &[Trouble] = &[
    ("404", |_, _| Reply::status(404, ""), TWICE, ""),
    ("500", |_, _| Reply::status(500, ""), TWICE, "gave up after 2 attempts: "),
    ("503", |_, _| Reply::status(503, ""), TWICE, "the server answered 503"),
    ("429", |_, _| Reply::status(429, ""), TWICE, "the server answered 429"),
    ("a day's wait", |_, _| Reply::status(503, "Retry-After: 86400\r\n"), IMPATIENT, "gave up after 2 attempts"),
    ("no answer", |_, _| Reply::none(), IMPATIENT, "gave up after 2 attempts"),
    ("silence", |_, bytes| Reply::whole(bytes).cut(100).then_silence(), IMPATIENT, "gave up after 2 attempts"),
    ("a trickle", |_, bytes| Reply::whole(bytes).slowly(), IMPATIENT, "gave up after 2 attempts"),
    ("a slow head", |_, bytes| Reply::whole(bytes).slowly_from_the_start(), IMPATIENT, "gave up after 2 attempts"),
    ("a circle", |request, _| Reply::status(302, &format!("Location: {}\r\n", request.path)), TWICE, "redirect"),
    ("a way out", |_, _| Reply::status(302, "Location: file:///etc/passwd\r\n"), TWICE, ""),
    ("an endless head", |_, _| Reply::status(200, &"X: 1\r\n".repeat(100_000)), TWICE, "header"),
    ("a flood", |_, _| Reply::endless(&[b'x'; 1 << 16]), TWICE, "bytes"),
    ("a break", |_, bytes| Reply::whole(bytes).cut(bytes.len() / 2), TWICE, "gave up after 2 attempts"),
];

#[test]
fn a_server_that_does_not_serve_is_told_from_one_that_lies() {
    for (file, named) in [("InRelease", "InRelease"), (".xz", "Packages.xz"), ("/hello_1.0.deb", "package hello 1.0")] {
        std::thread::scope(|scope| {
            for (case, reply, flags, word) in TROUBLES {
                // The index is requested by its hash first, and in another form if that fails.
                let hit = move |path: &str| path.ends_with(file) || file == ".xz" && path.contains("/binary-amd64/");
                let spoil: Spoil = Box::new(move |request, bytes| hit(&request.path).then(|| reply(request, bytes)));
                let case = format!("{case} in the place of {file}");
                scope.spawn(move || refused_when(flags, &case, good(), spoil, &[named, word]));
            }
        });
    }
}

#[test]
fn a_release_file_that_is_not_the_archives_is_refused() {
    let other = Signer::new(21);
    let alter = |_: &Request, bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Reply::whole(text.replace("Components: main", "Components: evil").as_bytes())
    };
    let unsigned = |_: &Request, bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (_, text) = text.split_once("\n\n").unwrap();
        Reply::whole(&text.as_bytes()[..text.find("-----BEGIN").unwrap()])
    };
    let by_another = move |_: &Request, _: &[u8]| {
        Reply::whole(clear_sign("Codename: trixie\n", &[(&other, How::default())]).as_bytes())
    };
    let half = |_: &Request, bytes: &[u8]| Reply::whole(&bytes[..bytes.len() / 2]);
    refused("altered", good(), at("InRelease", alter), &["does not belong to this text"]);
    refused("unsigned", good(), at("InRelease", unsigned), &["it is not signed"]);
    refused("by another key", good(), at("InRelease", by_another), &["not in the keyring", "--keyring"]);
    refused("empty", good(), at("InRelease", |_, _| Reply::whole(b"")), &["it is not signed"]);
    refused("half", good(), at("InRelease", half), &["InRelease", "expected -----"]);
    // Each of these is signed by the right key.
    for (case, from, to, word) in [
        (
            "another suite",
            "Codename: trixie",
            "Codename: bookworm",
            "found the suite bookworm (stable), expected trixie",
        ),
        ("expired", "Acquire", "Valid-Until: Sat, 25 Nov 2023 20:00:00 UTC\nAcquire", "it was valid until 2023-11-25"),
        ("of the future", TODAY, "Fri, 24 Nov 2123 20:00:00 UTC", "it is dated 2123-11-24"),
        ("without hashes", "SHA256:", "MD5Sum:", "found no SHA256"),
    ] {
        let mut archive = good();
        let (plain, packed) = (archive.files[PACKAGES].clone(), archive.files[&format!("{PACKAGES}.xz")].clone());
        archive.index(TODAY, &plain, &packed, |text| text.replacen(from, to, 1));
        refused(case, archive, nothing_is_spoiled(), &[word]);
    }
}

#[test]
fn a_suite_that_goes_back_is_refused() {
    let mirror = Mirror::start(good());
    let project = Project::new();
    let lock = |more: &[&str]| project.make("lock", &mirror.url(), more);
    lock(&[]).assert().success();
    let (made, newer) = (project.lock(), Archive::new(TODAY, &[package("hello", "1.1"), package("world", "1.0")]));
    mirror.change(|archive| archive.files = Archive::new(YESTERDAY, &packages()).files);
    let refused = |more: &[&str], word: &str| {
        let said = project.refused(lock(more));
        assert!(["2023-11-23", "2023-11-24", word].iter().all(|word| said.contains(word)), "{said}");
        assert_eq!(project.lock(), made);
    };
    refused(&["--update"], "--allow-older");
    // An empty cache does not help the mirror: the lock has the newer date.
    refused(&["--cache", "new", "--update"], "the lock");
    // Nor does a missing lock: the cache has the newer date.
    fs::rename(project.at("profiles/tiny.lock"), project.at("put-by")).unwrap();
    assert!(project.refused(lock(&[])).contains("one was seen there of 2023-11-24"));
    assert!(!project.at("profiles/tiny.lock").exists());
    fs::rename(project.at("put-by"), project.at("profiles/tiny.lock")).unwrap();
    // A build from the lock needs no index.
    project.make("iso", &mirror.url(), &["--locked"]).assert().success();
    lock(&["--allow-older", "--update"]).assert().success().stdout(contains("back from 2023-11-24"));
    mirror.change(|archive| archive.files = newer.files);
    lock(&["--update"]).assert().success().stdout(contains("package hello: upgraded 1.0 to 1.1"));
}

#[test]
fn an_index_that_is_not_the_listed_one_is_refused() {
    let index: fn(&Request) -> bool = |request| request.path.contains("/binary-amd64/");
    let spoiled = |change: fn(&[u8]) -> Vec<u8>| -> Spoil {
        Box::new(move |request, bytes| index(request).then(|| Reply::whole(&change(bytes))))
    };
    let flip = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    };
    let inconsistent = "the mirror is inconsistent: try again later";
    refused("a flipped bit", good(), spoiled(flip), &["found the SHA-256", inconsistent]);
    refused("too short", good(), spoiled(|bytes| bytes[1..].to_vec()), &["expected", inconsistent]);
    refused("too long", good(), spoiled(|bytes| [bytes, b"x"].concat()), &["expected", inconsistent]);
    refused("empty", good(), spoiled(|_| Vec::new()), &["after 0 bytes, expected"]);
    // The index of another suite, which is also validly signed.
    let other = Archive::new(TODAY, &[package("hello", "6.6.6"), package("world", "1.0")]);
    let packed = other.files[&format!("{PACKAGES}.xz")].clone();
    let swap: Spoil = Box::new(move |request, _| index(request).then(|| Reply::whole(&packed)));
    refused("another suite's", good(), swap, &[inconsistent]);

    // Not the mirror's fault: the archive signed a wrong index.
    let with_index = |plain: &[u8], packed: &[u8]| {
        let mut archive = good();
        archive.index(TODAY, plain, packed, |text| text);
        archive
    };
    let plain = good().files[PACKAGES].clone();
    let bomb = xz(&vec![b'\n'; 300 << 20]);
    assert!(bomb.len() < 100_000);
    refused("a bomb", with_index(&plain, &bomb), nothing_is_spoiled(), &["decompresses to more than"]);
    refused("no xz", with_index(&plain, &plain), nothing_is_spoiled(), &["decompressing"]);
    refused("half an xz", with_index(&plain, &xz(&plain)[..500]), nothing_is_spoiled(), &["decompressing"]);
}

/// The archive with this file for hello; the index has the file's real hash and size.
fn with_hello(bytes: Vec<u8>) -> Archive {
    let mut archive = Archive::default();
    archive.publish_made(TODAY, &[Made { deb: package("hello", "1.0"), bytes }, made(package("world", "1.0"))]);
    archive
}

#[test]
fn a_package_that_is_not_the_listed_one_is_refused() {
    const HELLO: &str = "/hello_1.0.deb";
    let world = package("world", "1.0").bytes();
    let named = "package hello 1.0";
    let mut other = package("hello", "1.0").bytes();
    *other.last_mut().unwrap() ^= 1;
    refused("a flipped bit", good(), at(HELLO, move |_, _| Reply::whole(&other)), &[named, "found the SHA-256"]);
    refused("another package", good(), at(HELLO, move |_, _| Reply::whole(&world)), &[named, "expected"]);
    refused("too short", good(), at(HELLO, |_, bytes| Reply::whole(&bytes[1..])), &[named, "expected"]);
    refused("too long", good(), at(HELLO, |_, bytes| Reply::whole(&[bytes, b"x"].concat())), &[named, "expected"]);
}

/// An archive with one entry of `size` zero bytes.
fn zeros(name: &str, size: u64) -> impl std::io::Read {
    use std::io::Read;
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    std::io::Cursor::new(header.as_bytes().to_vec()).chain(std::io::repeat(0).take(size.next_multiple_of(512) + 1024))
}

#[test]
fn a_package_that_is_listed_and_wrong_in_itself_is_refused() {
    let control = |deb: Deb| {
        let mut archive = tar::Builder::new(Vec::new());
        let text = deb.control_text();
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, "./control", text.as_bytes()).unwrap();
        archive.into_inner().unwrap()
    };
    let own = control(package("hello", "1.0"));
    let data = zstd::encode_all(package("hello", "1.0").tar().as_slice(), 1).unwrap();
    let bomb = |name| zstd::encode_all(zeros(name, 400 << 20), 1).unwrap();
    let (small, large) = (bomb("./control"), bomb("./large"));
    let many = zstd::encode_all([own.as_slice(), &[0; 300 << 20]].concat().as_slice(), 1).unwrap();
    let swapped = control(package("world", "1.0"));
    for (case, bytes, word) in [
        (
            "another name inside",
            frame(("control.tar", &swapped), ("data.tar.zst", &data)),
            "its control file has Package",
        ),
        ("a bomb for control", frame(("control.tar.zst", &small), ("data.tar.zst", &data)), "at most"),
        ("zeros without end", frame(("control.tar.zst", &many), ("data.tar.zst", &data)), "decompresses to more than"),
        ("a bomb for data", frame(("control.tar", &own), ("data.tar.zst", &large)), "decompresses to more than"),
        ("no ar archive", b"nonsense".to_vec(), "found no ar archive"),
        ("half a package", package("hello", "1.0").bytes()[..700].to_vec(), "ends at byte"),
    ] {
        refused_by_its_content(case, bytes, word);
    }
}

/// These packages reach the work directory, and nothing is left of them.
fn refused_by_its_content(case: &str, bytes: Vec<u8>, word: &str) {
    let (project, mirror) = (Project::new(), Mirror::start(with_hello(bytes)));
    let said = project.refused(project.make("lock", &mirror.url(), &[]));
    assert!(said.contains(word) && said.contains("hello"), "{case}: {said}");
    assert!(!project.at("profiles/tiny.lock").exists(), "{case}");
    let left: Vec<PathBuf> = all(&project.at("images")).into_iter().filter(|path| path.is_file()).collect();
    assert_eq!(left, [] as [PathBuf; 0], "{case}");
    assert_eq!(project.named("cache", "build-"), [] as [PathBuf; 0], "{case}");
}

#[test]
fn a_flaky_mirror_gives_the_same_bytes_in_the_end() {
    let good_mirror = Mirror::start(good());
    let reference = Project::new();
    reference.make("iso", &good_mirror.url(), &[]).assert().success();

    let files: Files = good().files;
    let elsewhere = Server::start(move |request| match files.get(request.path.trim_start_matches('/')) {
        Some(bytes) => Reply::file(request, bytes),
        None => Reply::status(404, ""),
    });
    let elsewhere = elsewhere.url("");
    let mirror = Mirror::with(good(), move |request, bytes| {
        let bytes = bytes?;
        let path = request.path.trim_start_matches("/debian/");
        // One kind of failure per file, selected by the length of its path.
        match (request.before, path.len() % 5) {
            (0, 0) => Some(Reply::status(503, "Retry-After: 1\r\n")),
            (0, 1) => Some(Reply::status(429, "")),
            (0, 2) => Some(Reply::file(request, bytes).cut(bytes.len() / 3)),
            (0, 3) => Some(Reply::file(request, bytes).cut(10).then_silence()),
            (0, _) => Some(Reply::status(302, &format!("Location: {elsewhere}{path}\r\n"))),
            _ => None,
        }
    });
    let project = Project::new();
    project.make("iso", &mirror.url(), &["--timeout", "2"]).assert().success();
    assert_eq!(project.sum("images/tiny-1.iso"), reference.sum("images/tiny-1.iso"));
    assert_eq!(project.lock(), reference.lock());
}

#[test]
fn what_a_bad_mirror_left_does_not_stop_a_good_one() {
    let project = Project::new();
    let junk: Spoil = Box::new(|request, bytes| {
        (!request.path.ends_with("InRelease")).then(|| Reply::whole(&vec![b'x'; bytes.len()]).cut(bytes.len() - 1))
    });
    let bad = Mirror::with(good(), move |request, bytes| junk(request, bytes.unwrap_or_default()));
    project.make("lock", &bad.url(), TWICE).assert().code(1);
    assert!(all(&project.at("cache")).iter().any(|path| path.extension().is_some_and(|ending| ending == "part")));
    let folder = project.at("mirror");
    good().write(&folder);
    let url = format!("file:{}", folder.display());
    // The packages' partial files also begin with junk.
    for path in [pool("hello", "1.0"), pool("world", "1.0")] {
        let bytes = &good().files[&path];
        let name = sha256::of(bytes).to_string();
        let part = project.at(&format!("cache/packages/sha256/{}/{name}.deb.part", &name[..2]));
        fs::create_dir_all(part.parent().unwrap()).unwrap();
        fs::write(part, vec![b'x'; bytes.len() / 2]).unwrap();
    }
    project.make("lock", &url, TWICE).assert().success();
    cache_is_sound(&project);
}
