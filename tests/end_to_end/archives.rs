//! Vendors' archives in addition to Debian's: each with its own key, in any format that apt accepts.

use applbuild_test_support::debs::Deb;
use applbuild_test_support::http_server::{Reply, Server};
use applbuild_test_support::keys::{Signer, Terms};
use applbuild_test_support::mirror::{Archive, Files, Mirror, TODAY, TOMORROW, made, package};
use applbuild_test_support::project::Project;
use applbuild_test_support::{sha256, sha512};
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use std::sync::OnceLock;

fn vendor() -> &'static Signer {
    static VENDOR: OnceLock<Signer> = OnceLock::new();
    VENDOR.get_or_init(|| Signer::new(31))
}

/// The paragraph and file of a package in a flat archive, listed by the given hash.
fn paragraph(deb: &Deb, hash: &str) -> (String, Vec<u8>) {
    let bytes = made(deb.clone()).bytes;
    let hash = match hash {
        "SHA512" => format!("SHA512: {}", sha512(&bytes)),
        _ => format!("SHA256: {}", sha256(&bytes)),
    };
    let text = format!("{}Filename: ./{}.deb\nSize: {}\n{hash}\n\n", deb.control_text(), deb.name, bytes.len());
    (text, bytes)
}

/// A flat archive in one directory, as small vendors publish it: compressed index only, Release with Release.gpg.
fn flat(signer: &Signer, debs: &[Deb], hash: &str, change: impl FnOnce(String) -> String) -> Files {
    let mut files = Files::new();
    let mut packages = String::new();
    for deb in debs {
        let (text, bytes) = paragraph(deb, hash);
        packages += &text;
        files.insert(format!("{}.deb", deb.name), bytes);
    }
    let packed = zstd::encode_all(change(packages).as_bytes(), 1).unwrap();
    let listed = match hash {
        "SHA512" => sha512(&packed),
        _ => sha256(&packed),
    };
    let release = format!("Date: {TODAY}\n{hash}:\n {listed} {} Packages.zst\n", packed.len());
    files.insert("Release.gpg".to_owned(), signer.sign_apart(&release).into_bytes());
    files.insert("Release".to_owned(), release.into_bytes());
    files.insert("Packages.zst".to_owned(), packed);
    files
}

fn serve(files: Files) -> Server {
    Server::start(move |request| match files.get(request.path.trim_start_matches("/vendor/")) {
        Some(bytes) => Reply::file(request, bytes),
        None => Reply::status(404, ""),
    })
}

fn debian() -> Mirror {
    Mirror::start(Archive::new(TODAY, &[package("hello", "1.0"), package("world", "1.0")]))
}

/// The tiny profile with the vendor's archive added.
fn project(server: &Server, packages: &str, more: &str) -> Project {
    let project = Project::new();
    let text = project.read("profiles/tiny.toml");
    let text = text
        .replace("[\"debian/trixie\"]", "[\"debian/trixie\", \"vendor//\"]")
        .replace("\"world\"]", &format!("\"world\"{packages}]"));
    let archive = format!("\n[archives.vendor]\nurl = {:?}\nkey = \"keys/vendor.asc\"\n{more}", server.url("vendor"));
    fs::create_dir(project.at("profiles/keys")).unwrap();
    fs::write(project.at("profiles/keys/vendor.asc"), vendor().armored_keyring()).unwrap();
    fs::write(project.at("profiles/tiny.toml"), text + &archive).unwrap();
    project
}

/// The lock's entry of a package.
fn locked(project: &Project, name: &str) -> toml::Table {
    let lock: toml::Table = project.lock().parse().unwrap();
    let mut packages = lock["packages"].as_array().unwrap().iter().filter_map(|package| package.as_table());
    packages.find(|package| package["name"].as_str() == Some(name)).unwrap_or_else(|| panic!("no {name}")).clone()
}

#[test]
fn a_flat_archive_with_its_own_key_adds_packages_and_replaces_none() {
    let debian = debian();
    for hash in ["SHA256", "SHA512"] {
        let tool = package("tool", "1.0").field("Depends: hello");
        let essential = package("world", "9.0").field("Essential: yes");
        let vendors = serve(flat(vendor(), &[tool, package("hello", "9.0"), essential], hash, |text| text));
        let project = project(&vendors, ", \"tool\"", "");
        project.make("lock", &debian.url(), &[]).assert().success();
        assert_eq!(locked(&project, "hello")["version"].as_str(), Some("1.0"));
        assert_eq!(locked(&project, "world")["version"].as_str(), Some("1.0"));
        let tool = locked(&project, "tool");
        assert_eq!((tool["archive"].as_str(), tool["path"].as_str()), (Some("vendor"), Some("tool.deb")));
        let bytes = made(package("tool", "1.0").field("Depends: hello")).bytes;
        assert_eq!(tool["sha256"].as_str().unwrap(), sha256(&bytes));
        // The lock records which key signed which suite.
        let lock: toml::Table = project.lock().parse().unwrap();
        let suites = lock["suites"].as_array().unwrap();
        assert_eq!((suites[1]["archive"].as_str(), suites[1]["name"].as_str()), (Some("vendor"), Some("/")));
        let own = suites[1]["key"].as_array().unwrap();
        assert!(own.iter().any(|key| key.as_str() == Some(&vendor().fingerprint(false))), "{own:?}");
        assert_eq!(suites[1]["signed-by"][0].as_str(), Some(vendor().fingerprint(false).as_str()));
        assert!(suites[0].get("key").is_none() && suites[0]["signed-by"][0].as_str().is_some());
        // A second run resolves nothing again.
        project.make("lock", &debian.url(), &[]).assert().success().stdout(contains("is up to date"));
    }
}

