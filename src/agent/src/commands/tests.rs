use super::*;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use tempfile::TempDir;

struct Node {
    folder: TempDir,
}

const HASH: &str = "abababababababababababababababababababababababababababababababab";

impl Node {
    fn new() -> Self {
        let node = Self { folder: TempDir::new().unwrap() };
        for layer in ["image", "config", "memory"] {
            fs::create_dir_all(node.at(&format!("run/appliance/etc/{layer}"))).unwrap();
        }
        fs::create_dir(node.at("etc")).unwrap();
        node.file("run/appliance/boot.json", &RECORD.replace("HASH", HASH));
        node.file(
            "proc/self/mountinfo",
            "25 1 253:0 / / ro - squashfs /dev/dm-0 ro\n26 25 0:9 / /var rw - overlay var rw\n",
        );
        node.file("proc/sys/kernel/osrelease", "6.12.57\n");
        node.file("proc/uptime", "3725.10 900.00\n");
        node.file("sys/hypervisor/type", "xen\n");
        node.file("sys/dev/block/253:0/dm/name", "appliance-root\n");
        node.file("sys/dev/block/253:0/dm/suspended", "0\n");
        node
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn file(&self, path: &str, text: &str) {
        let place = self.at(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, text).unwrap();
        fs::set_permissions(&place, Permissions::from_mode(0o644)).unwrap();
    }

    fn layer(&self, layer: &str, path: &str, text: &str) {
        self.file(&format!("run/appliance/etc/{layer}/{path}"), text);
    }

    fn run_with(&self, arguments: &str, status: &dyn Fn(&str) -> io::Result<String>) -> (u8, String, String) {
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        let clock = || std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_793_500_000);
        let programs = crate::guests::tests::FakePrograms::default();
        let world = World { root: self.folder.path(), mapped_status: status, programs: &programs, clock: &clock };
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let code = run(&arguments, &world, &mut out, &mut errors);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
    }

    fn run(&self, arguments: &str) -> (u8, String, String) {
        self.run_with(arguments, &|name| {
            assert_eq!(name, "appliance-root");
            Ok("V".to_owned())
        })
    }
}

const RECORD: &str = r#"{
  "schema": 1,
  "role": "host",
  "image": { "name": "host", "version": "2026.11.1" },
  "root": { "source": "medium:2026-11-01-00-00-00-00", "device": "/dev/sr0", "offset": 4096, "root_hash": "HASH" },
  "config": { "device": "/dev/vda1", "file_system": "ext4", "uuid": "12ab", "label": null, "node": "web1",
              "generation": "r1842", "others": ["/dev/vdb1"] },
  "refused": [{ "device": "/dev/sda1", "reason": "it is swap space" }],
  "etc": { "files": 12, "bytes": 3456, "dropped": [{ "device": "local/etc/x", "reason": "it is a socket" }],
           "global_links": ["/etc/hosts"] },
  "var": "image",
  "machine_id": "00112233445566778899aabbccddeeff",
  "warnings": ["no ssh host key"],
  "steps": [{ "name": "devices", "started_ms": 900, "took_ms": 1500 }]
}"#;

#[test]
fn status_tells_the_boot_and_what_holds_now() {
    let node = Node::new();
    let (code, out, errors) = node.run("status");
    assert_eq!((code, errors.as_str()), (OK, ""));
    let expected = format!(
        "image       host 2026.11.1
kernel      Linux 6.12.57 under xen, up 1 h 02 min 05 s
root        medium:2026-11-01-00-00-00-00 on /dev/sr0 from byte 4096; squashfs, read-only
verity      verified, hash {HASH}
config      /dev/vda1 (ext4, UUID 12ab)
node        web1, generation r1842
also there  /dev/vdb1, of the same node
machine-id  00112233445566778899aabbccddeeff
/etc        12 files, 3456 bytes from the config; nothing changed since in memory
/etc links  /etc/hosts
left out    local/etc/x: it is a socket
/var        image (overlay, var)
refused     /dev/sda1: it is swap space
boot           0.900 s    1.500 s  devices
warnings    no ssh host key
"
    );
    assert_eq!(out, expected);
}

