//! applbuild leaves no QEMU running, however it ends. A script replaces QEMU: it prints its process ID and waits.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A timeout for a test that would otherwise never end; the result does not depend on its length.
const BOUND: Duration = Duration::from_secs(60);

const SCENARIO: &str = "schema = 1\nsummary = \"waits for ever\"\nas = \"cd\"\nbound = 600\n[[step]]\nexpect = \"x\"\n";

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < BOUND, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// applbuild with its temporary files below `folder`.
fn start(folder: &Path, command: &[&str]) -> Child {
    let programs = folder.join("bin");
    fs::create_dir_all(&programs).unwrap();
    let qemu = programs.join("qemu-system-x86_64");
    let script = format!("#!/bin/sh\necho $$ >{0}/new && mv {0}/new {0}/pid\nexec sleep 1000\n", folder.display());
    fs::write(&qemu, script).unwrap();
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(folder.join("scenarios")).unwrap();
    fs::create_dir_all(folder.join("tmp")).unwrap();
    fs::write(folder.join("scenarios/waits.toml"), SCENARIO).unwrap();
    // A volume without blocks (ECMA-119 8.4) is enough to be started.
    let mut image = vec![0; 17 * 2048];
    image[16 * 2048..][..6].copy_from_slice(b"\x01CD001");
    fs::write(folder.join("image.iso"), image).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    Command::new(assert_cmd::cargo::cargo_bin("applbuild"))
        .args(command)
        .current_dir(folder)
        .env("PATH", path)
        .env("TMPDIR", folder.join("tmp"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn send(signal: Signal, process: u32) {
    kill(Pid::from_raw(process.try_into().unwrap()), signal).unwrap();
}

/// Whether the process is gone, or a zombie that init has not reaped yet.
fn has_ended(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.trim_start().starts_with('Z'))
}

fn qemu_of(folder: &Path) -> u32 {
    until("QEMU did not start", || fs::read_to_string(folder.join("pid")).ok()?.trim().parse().ok())
}

const COMMANDS: [&[&str]; 2] =
    [&["test", "image.iso", "--from", "scenarios"], &["boot", "image.iso", "--accel", "tcg"]];

#[test]
fn a_kill_leaves_no_qemu() {
    for command in COMMANDS {
        let folder = tempfile::tempdir().unwrap();
        let mut child = start(folder.path(), command);
        let qemu = qemu_of(folder.path());
        assert!(!has_ended(qemu));
        send(Signal::SIGKILL, child.id());
        child.wait().unwrap();
        until("QEMU outlived applbuild", || has_ended(qemu).then_some(()));
    }
}

#[test]
fn a_termination_leaves_neither_qemu_nor_files_and_is_130() {
    for command in COMMANDS {
        let folder = tempfile::tempdir().unwrap();
        let mut child = start(folder.path(), command);
        let qemu = qemu_of(folder.path());
        send(Signal::SIGTERM, child.id());
        assert_eq!(child.wait().unwrap().code(), Some(130), "{command:?}");
        until("QEMU outlived applbuild", || has_ended(qemu).then_some(()));
        assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0, "{command:?}");
    }
}
