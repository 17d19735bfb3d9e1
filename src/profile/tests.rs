use super::*;
use crate::format::squashfs::Compression;
use appliance_contract::causes::WithCauses as _;
use proptest::prelude::*;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const BASE: &str = r#"kind = "host"
version = "1"
suites = ["debian/trixie"]
components = ["main"]
packages = ["systemd"]
"#;

fn root(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join("profiles").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn load(text: &str) -> Result<Profile, ProfileError> {
    let root = root(&[("t.toml", text)]);
    Library::new(root.path()).load("t")
}

fn in_file(error: ProfileError) -> InFile {
    match error {
        ProfileError::InFile(error) => *error,
        other => panic!("{other:?}"),
    }
}

fn spanned<'a>(text: &'a str, error: &InFile) -> &'a str {
    &text[error.span.offset()..error.span.offset() + error.span.len()]
}

#[test]
fn reads_every_key() {
    let root = root(&[
        (
            "t.toml",
            r#"
name = "t"
kind = "guest"
version = "2026.11.1"
architecture = "amd64"
volume-label = "LABEL"
source-date-epoch = 1700000000
agent = false
recommends = true
components = ["main", "contrib"]
suites = ["debian/trixie", { archive = "debian-security", name = "trixie-security", components = ["main"] }]
packages = ["git", "less=668-1"]
firmware = ["bnx2", "intel-microcode"]
sets = [{ file = "sets/base.tgz", sha256 = "abababababababababababababababababababababababababababababababab" }]
[archives.debian]
url = "http://localhost/debian/"
[archives.vendor]
url = "https://vendor.example.org/apt"
key = "keys/vendor.asc"
packages = ["tool-*"]
[files]
directories = ["/data"]
[files.modes]
"/etc/secret" = "0640"
"/etc/keys" = { mode = "0600", owner = "sshd", group = "7" }
[files.links]
"/etc/resolv.conf" = "../run/resolv.conf"
[boot]
kernel = "/netbsd"
protocol = "multiboot"
kernel-arguments = ["quiet", "mitigations=auto"]
xen-arguments = ["dom0_mem=1G"]
consoles = ["ttyS1,9600n8", "tty0"]
on-missing = "reboot"
menu-timeout = 0
secure-boot = false
[services]
enable = ["ssh.service"]
disable = ["a.timer"]
mask = ["b.socket"]
[root]
format = "plain"
compression = "xz"
level = 9
block-size = "256K"
[prune]
documentation = true
keep-locales = ["de", "pt_BR"]
paths = ["/usr/share/icons/**"]
[initramfs]
include = ["drivers/scsi/", "e1000e"]
exclude = ["floppy"]
[variables]
colour = "red"
"#,
        ),
        ("t/etc/secret.hbs", "{{vars.colour}}"),
        ("t/etc/keys", "k"),
        ("t/usr/bin/tool", "#!/bin/sh\n"),
        ("keys/vendor.asc", "a key"),
    ]);
    let profile = Library::new(root.path()).load("t").unwrap();
    assert_eq!((profile.kind, profile.version.as_str(), profile.agent), (Role::Guest, "2026.11.1", false));
    assert_eq!(profile.source_date_epoch, Some(1_700_000_000));
    assert_eq!(profile.archives["debian"].url.as_deref(), Some("http://localhost/debian"));
    let vendor = &profile.archives["vendor"];
    assert_eq!(vendor.key, Some(KeyFile { name: "keys/vendor.asc".into(), bytes: b"a key".into() }));
    assert_eq!(vendor.packages.as_deref(), Some(["tool-*".to_owned()].as_slice()));
    assert_eq!(profile.suites[0].components, ["main", "contrib"]);
    assert_eq!(profile.suites[1].components, ["main"]);
    let packages: Vec<_> = profile.packages.iter().map(|p| (p.name.as_str(), p.version.as_deref())).collect();
    assert_eq!(packages, [("git", None), ("less", Some("668-1")), ("firmware-bnx2", None), ("intel-microcode", None)]);
    assert_eq!(profile.packages[0].origin.line, 12);
    assert_eq!(profile.sets[0].path, root.path().join("profiles/sets/base.tgz"));
    assert_eq!(profile.sets[0].sha256, [0xab; 32].into());
    assert_eq!((profile.boot.protocol, profile.boot.kernel.as_deref()), (Protocol::Multiboot, Some("/netbsd")));
    assert_eq!(profile.boot.kernel_arguments, ["quiet", "mitigations=auto"]);
    assert_eq!(profile.boot.consoles, ["ttyS1,9600n8", "tty0"]);
    assert_eq!((profile.boot.on_missing, profile.boot.menu_timeout), (OnMissing::Reboot, 0));
    assert_eq!(profile.services.mask, ["b.socket"]);
    assert_eq!(profile.root.format, RootFormat::Plain);
    assert_eq!(profile.root.compression, Compression::Xz { level: 9 });
    assert_eq!(profile.root.block_size, 262_144);
    assert_eq!(profile.prune.keep_locales.as_deref(), Some(["de".to_owned(), "pt_BR".to_owned()].as_slice()));
    assert_eq!(profile.initramfs.include, ["drivers/scsi/", "e1000e"]);
    let files: Vec<_> = profile.overlays[0]
        .files
        .iter()
        .map(|f| (f.path.as_str(), f.mode, f.owner.as_str(), f.group.as_str()))
        .collect();
    assert_eq!(
        files,
        [
            ("/data", 0o755, "root", "root"),
            ("/etc/keys", 0o600, "sshd", "7"),
            ("/etc/resolv.conf", 0o777, "root", "root"),
            ("/etc/secret", 0o640, "root", "root"),
            ("/usr/bin/tool", 0o755, "root", "root"),
        ]
    );
    assert!(
        matches!(&profile.overlays[0].files[3].content, OverlayContent::Template(found) if found.text == "{{vars.colour}}")
    );
}