#[test]
fn the_profile_says_which_packages_may_come_from_an_archive() {
    let debian = debian();
    let vendors = serve(flat(vendor(), &[package("tool", "1.0"), package("hello", "9.0")], "SHA256", |text| text));
    let named = project(&vendors, ", \"tool\"", "packages = [\"hel*\", \"t??l\"]\n");
    named.make("lock", &debian.url(), &[]).assert().success();
    assert_eq!(locked(&named, "hello")["version"].as_str(), Some("9.0"));
    let other = project(&vendors, ", \"tool\"", "packages = [\"hello\"]\n");
    let said = other.make("lock", &debian.url(), &[]).assert().code(3).get_output().stderr.clone();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("asks for tool, but tool 1.0 in vendor / cannot be used"), "{said}");
    assert!(said.contains("name it in archives.vendor.packages"), "{said}");
    // A different selection is a different request.
    let text = named.read("profiles/tiny.toml").replace("\"hel*\", ", "");
    fs::write(named.at("profiles/tiny.toml"), text).unwrap();
    let stale = named.make("iso", &debian.url(), &["--locked"]).assert().code(3);
    stale.stderr(contains("does not match what the profile requests now"));
}

#[test]
fn a_key_of_one_archive_vouches_for_no_other() {
    let debian = debian();
    let signer = Signer::new(20);
    let debians_key = serve(flat(&signer, &[package("tool", "1.0")], "SHA256", |text| text));
    let first = project(&debians_key, ", \"tool\"", "");
    let said = first.refused(first.make("lock", &debian.url(), &[]));
    assert!(said.contains("/vendor/Release") && said.contains("not in the keyring"), "{said}");
    assert!(said.contains("keys/vendor.asc, which archives.vendor.key names in the profile"), "{said}");

    let vendors = serve(flat(vendor(), &[package("tool", "1.0")], "SHA256", |text| text));
    let second = project(&vendors, ", \"tool\"", "");
    fs::write(second.at("keyring.pgp"), vendor().keyring(&Terms::default())).unwrap();
    let said = second.refused(second.make("lock", &debian.url(), &[]));
    assert!(said.contains("dists/trixie/InRelease") && said.contains("archives.debian.key"), "{said}");
}

#[test]
fn another_key_makes_the_lock_stale() {
    let debian = debian();
    let files = flat(vendor(), &[package("tool", "1.0")], "SHA256", |text| text);
    let vendors = serve(files);
    let project = project(&vendors, ", \"tool\"", "");
    project.make("lock", &debian.url(), &[]).assert().success();
    // The same key in another format counts as the same key.
    let key = project.at("profiles/keys/vendor.asc");
    let binary = vendor().keyring(&Terms::default());
    fs::write(&key, &binary).unwrap();
    project.make("lock", &debian.url(), &[]).assert().success().stdout(contains("is up to date"));
    fs::write(&key, [binary, Signer::new(32).armored_keyring().into_bytes()].concat()).unwrap();
    let stale = project.make("iso", &debian.url(), &["--locked"]).assert().code(3);
    stale.stderr(contains("was made with other keys of the archive vendor").and(contains("keys/vendor.asc has")));
    fs::write(&key, "no key").unwrap();
    let bad = project.make("lock", &debian.url(), &[]).assert().code(3);
    bad.stderr(contains("the key of the archive vendor").and(contains("found no key")));
    fs::remove_file(&key).unwrap();
    project.make("lock", &debian.url(), &[]).assert().code(3).stderr(contains("reading the key \"keys/vendor.asc\""));
}

#[test]
fn a_wrong_record_costs_nobody_who_does_not_want_it() {
    let debian = debian();
    let debs = [package("tool", "1.0"), package("odd", "1.0")];
    let vendors = || {
        serve(flat(vendor(), &debs, "SHA256", |text| {
            text.replace("Package: odd\nVersion: 1.0", "Package: odd\nVersion: 1.0_rc1")
        }))
    };
    let server = vendors();
    let good = project(&server, ", \"tool\"", "");
    let told = good.make("lock", &debian.url(), &[]).assert().success();
    told.stderr(contains("odd 1.0_rc1 in vendor / cannot be used"));
    let bad = project(&server, ", \"odd\"", "");
    let refused = bad.make("lock", &debian.url(), &[]).assert().code(3);
    refused.stderr(contains("asks for odd, but odd 1.0_rc1 in vendor / cannot be used: version \"1.0_rc1\" holds '_'"));
}

