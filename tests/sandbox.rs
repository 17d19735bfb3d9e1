//! The sandbox, with the machine's own `/usr` as the program's world.

// A test that is not registered does not compile.
#![deny(dead_code)]

use applbuild::sandbox::{Command, Exit, Output, SandboxError, run};
use applbuild_test_support::namespace::{self, Test, tests};
use appliance_contract::causes::WithCauses as _;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tempfile::TempDir;

const TESTS: &[Test] = tests![
    ids_are_mapped,
    reports_exit_and_output,
    environment_is_clean,
    world_is_closed,
    devices_work,
    binds_are_read_only_unless_asked,
    stdin_is_given,
    long_output_keeps_its_end,
    daemons_do_not_outlive_the_program,
    a_killed_build_leaves_nothing_running,
    refuses_a_root_that_leads_out,
    names_a_missing_program,
];

fn main() -> ExitCode {
    // The build that a test kills is this program again.
    if let Ok(root) = std::env::var("APPLBUILD_TEST_VICTIM") {
        return applbuild::sandbox::dispatch().unwrap_or_else(|| victim(Path::new(&root)));
    }
    namespace::main(&[TESTS])
}

/// A root that shows the machine's programs.
fn world() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), root.path().join(name)).unwrap();
    }
    root
}

fn shell(root: &Path, script: &str) -> Command {
    Command::new(root, "sh").arguments(["-c", script]).bind("/usr", "/usr", false)
}

fn output(script: &str) -> Output {
    let root = world();
    run(&shell(root.path(), script)).unwrap()
}

fn stdout(script: &str) -> String {
    let output = output(script);
    assert!(output.success(), "{script}: {} {}", output.exit, output.last_lines(9));
    String::from_utf8(output.stdout).unwrap()
}

fn ids_are_mapped() {
    let root = world();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o644, "whatever the user's umask is");
    for id in [0, 1, 1000, 65_534, 65_535] {
        chown(&file, Some(id), Some(id)).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().uid(), id);
    }
    assert!(chown(&file, Some(65_536), None).is_err());
    let inside = run(&shell(root.path(), "id -u; id -g; id -G; stat -c %u:%g /file")).unwrap();
    assert_eq!(inside.stdout, b"0\n0\n0\n65535:65535\n");
}

fn reports_exit_and_output() {
    let failing = output("echo to stdout; echo to stderr >&2; exit 7");
    assert_eq!(failing.exit, Exit::Code(7));
    assert_eq!(failing.stdout, b"to stdout\n");
    let log = failing.last_lines(9);
    assert!(log.contains("to stdout") && log.contains("to stderr"), "{log}");
    assert_eq!(output("kill -9 $$").exit, Exit::Signal(9));
}

fn environment_is_clean() {
    let root = world();
    let command = shell(root.path(), "env | sort; umask; hostname").variable("EXTRA", "1").source_date_epoch(42);
    let output = run(&command).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = "EXTRA=1\nHOME=/root\nLC_ALL=C.UTF-8\n\
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/\nSOURCE_DATE_EPOCH=42\n";
    let shown: String = text
        .lines()
        .filter(|line| !line.starts_with("_=") && !line.starts_with("SHLVL="))
        .map(|l| format!("{l}\n"))
        .collect();
    assert_eq!(shown, format!("{expected}0022\nlocalhost\n"));
}

fn world_is_closed() {
    assert_eq!(stdout("ls -A /"), "bin\ndev\nlib\nlib64\nproc\nrun\nsbin\nsys\ntmp\nusr\n");
    // PID 1, the shell, and ps's stand-in: nobody else.
    assert_eq!(stdout("set -- /proc/[0-9]*; echo $#"), "2\n");
    assert_eq!(stdout("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '"), "lo\n");
    assert_eq!(stdout("ls -A /sys /tmp /run"), "/run:\n\n/sys:\n\n/tmp:\n");
}