#[test]
fn says_what_a_short_profile_leaves_out() {
    let profile = load(BASE).unwrap();
    assert_eq!(profile.volume_label, "T_1");
    assert_eq!(profile.boot.consoles, ["tty0", "ttyS0,115200"]);
    assert_eq!(profile.root.compression, Compression::Zstd { level: 15 });
    assert!(profile.agent && profile.boot.secure_boot && !profile.recommends && profile.overlays.is_empty());
}

/// Line added to the base, the message, the text under the span, and the help or label.
#[test]
fn bad_input_is_refused_at_its_place() {
    for (line, message, at, hint) in [
        ("packges = []", r#"unknown key "packges""#, "packges", r#"did you mean "packages"?"#),
        ("zzzzzzzzzz = 1", r#"unknown key "zzzzzzzzzz""#, "zzzzzzzzzz", "the keys here are "),
        ("[boot]\nhypervisor = 1", r#"unknown key "boot.hypervisor""#, "hypervisor", r#"did you mean "hypervisors"?"#),
        ("[boot]\nhypervisors = [\"xem\"]", r#"boot.hypervisors: found "xem""#, "\"xem\"", r#"did you mean "xen"?"#),
        ("[boot]\nhypervisors = [\"xen\", \"xen\"]", "boot.hypervisors names one twice", "\"xen\"", "already listed"),
        ("[boot]\nprotocol = \"multibot\"", r#"boot.protocol: found "multibot""#, "\"multibot\"", "multiboot"),
        ("[boot]\nprotocol = \"multiboot\"", "boot.protocol without boot.kernel", "\"multiboot\"", "/netbsd"),
        (
            "[boot]\nprotocol = \"xen\"\nkernel = \"/k\"\nhypervisors = [\"kvm\"]",
            "boot.protocol together with boot.hypervisors",
            "\"xen\"",
            "leave one",
        ),
        ("[boot]\nkernel-arguments = [\"a b\"]", r#"found "a b""#, "\"a b\"", "one argument"),
        ("[boot]\nkernel-arguments = [\"appliance.root=x\"]", "found", "\"appliance.root=x\"", "the build sets them"),
        ("[boot]\nconsoles = [\"com1\"]", r#"found "com1""#, "\"com1\"", "ttyS0,115200"),
        ("[boot]\non-missing = \"panic\"", r#"found "panic""#, "\"panic\"", "expected shell, wait, reboot"),
        ("[boot]\nmenu-timeout = -1", "boot.menu-timeout: found -1", "-1", "from 0 to 3600"),
        ("agent = \"no\"", "agent: found a string, expected true or false", "\"no\"", "a string"),
        ("boot = 1", "boot: found an integer, expected a table", "1", "an integer"),
        ("architecture = \"amd46\"", r#"found "amd46""#, "\"amd46\"", r#"did you mean "amd64"?"#),
        ("source-date-epoch = 1.5", "found a float, expected an integer", "1.5", "a float"),
        ("volume-label = \"lower\"", r#"found "lower""#, "\"lower\"", "upper-case"),
        ("[archives.debian]\nurl = \"ftp:x\"", "archives.debian.url", "\"ftp:x\"", "http:"),
        (
            "[archives.vendor]\nurl = \"https://me:hidden@example.org\"",
            "has a login",
            "\"https://me:hidden@example.org\"",
            "APPLBUILD_AUTH_CONF",
        ),
        ("[archives.vendor]\nkey = \"none.asc\"", "reading the key", "\"none.asc\"", "a file of keys"),
        ("[archives.vendor]\nurls = 1", "archives.vendor.urls", "urls", "not a key"),
        ("[archives.vendor]\npackages = [\"A\"]", "archives.vendor.packages", "\"A\"", "a package's name"),
        ("sets = [{ file = \"a.tgz\" }]", "a set has no sha256", "{ file = \"a.tgz\" }", "sha256sum"),
        ("sets = [{ file = \"a\", sha256 = \"12\" }]", "sets.sha256", "\"12\"", "64 hexadecimal"),
        ("[root]\ncompression = \"zst\"", r#"found "zst""#, "\"zst\"", r#"did you mean "zstd"?"#),
        ("[root]\ncompression = \"xz\"\nlevel = 12", "root.level: found 12", "12", "1 to 9"),
        ("[root]\nblock-size = \"100K\"", "root.block-size", "\"100K\"", "power of two"),
        ("[root]\nformat = \"plain\"", "with the agent", "\"plain\"", "agent = false"),
        ("[services]\nenable = [\"ssh\"]", r#"found "ssh""#, "\"ssh\"", "with its suffix"),
        ("[prune]\npaths = [\"usr/share\"]", r#"found "usr/share""#, "\"usr/share\"", "absolute"),
        ("[initramfs]\ninclude = [\"a/b\"]", r#"found "a/b""#, "\"a/b\"", "drivers/scsi/"),
        ("[variables]\ncolour = 1", "variables.colour: found an integer", "1", "an integer"),
        ("[files]\nfolder = \"nowhere\"", "does not exist", "\"nowhere\"", "no such directory"),
        (
            "[files.modes]\n\"/etc/x\" = \"0644\"",
            "a path that the overlay does not contain",
            "\"/etc/x\"",
            "not in the",
        ),
        ("[files.modes]\n\"/etc/x\" = \"999\"", "found \"999\"", "\"999\"", "octal"),
        ("remove-packages = [\"git\"]", r#"remove-packages: found "git""#, "\"git\"", "no profile"),
        ("extends = \"nosuch\"", "extends: profile \"nosuch\" is not known", "\"nosuch\"", "expected one of"),
        ("extends = \"t\"", "in a cycle: t → t", "\"t\"", "closes the cycle"),
        ("name = \"other\"", r#"name: found "other""#, "\"other\"", "t.toml"),
        ("a = [", "the file is not TOML", "", ""),
    ] {
        let text = format!("{BASE}{line}\n");
        let error = in_file(load(&text).unwrap_err());
        assert!(error.message.contains(message), "{line}: {}", error.message);
        if !at.is_empty() {
            assert_eq!(spanned(&text, &error), at, "{line}");
        }
        let said = format!("{} {}", error.label, error.help.clone().unwrap_or_default());
        assert!(said.contains(hint), "{line}: {said}");
        assert!(error.line > 5 || error.message.contains("without"), "{line}: line {}", error.line);
    }
}

#[test]
fn a_login_is_not_shown() {
    let error = load(&format!("{BASE}[archives.vendor]\nurl = \"https://me:hidden@example.org\"\n")).unwrap_err();
    let shown = format!("{:?}", miette::Report::new(error));
    assert!(shown.contains("https://*********@example.org") && !shown.contains("hidden"), "{shown}");
}

#[test]
fn suites_are_named_as_sources_name_them() {
    let suites = |text: &str| {
        let text = BASE.replace("\"debian/trixie\"", text);
        load(&text)
            .map(|profile| profile.suites.into_iter().map(|suite| (suite.name, suite.components)).collect::<Vec<_>>())
    };
    let main = || vec!["main".to_owned()];
    for (written, name, components) in [
        ("\"v/stable/updates\"", "stable/updates", main()),
        ("\"v//\"", "/", vec![]),
        ("\"v/./\"", "/", vec![]),
        ("\"v/./deb/x:/\"", "deb/x:/", vec![]),
        ("{ archive = \"v\", name = \"/\" }", "/", vec![]),
        (
            "{ archive = \"v\", name = \"a/b\", components = [\"updates/main\"] }",
            "a/b",
            vec!["updates/main".to_owned()],
        ),
    ] {
        assert_eq!(suites(written).unwrap(), [(name.to_owned(), components)], "{written}");
        assert_shown(&load(&BASE.replace("\"debian/trixie\"", written)).unwrap());
    }
    for written in [
        "\"v/../x\"",
        "\"v/../\"",
        "\"v//x\"",
        "\"v/a b/\"",
        "\"v/\"",
        "{ archive = \"v\", name = \"/\", components = [\"main\"] }",
    ] {
        assert!(suites(written).is_err(), "{written}");
    }
}

#[test]
fn names_have_the_length_that_file_systems_hold() {
    let profile = |name: &str| {
        load(&format!("{BASE}[files]\ndirectories = [\"/etc/{name}\"]\n[files.links]\n\"/{name}\" = \"x\"\n"))
    };
    assert!(profile(&"n".repeat(255)).is_ok());
    let error = in_file(profile(&"n".repeat(300)).unwrap_err());
    assert!(error.label.ends_with("255 bytes at most"), "{}", error.label);
}

#[test]
fn what_must_be_there_is_asked_for() {
    for (text, said) in [
        (BASE.replace("kind = \"host\"\n", ""), "the profile has no kind"),
        (BASE.replace("version = \"1\"\n", ""), "the profile has no version"),
        (BASE.replace("packages = [\"systemd\"]\n", ""), "the profile has no packages"),
        (BASE.replace("suites = [\"debian/trixie\"]\n", ""), "the profile has no suites"),
        (BASE.replace("components = [\"main\"]\n", ""), "the profile has no components"),
        (BASE.replace("\"1\"", "\"1-2\""), "version: found \"1-2\""),
        (BASE.replace("debian/trixie", "trixie"), "suites: found \"trixie\""),
        (BASE.replace("\"systemd\"", "\"Systemd\""), "packages: found \"Systemd\""),
        (BASE.replace("\"host\"", "\"hots\""), "kind: found \"hots\""),
    ] {
        assert_eq!(in_file(load(&text).unwrap_err()).message, said);
    }
}

#[test]
fn an_unknown_profile_is_named_with_its_neighbours() {
    let root = root(&[("server.toml", BASE)]);
    let error = Library::new(root.path()).load("sever").unwrap_err();
    let ProfileError::Unknown { known, help, .. } = &error else { panic!("{error:?}") };
    assert!(known.contains(&"server".to_owned()));
    assert_eq!(help.as_deref(), Some("did you mean \"server\"?"));
    for name in ["../profiles/server", "", "server.toml", "Server"] {
        assert!(matches!(Library::new(root.path()).load(name), Err(ProfileError::Unknown { .. })), "{name}");
    }
}

#[test]
fn a_child_adds_to_lists_replaces_scalars_and_removes_packages() {
    let root = root(&[
        (
            "a.toml",
            &format!(
                "{BASE}agent = false\n[boot]\nhypervisors = [\"xen\", \"kvm\"]\n[services]\nmask = [\"x.timer\"]\n"
            ),
        ),
        ("a/etc/motd", "a"),
        ("b.toml", "extends = \"a\"\npackages = [\"git\"]\n[services]\nmask = [\"y.timer\", \"x.timer\"]\n"),
        (
            "c.toml",
            "extends = [\"a\", \"b\"]\nversion = \"2\"\nremove-packages = [\"systemd\"]\npackages = [\"runit=1.0\"]\n[boot]\nhypervisors = [\"kvm\"]\n",
        ),
        ("c/etc/motd", "c"),
    ]);
    let profile = Library::new(root.path()).load("c").unwrap();
    assert_eq!((profile.name.as_str(), profile.version.as_str(), profile.agent), ("c", "2", false));
    let packages: Vec<_> = profile.packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(packages, ["git", "runit"]);
    assert_eq!(profile.services.mask, ["x.timer", "y.timer"]);
    assert_eq!(profile.boot.hypervisors, [Hypervisor::Kvm]);
    assert_eq!(profile.overlays.len(), 2);
    assert!(matches!(&profile.overlays[1].files[0].content, OverlayContent::Bytes(bytes) if bytes == b"c"));
}

#[test]
fn guests_are_whole_profiles_and_a_child_may_choose_others() {
    let host = format!("guests = [\"a\", \"b\"]\n{BASE}");
    let a = BASE.replace("\"host\"", "\"guest\"");
    let files = [
        ("t.toml", host.as_str()),
        ("none.toml", "extends = \"t\"\nguests = []\n"),
        ("a.toml", a.as_str()),
        ("b.toml", "extends = \"a\"\npackages = [\"nginx\"]\n"),
    ];
    let root = root(&files);
    let library = Library::new(root.path());
    let profile = library.load("t").unwrap();
    let names: Vec<&str> = profile.guests.iter().map(|guest| guest.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(profile.guests[1].packages.iter().any(|package| package.name == "nginx"));
    assert!(profile.show().contains("guests = [\"a\", \"b\"]"), "{}", profile.show());
    assert!(library.load("none").unwrap().guests.is_empty());
}

#[test]
fn a_guest_that_is_none_is_refused_at_its_place() {
    let a = BASE.replace("\"host\"", "\"guest\"");
    for (guests, said) in [
        ("[\"aa\"]", "guests: profile \"aa\" is not known"),
        ("[\"t\"]", "guests: \"t\" is the profile of a host"),
        ("[\"a\", \"a\"]", "guests names \"a\" twice"),
        ("[\"c\"]", "guests in the profile of a guest"),
    ] {
        let host = format!("guests = {guests}\n{BASE}");
        let c = format!("guests = [\"a\"]\n{a}");
        let root = root(&[("t.toml", &host), ("a.toml", &a), ("c.toml", &c)]);
        let error = in_file(Library::new(root.path()).load("t").unwrap_err());
        assert!(error.with_causes().contains(said), "{error}: expected {said}");
    }
}

#[test]
fn a_profile_as_large_as_one_may_be_is_read() {
    let names: Vec<String> = (0..60_000).map(|number| format!("p{number:05}")).collect();
    let list = format!("packages = [\n{}]\n", names.iter().map(|name| format!("\"{name}\",\n")).collect::<String>());
    let text = BASE.replace("packages = [\"systemd\"]\n", &list);
    let child = format!("extends = \"t\"\nremove-packages = [\"{}\"]\n{list}", names[..30_000].join("\", \""));
    let root = root(&[("t.toml", &text), ("child.toml", &child)]);
    let library = Library::new(root.path());
    let profile = library.load("t").unwrap();
    assert_eq!((profile.packages.len(), profile.packages[59_999].origin.line), (60_000, 60_005));
    assert_eq!(library.load("child").unwrap().packages[30_000].name, "p00000");
    assert!(library.load("t").unwrap().show().lines().count() > 60_000);
}

#[test]
fn a_circle_is_refused_with_its_chain() {
    let root = root(&[("a.toml", "extends = \"b\""), ("b.toml", "extends = [\"c\"]"), ("c.toml", "extends = \"a\"")]);
    let error = in_file(Library::new(root.path()).load("a").unwrap_err());
    assert_eq!(error.message, "profiles extend each other in a cycle: a → b → c → a");
    assert!(error.file.ends_with("c.toml"));
}

#[test]
fn modes_come_from_the_profile_and_not_from_the_checkout() {
    use std::os::unix::fs::PermissionsExt;
    let root = root(&[("t.toml", BASE), ("t/etc/motd", ""), ("t/usr/lib/systemd/system-generators/g", "")]);
    let file = root.path().join("profiles/t/etc/motd");
    let modes = || -> Vec<u16> {
        let profile = Library::new(root.path()).load("t").unwrap();
        profile.overlays[0].files.iter().map(|file| file.mode).collect()
    };
    fs::set_permissions(&file, fs::Permissions::from_mode(0o777)).unwrap();
    let before = modes();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!((before, modes()), (vec![0o644, 0o755], vec![0o644, 0o755]));
}

#[test]
fn the_shipped_profiles_programs_can_be_run() {
    for name in ["host", "guest", "guest-web"] {
        let profile = Library::new(Path::new("/nonexistent")).load(name).unwrap();
        let files = profile.overlays.iter().flat_map(|overlay| &overlay.files);
        let programs =
            |file: &&OverlayFile| matches!(&file.content, OverlayContent::Bytes(bytes) if bytes.starts_with(b"#!"));
        let programs: Vec<(&str, u16)> = files.filter(programs).map(|file| (file.path.as_str(), file.mode)).collect();
        assert!(programs.len() > 1 && programs.iter().all(|(_, mode)| *mode == 0o755), "{name}: {programs:?}");
    }
}

#[test]
fn a_template_that_would_not_become_a_file_is_refused_at_its_place() {
    for (text, at, message, help) in [
        ("a\n{{vars.color}} b\n", "{{vars.color}}", "has no value", "did you mean vars.colour?"),
        ("a {{nmae}}", "{{nmae}}", "nmae has no value", "did you mean name?"),
        ("{{#if name}}\nx\n", "", "", ""),
        ("a\n  {{> other}}\n", "{{> other}}", "other", ""),
    ] {
        let files = [("t.toml", &*format!("{BASE}[variables]\ncolour = \"red\"\n")), ("t/etc/motd.hbs", text)];
        let root = root(&files);
        let error = in_file(Library::new(root.path()).load("t").unwrap_err());
        assert!(error.file.ends_with("profiles/t/etc/motd.hbs"), "{}", error.file);
        assert!(error.message.contains(message), "{text:?}: {}", error.message);
        assert!(at.is_empty() || spanned(text, &error) == at, "{text:?}: {:?}", spanned(text, &error));
        assert_eq!(error.help.unwrap_or_default(), help, "{text:?}");
    }
    let good = root(&[("t.toml", BASE), ("t/etc/motd.hbs", "{{name}} {{version}} {{architecture}}\n")]);
    assert!(Library::new(good.path()).load("t").is_ok());
}

#[test]
fn a_file_and_a_template_of_one_path_are_refused() {
    let root = root(&[("t.toml", BASE), ("t/etc/motd", ""), ("t/etc/motd.hbs", "")]);
    let error = Library::new(root.path()).load("t").unwrap_err();
    assert!(matches!(error, ProfileError::File(_)) && error.with_causes().contains("twice"), "{error}");
}

#[test]
fn every_shipped_profile_reads() {
    let nowhere = Path::new("/nonexistent");
    for (name, home) in Library::new(nowhere).names().unwrap() {
        assert_eq!(home, Home::Embedded);
        Library::new(nowhere).load(&name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// The output of `show` parses to the same profile, except its overlays.
fn assert_shown(profile: &Profile) {
    let shown = profile.show();
    let root = root(&[(&format!("{}.toml", profile.name), shown.as_str())]);
    let mut again = Library::new(root.path()).load(&profile.name).unwrap_or_else(|error| panic!("{error}\n{shown}"));
    assert!(again.overlays.is_empty());
    again.overlays = profile.overlays.clone();
    assert_eq!(again.show(), shown);
    assert_eq!((&again.suites, &again.variables), (&profile.suites, &profile.variables));
}

#[test]
fn a_shown_profile_reads_back() {
    assert_shown(&load(BASE).unwrap());
    assert_shown(&load(&format!("{BASE}[boot]\nhypervisors = [\"kvm\", \"xen\"]\n")).unwrap());
    for name in Library::new(Path::new("/nonexistent")).names().unwrap().into_keys() {
        assert_shown(&Library::new(Path::new("/nonexistent")).load(&name).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = load(&text);
    }

    #[test]
    fn no_change_of_a_good_profile_makes_it_panic(at in 0..BASE.len(), cut in 0..20usize, put in "[\\[\\]{}\"=.,\n a-z0-9é]{0,12}") {
        let end = (at + cut).min(BASE.len());
        let _ = load(&format!("{}{put}{}", &BASE[..at], &BASE[end..]));
    }

    #[test]
    fn any_strings_are_kept_or_refused(package in "[a-z][a-z0-9+.-]{1,12}", variable in "\\PC{0,20}", argument in "[!-~]{1,12}") {
        let text = format!(
            "{BASE}[boot]\nkernel-arguments = [{}]\n[variables]\nv = {}\n",
            toml::Value::String(argument.clone()),
            toml::Value::String(variable.clone()),
        ).replace("\"systemd\"", &format!("{package:?}"));
        if let Ok(profile) = load(&text) {
            prop_assert_eq!(&profile.variables["v"], &variable);
            prop_assert_eq!(&profile.boot.kernel_arguments[0], &argument);
            prop_assert_eq!(&profile.packages[0].name, &package);
            assert_shown(&profile);
        }
    }
}

/// [`BASE`] with the keys of `example` in it, and the profiles that examples name.
pub(crate) fn with_example(example: &str) -> Result<Profile, ProfileError> {
    let mut text: toml_edit::DocumentMut = BASE.parse().unwrap();
    let more: toml_edit::DocumentMut = example.parse().unwrap_or_else(|error| panic!("{example}: {error}"));
    for (key, item) in more.iter() {
        text[key] = item.clone();
    }
    let guest = BASE.replace("host", "guest");
    let files = [
        ("t.toml", text.to_string()),
        ("other.toml", BASE.replace("[\"systemd\"]", "[\"systemd\", \"git\"]")),
        ("virtual.toml", guest),
        ("storage.toml", format!("{BASE}name = \"storage\"\n")),
        ("overlay/etc/motd", "hello".to_owned()),
        ("t/etc/hosts", "hosts".to_owned()),
    ];
    let root = root(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
    let name = if more.contains_key("name") { "storage" } else { "t" };
    Library::new(root.path()).load(name)
}

#[test]
fn the_table_has_each_key_once_and_its_defaults_are_true() {
    let names: std::collections::BTreeSet<&str> = keys::KEYS.iter().map(|key| key.name).collect();
    assert_eq!(names.len(), keys::KEYS.len());
    let shown: toml_edit::DocumentMut = load(BASE).unwrap().show().parse().unwrap();
    for key in keys::KEYS {
        let Ok(default) = key.default.parse::<toml_edit::Value>() else { continue };
        let (table, name) = key.split();
        let found = table.map_or_else(|| shown.get(name), |table| shown.get(table).and_then(|found| found.get(name)));
        let Some(found) = found.and_then(|found| found.as_value()) else { continue };
        assert_eq!(found.to_string().trim(), default.to_string().trim(), "{}", key.name);
    }
}

#[test]
fn the_schema_has_the_keys_that_are_read() {
    let schema = schema();
    for key in keys::KEYS {
        let place = key.name.replace('.', "/properties/");
        assert!(schema.pointer(&format!("/properties/{place}/description")).is_some(), "{}", key.name);
    }
    // A key that no reader asks for is unknown, and one that is read is in the table.
    for key in ["nme", "boot.menu", "files.mode"] {
        let error = in_file(with_example(&format!("{key} = 1")).unwrap_err());
        assert!(error.with_causes().contains("unknown key"), "{error}");
    }
}