#[test]
fn status_shouts_when_a_block_is_corrupt() {
    let node = Node::new();
    let (code, out, _) = node.run_with("status", &|_| Ok("C".to_owned()));
    assert_eq!(code, DIFFERS);
    assert!(out.contains("verity      CORRUPTED"), "{out}");
}

#[test]
fn status_says_what_it_could_not_ask() {
    let node = Node::new();
    let denied = |_: &str| Err(io::ErrorKind::PermissionDenied.into());
    let (code, out, _) = node.run_with("status", &denied);
    assert_eq!(code, OK);
    assert!(out.contains("its state now is unknown: reading the status of appliance-root: permission denied"), "{out}");
    fs::remove_dir_all(node.at("sys")).unwrap();
    assert!(node.run("status").1.contains("which is no mapped device"));
    node.file("run/appliance/boot.json", &RECORD.replace("\"HASH\"", "null"));
    assert!(node.run("status").1.contains("not verified (appliance.roothash=none)"));
}

#[test]
fn status_as_json_is_json() {
    let (code, out, _) = Node::new().run("status --json");
    assert_eq!(code, OK);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["verity"]["state"], "verified");
    assert_eq!(value["boot"]["config"]["node"], "web1");
    assert_eq!(value["changes_in_memory"], 0);
}

#[test]
fn no_record_or_a_later_one_is_trouble() {
    let node = Node::new();
    node.file("run/appliance/boot.json", &RECORD.replace("\"schema\": 1", "\"schema\": 2"));
    let (code, _, errors) = node.run("status");
    assert!(code == ERROR && errors.contains("schema version 2 is not known"), "{errors}");
    fs::remove_file(node.at("run/appliance/boot.json")).unwrap();
    let (code, _, errors) = node.run("status");
    assert!(code == ERROR && errors.contains("the record of this boot"), "{errors}");
}

#[test]
fn diff_lists_config_and_memory() {
    let node = Node::new();
    for (path, text) in [("hosts", "a\n"), ("same", "s\n"), ("ssh/sshd_config", "x\n"), ("gone", ""), ("dir/in", "")] {
        node.layer("image", path, text);
    }
    for (path, text) in [("hosts", "b\n"), ("same", "s\n"), ("new", "n\n")] {
        node.layer("config", path, text);
    }
    symlink("/x", node.at("run/appliance/etc/config/link")).unwrap();
    // A copy-up without a change; a real change; a new file in a new directory; an opaque directory.
    for (path, text) in [("same", "s\n"), ("hosts", "c\n"), ("deep/file", "1\n"), ("dir/other", "")] {
        node.layer("memory", path, text);
    }
    for (path, text) in [
        ("hosts", "c\n"),
        ("same", "s\n"),
        ("new", "n\n"),
        ("ssh/sshd_config", "x\n"),
        ("deep/file", "1\n"),
        ("dir/other", ""),
    ] {
        node.file(&format!("etc/{path}"), text);
    }
    symlink("/x", node.at("etc/link")).unwrap();
    let (code, out, errors) = node.run("etc diff");
    assert_eq!(errors, "");
    assert_eq!(
        out,
        "config M /etc/hosts\nconfig A /etc/link\nconfig A /etc/new\nmemory A /etc/deep\nmemory A /etc/deep/file\n\
         memory D /etc/dir/in\nmemory A /etc/dir/other\nmemory D /etc/gone\nmemory M /etc/hosts\n"
    );
    assert_eq!(code, DIFFERS);
    assert!(!node.run("etc diff --memory").1.contains("config"));
    assert!(!node.run("etc diff --config").1.contains("memory"));
    let (_, out, _) = node.run("etc diff -u --config");
    assert!(
        out.starts_with("config M /etc/hosts\n--- a/etc/hosts\n+++ b/etc/hosts\n@@ -1,1 +1,1 @@\n-a\n+b\n"),
        "{out}"
    );
    assert!(out.contains("--- /dev/null\n+++ b/etc/link\n@@ -0,0 +1,1 @@\n+link to /x\n"), "{out}");
    assert!(node.run("status").1.contains("6 changed since in memory"));
}