#[test]
fn an_export_keeps_the_packages_of_each_archive_apart() {
    let debian = debian();
    let vendors = serve(flat(vendor(), &[package("tool", "1.0")], "SHA256", |text| text));
    let project = project(&vendors, ", \"tool\"", "");
    project.make("lock", &debian.url(), &[]).assert().success();
    project.run(&["archive", "export", "stock", "--mirror", &debian.url()]).assert().success();
    assert!(project.at("stock/archives/vendor/tool.deb").is_file());
    assert!(project.read("stock/Packages").contains("Filename: archives/vendor/tool.deb\n"));
    project.run(&["archive", "import", "stock", "--cache", "other"]).assert().success();
    let sha256 = locked(&project, "tool")["sha256"].as_str().unwrap().to_owned();
    assert!(project.at(&format!("other/packages/sha256/{}/{sha256}.deb", &sha256[..2])).is_file());
}

#[test]
fn the_old_table_says_what_it_is_now() {
    let project = Project::new();
    let text = project.read("profiles/tiny.toml") + "\n[mirrors]\ndebian = \"http://localhost/debian\"\n";
    fs::write(project.at("profiles/tiny.toml"), text).unwrap();
    let refused = project.run(&["lock", "--profile", "tiny"]).assert().code(3);
    refused.stderr(contains("the table mirrors is now archives").and(contains("[archives.debian]")));
}

#[test]
fn a_login_goes_to_its_archive_and_nowhere_else() {
    const SECRET: &str = "cGFzc3dvcmQ";
    let debian = debian();
    let elsewhere = serve(flat(vendor(), &[package("tool", "1.0")], "SHA512", |text| text));
    let base = elsewhere.url("vendor");
    let private = Server::start(move |request| match request.header("authorization") {
        None => Reply::status(401, "WWW-Authenticate: Basic\r\n"),
        // As large archives do: the files are on another host.
        Some(_) => Reply::status(302, &format!("Location: {base}{}\r\n", request.path.trim_start_matches("/vendor"))),
    });
    let project = project(&private, ", \"tool\"", "");
    let said = project.refused(project.make("lock", &debian.url(), &[]));
    assert!(said.contains("it wants a login; put it into /etc/apt/auth.conf"), "{said}");
    let machine = private.url("").trim_end_matches('/').to_owned();
    fs::write(project.at("auth"), format!("machine {machine}/vendor login apt password {SECRET}\n")).unwrap();
    let with_login = |what: &str, more: &[&str]| {
        let mut command = project.make(what, &debian.url(), more);
        command.env("APPLBUILD_AUTH_CONF", "auth");
        command
    };
    let output = with_login("lock", &["--json"]).assert().success().get_output().clone();
    let shown = [output.stdout, output.stderr].concat();
    assert!(!String::from_utf8_lossy(&shown).contains(SECRET));
    assert!(!project.lock().contains(SECRET));
    assert!(private.requests().iter().any(|request| request.header("authorization").is_some()));
    for request in elsewhere.requests().iter().chain(&debian.server.requests()) {
        assert_eq!(request.header("authorization"), None, "{}", request.path);
    }
    project
        .make("lock", &debian.url(), &[])
        .env("APPLBUILD_AUTH_CONF", "none")
        .assert()
        .code(3)
        .stderr(contains("none"));
}

#[test]
fn newer_versions_are_told_by_the_exit_code() {
    let debian = debian();
    let project = Project::new();
    project.make("lock", &debian.url(), &[]).assert().success();
    let before = project.lock();
    let outdated = |more: &[&str]| {
        let common = ["lock", "outdated", "--profile", "tiny", "--keyring", "keyring.pgp", "--mirror", &debian.url()];
        project.run(&[&common, more].concat())
    };
    outdated(&[]).assert().success().stdout("outdated: 0, in security suites: 0\n");
    debian.change(|archive| archive.publish(TOMORROW, &[package("hello", "1.1"), package("world", "1.0")]));
    let found = outdated(&[]).assert().code(4);
    found.stdout("  hello: 1.0, newest 1.1 (debian trixie)\noutdated: 1, in security suites: 0\n");
    outdated(&["--security"]).assert().success();
    let output = outdated(&["--json"]).assert().code(4).get_output().stdout.clone();
    let text = String::from_utf8(output).unwrap();
    let mut events = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let event = events.find(|event| event["event"] == "outdated").unwrap();
    assert_eq!((&event["name"], &event["newest"], &event["security"]), (&"hello".into(), &"1.1".into(), &false.into()));
    assert_eq!(project.lock(), before);

    // The same archive, now also as the security archive.
    let text = project
        .read("profiles/tiny.toml")
        .replace("\"debian/trixie\"", "\"debian/trixie\", \"debian-security/trixie\"");
    fs::write(project.at("profiles/tiny.toml"), text).unwrap();
    let found = outdated(&["--security", "--security-mirror", &debian.url()]).assert().code(4);
    found.stdout(contains("(debian-security trixie, security)\noutdated: 1, in security suites: 1\n"));
    project.run(&["lock", "outdated", "--profile", "none"]).assert().code(3);
}