fn devices_work() {
    assert_eq!(stdout("echo x >/dev/null; head -c 3 /dev/zero | od -An -tx1; [ -c /dev/urandom ]"), " 00 00 00\n");
    assert_eq!(stdout("stat -c %a /dev /dev/shm /tmp"), "755\n1777\n1777\n");
    assert_eq!(stdout("echo through | cat /dev/fd/0; [ -c /dev/ptmx ]"), "through\n");
    assert!(!output("mknod /tmp/sda b 8 0").success());
}

fn binds_are_read_only_unless_asked() {
    let (root, shared) = (world(), world());
    fs::write(shared.path().join("here"), "before").unwrap();
    let command = shell(root.path(), "cat /mnt/here; echo after > /mnt/here").bind(shared.path(), "/mnt", false);
    let refused = run(&command).unwrap();
    assert!(!refused.success());
    assert_eq!(refused.stdout, b"before");
    assert_eq!(fs::read(shared.path().join("here")).unwrap(), b"before");
    let allowed = run(&shell(root.path(), "echo after > /mnt/here").bind(shared.path(), "/mnt", true)).unwrap();
    assert!(allowed.success(), "{}", allowed.last_lines(9));
    assert_eq!(fs::read(shared.path().join("here")).unwrap(), b"after\n");
}

fn stdin_is_given() {
    let root = world();
    let bytes = vec![b'x'; 1 << 20];
    let counted = run(&shell(root.path(), "wc -c").stdin(bytes.clone())).unwrap();
    assert_eq!(counted.stdout, b"1048576\n");
    // Unread input is no error.
    assert!(run(&shell(root.path(), "exit 0").stdin(bytes)).unwrap().success());
}

fn long_output_keeps_its_end() {
    let long = output("seq 1 1000000");
    assert!(long.success());
    assert!(long.stdout.len() <= 1 << 20 && long.log.len() <= 64 << 10);
    assert!(long.stdout.ends_with(b"999999\n1000000\n"));
    assert_eq!(long.last_lines(1), "1000000");
}

fn daemons_do_not_outlive_the_program() {
    let root = world();
    // It holds the output's pipes: `run` returns at its end, which nothing but the sandbox brings.
    let daemon = "setsid sh -c 'echo > /begun; sleep 1000' & while ! [ -e /begun ]; do :; done";
    assert!(run(&shell(root.path(), daemon)).unwrap().success());
}

/// Runs a program that says that it runs and then sleeps.
fn victim(root: &Path) -> ExitCode {
    applbuild::sandbox::enter_user_namespace().unwrap();
    run(&shell(root, "while :; do date +%s%N > /beat; sleep 0.02; done")).unwrap();
    ExitCode::FAILURE
}

fn a_killed_build_leaves_nothing_running() {
    let root = world();
    let mut build =
        std::process::Command::new("/proc/self/exe").env("APPLBUILD_TEST_VICTIM", root.path()).spawn().unwrap();
    let beat = root.path().join("beat");
    let read = || fs::read(&beat).unwrap_or_default();
    wait_until("the program runs", || !read().is_empty());
    build.kill().unwrap();
    build.wait().unwrap();
    // The beat stops: the same for a second, where it changed fifty times before.
    wait_until("the program is gone", || {
        let before = read();
        std::thread::sleep(Duration::from_secs(1));
        before == read()
    });
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("waited in vain until {what}");
}

fn refuses_a_root_that_leads_out() {
    let (root, outside) = (world(), world());
    symlink(outside.path(), root.path().join("dev")).unwrap();
    let error = run(&shell(root.path(), "exit 0")).unwrap_err();
    assert!(matches!(&error, SandboxError::SetUp { message, .. } if message.contains("in the way")), "{error}");
    assert!(!outside.path().join("null").exists());
}

fn names_a_missing_program() {
    let root = world();
    let error = run(&Command::new(root.path(), "/usr/bin/no-such")).unwrap_err();
    assert!(error.with_causes().contains("/usr/bin/no-such"), "{error}");
}