#[test]
fn diff_shows_modes_and_leaves_binary_alone() {
    let node = Node::new();
    node.layer("image", "key", "k\n");
    node.layer("config", "key", "k\n");
    node.layer("config", "blob", "\0\u{1}");
    fs::set_permissions(node.at("run/appliance/etc/config/key"), Permissions::from_mode(0o600)).unwrap();
    let (_, out, _) = node.run("etc diff -u --config");
    assert!(out.contains("config A /etc/blob\n (not text, or too large to show)\n"), "{out}");
    assert!(out.contains("100644") && out.contains("100600"), "{out}");
}

#[test]
fn diff_of_nothing_is_nothing() {
    assert_eq!(Node::new().run("etc diff"), (OK, String::new(), String::new()));
}

#[test]
fn diff_where_no_agent_booted_is_trouble() {
    let node = Node::new();
    fs::remove_dir_all(node.at("run/appliance/etc")).unwrap();
    let (code, out, errors) = node.run("etc diff");
    assert_eq!((code, out.as_str()), (ERROR, ""));
    assert!(errors.contains("run/appliance/etc/config"), "{errors}");
}

#[test]
fn slips_get_the_nearest_word() {
    let node = Node::new();
    for (arguments, said) in [
        ("statsu", "did you mean status?"),
        ("status --jsn", "did you mean --json?"),
        ("etc dif", "did you mean diff?"),
        ("etc diff --memroy", "did you mean --memory?"),
        ("reboot", "expected status, etc diff, guest or help; see appliance help"),
        ("etc", "expected diff after etc"),
        ("etc diff --config --memory", "expected one of the two"),
        ("status --json x", "found \"x\""),
    ] {
        let (code, out, errors) = node.run(arguments);
        assert_eq!((code, out.as_str()), (ERROR, ""), "{arguments}");
        assert!(errors.starts_with("appliance: ") && errors.contains(said), "{arguments}: {errors}");
    }
    for arguments in ["", "help", "--help"] {
        let (code, out, _) = node.run(arguments);
        assert!(code == OK && out.contains("appliance status [--json]"));
    }
}

#[test]
fn a_refused_guest_fails_in_one_line() {
    let node = Node::new();
    let programs = crate::guests::tests::FakePrograms::default();
    let clock = || std::time::UNIX_EPOCH;
    let mapped_status = |_: &str| Ok(String::new());
    let world = World { root: node.folder.path(), mapped_status: &mapped_status, programs: &programs, clock: &clock };
    let mut errors = Vec::new();
    let arguments = ["guest", "refuse", "web", "line 1: no"].map(str::to_owned);
    assert_eq!(run(&arguments, &world, &mut Vec::new(), &mut errors), 78);
    assert_eq!(String::from_utf8(errors).unwrap(), "appliance: guest web is not started: line 1: no\n");
}

mod guests {
    use super::*;
    use crate::guests::image::tests::{medium, store};
    use crate::guests::status::supervise;
    use crate::guests::tests::Node;

    fn command(node: &Node, arguments: &str) -> (u8, String, String) {
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        let world = node.world();
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let code = run(&arguments, &world, &mut out, &mut errors);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
    }

    fn node() -> Node {
        let node = Node::new();
        for (name, image) in [("web", "web"), ("pinned", "web@1")] {
            let text = format!("schema = 1\nimage = \"{image}\"\nmemory = \"64M\"\n");
            node.file(&format!("/config/local/domUs/{name}/guest.toml"), text.as_bytes());
        }
        node.file("/config/local/domUs/bad/guest.toml", b"memmory = 1\n");
        node.programs.answer("systemctl", 0, "");
        node
    }

    #[test]
    fn whatever_a_folder_holds_the_list_is_a_list() {
        let node = node();
        let text = format!("schema = 1\n{} = 1\n", "k".repeat(60_000));
        node.file("/config/local/domUs/long/guest.toml", text.as_bytes());
        node.file("/config/local/domUs/a\u{1b}[31m\nb/guest.toml", b"");
        let (code, out, errors) = command(&node, "guest list");
        assert_eq!((code, errors.as_str()), (DIFFERS, ""));
        assert_eq!(out.lines().count(), 6, "a head and a line each");
        assert!(out.contains("\na?[31m?b  refused") && out.contains("\nweb "), "{out}");
        let (_, _, errors) = command(&node, "guest show none");
        assert!(errors.ends_with("; the config lists a?[31m?b, bad, long, pinned, web\n"), "{errors:?}");
    }

    #[test]
    fn list_tells_all_and_that_one_is_refused() {
        let (code, out, _) = command(&node(), "guest list");
        assert_eq!(code, DIFFERS);
        let lines: Vec<&str> = out.lines().collect();
        assert!(
            lines[0].starts_with("NAME    STATE        IMAGE  MEMORY  UP  RESTARTS  RUNS AS  LAST FAILURE"),
            "{out}"
        );
        assert!(lines[1].starts_with("bad     refused      -      -"), "{out}");
        assert!(lines[1].contains("domUs/bad/guest.toml: "), "{out}");
        assert_eq!(lines[3], "web     not-started  web    64M     -   -         -        -");
        let (_, json, _) = command(&node(), "guest list --json");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json[2]["state"], "not-started");
    }

    #[test]
    fn the_old_name_of_update_works_and_is_not_listed() {
        let node = node();
        let pinned = |verb: &str| command(&node, &format!("guest {verb} pinned"));
        assert_eq!(pinned("upgrade"), pinned("update"));
        let (_, _, errors) = command(&node, "guest upgrade");
        assert!(errors.contains("the name of a guest"), "{errors}");
        assert!(!command(&node, "help").1.contains("upgrade"));
        assert!(!command(&node, "guest up").2.contains("upgrade"));
    }

    #[test]
    fn an_update_is_chosen_and_a_rollback_takes_it_back() {
        let node = node();
        medium(&node, "web", "1");
        store(&node, "web", "2");
        let state = |node: &Node| crate::guests::state::State::load(&node.world(), "web").unwrap();
        let mut known = state(&node);
        known.mark_ready("1", 5);
        known.save(&node.world(), "web").unwrap();
        let (code, out, errors) = command(&node, "guest update web");
        assert_eq!((code, errors.as_str()), (OK, ""));
        assert!(
            out.starts_with("version 2 of image web is chosen; not ready within 300 s, it goes back to version 1\n")
        );
        assert!(out.contains("/var is in memory here"), "{out}");
        assert!(out.ends_with("guest web is not running; it takes effect at its next start\n"), "{out}");
        let (code, _, errors) = command(&node, "guest rollback web");
        assert_eq!(code, ERROR);
        assert!(errors.contains("there is no version to go back to"), "{errors}");
        let mut known = state(&node);
        known.mark_ready("2", 6);
        known.save(&node.world(), "web").unwrap();
        let _lock = supervise(&node.world(), "web").unwrap();
        let (code, out, _) = command(&node, "guest rollback web");
        assert_eq!(code, OK);
        assert!(out.starts_with("version 1 of image web is chosen\n"), "{out}");
        assert_eq!(node.programs.calls.borrow().last().unwrap(), "systemctl restart appliance-guest@web.service");
        let (_, out, _) = command(&node, "guest show web");
        assert!(out.contains("chosen        1\n") && out.contains("rollback to   2\n"), "{out}");
        assert!(out.contains("available     2: /var/lib/appliance/images/web-2\n"), "{out}");
        assert!(out.contains("2026-11-01 02:26:40: an operator went back to version 1 from 2"), "{out}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_mends_it() {
        let node = node();
        store(&node, "web", "1");
        for (arguments, said) in [
            ("guest update pinned", "its guest.toml says image = \"web@1\": change it there"),
            ("guest rollback pinned", "pins version 1"),
            ("guest update web 9", "no image web of version 9 is on the medium or in the store"),
            ("guest update bad", "domUs/bad/guest.toml: "),
            ("guest show none", "there is no guest none"),
            ("guest console web", "it has no console"),
            ("guest strat web", "(did you mean start?)"),
            ("guest start", "the name of a guest"),
        ] {
            let (code, _, errors) = command(&node, arguments);
            assert_eq!(code, ERROR, "{arguments}");
            assert!(errors.contains(said) && errors.trim_end().lines().count() == 1, "{arguments}: {errors}");
        }
        node.programs.answer("systemctl start", 1, "Job failed");
        let (_, _, errors) = command(&node, "guest start web");
        assert_eq!(errors, "appliance: guest web: systemctl start appliance-guest@web.service: Job failed\n");
    }
}
