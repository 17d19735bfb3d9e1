//! The outer layer: the build itself becomes uid 0 of a user namespace.

use super::error::SandboxError;
use super::ids::{self, Extent};
use super::protocol;
use crate::util::self_exe;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Uid, User, getegid, geteuid};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

static ENTERED: AtomicBool = AtomicBool::new(false);

pub fn entered() -> bool {
    ENTERED.load(Ordering::Acquire)
}

/// Moves this process into a new user and mount namespace, in which it is uid 0 and 65,536 ids are mapped. Files that
/// it writes as uid 0 belong to the user outside; its umask is 022. Must be called before the process starts any
/// thread; a second call does nothing.
///
/// The process does not fork: it stays the one that the user started, so signals, exit code and terminal need no
/// forwarding.
pub fn enter_user_namespace() -> Result<(), SandboxError> {
    if entered() {
        return Ok(());
    }
    let (uids, gids) = plan()?;
    let failed = |attempt| move |source| SandboxError::Start { attempt, source };
    // The maps must be written from outside the namespace, by a process that starts before this one enters it.
    let mut helper = self_exe::command()
        .arg0(protocol::MAP_IDS)
        .args([render(&uids), render(&gids)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed("starting the process that maps ids"))?;
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWUSER) {
        let _ = helper.kill();
        let _ = helper.wait();
        let threads = fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or(1);
        return Err(match errno {
            Errno::EINVAL if threads > 1 => SandboxError::Threads,
            _ => SandboxError::UserNamespace { errno, remedy: remedy(errno) },
        });
    }
    // Both ends were requested as pipes above.
    if let Some(mut stdin) = helper.stdin.take() {
        stdin.write_all(b"go").map_err(failed("signalling the process that maps ids"))?;
    }
    let mut answer = Vec::new();
    if let Some(mut stdout) = helper.stdout.take() {
        stdout.read_to_end(&mut answer).map_err(failed("reading from the process that maps ids"))?;
    }
    helper.wait().map_err(failed("waiting for the process that maps ids"))?;
    match serde_json::from_slice(&answer) {
        Ok(Mapped::Done) => {}
        Ok(Mapped::Missing(of_groups)) => return Err(SandboxError::NoMapper { program: mapper(of_groups) }),
        Ok(Mapped::Failed { of_groups, message }) => {
            let arguments = render(if of_groups { &gids } else { &uids }).replace('\n', " ");
            return Err(SandboxError::Mapper { program: mapper(of_groups), arguments, message });
        }
        Err(error) => return Err(failed("reading from the process that maps ids")(error.into())),
    }
    let denied = |errno| SandboxError::UserNamespace { errno, remedy: remedy(errno) };
    unshare(CloneFlags::CLONE_NEWNS).map_err(denied)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).map_err(denied)?;
    // Default modes of new files must not depend on the user.
    umask(Mode::from_bits_truncate(0o022));
    ENTERED.store(true, Ordering::Release);
    Ok(())
}

/// Changes the host name for this process and those that it starts from now on. Must be called in the user namespace.
pub fn set_hostname(name: &str) -> Result<(), SandboxError> {
    let failed = |errno: Errno| SandboxError::Start { attempt: "changing the host name", source: errno.into() };
    unshare(CloneFlags::CLONE_NEWUTS).map_err(failed)?;
    nix::unistd::sethostname(name).map_err(failed)
}

/// The id maps of users and groups that this user can have.
fn plan() -> Result<(Vec<Extent>, Vec<Extent>), SandboxError> {
    if geteuid().is_root() {
        let extents = |file| {
            let map = fs::read_to_string(file)
                .map_err(|source| SandboxError::Start { attempt: "reading own id maps", source })?;
            ids::identity(&map).map_err(|ids| SandboxError::NestedIds { file, ids })
        };
        return Ok((extents("/proc/self/uid_map")?, extents("/proc/self/gid_map")?));
    }
    let user = user_name(geteuid());
    let extents = |file: &'static str, own: u32| {
        let text = fs::read_to_string(file).map_err(|source| SandboxError::SubordinateFile {
            file,
            user: user.clone(),
            source,
        })?;
        // subgid(5) names users too, not groups.
        ids::own_and_subordinate(own, &ids::ranges(&text, &user, geteuid().as_raw())).map_err(|found| {
            SandboxError::SubordinateIds { file, user: user.clone(), found, free: ids::first_free(&text) }
        })
    };
    Ok((extents("/etc/subuid", geteuid().as_raw())?, extents("/etc/subgid", getegid().as_raw())?))
}

fn user_name(uid: Uid) -> String {
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

/// The remedy if the kernel or the distribution refuses a namespace.
fn remedy(errno: Errno) -> String {
    let value = |path: &str| fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok());
    if value("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
        "this machine forbids them to users; allow them: sudo sysctl -w kernel.unprivileged_userns_clone=1".into()
    } else if value("/proc/sys/user/max_user_namespaces") == Some(0) {
        "this machine allows none; allow them: sudo sysctl -w user.max_user_namespaces=65536".into()
    } else if value("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        "AppArmor restricts them here; allow them: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0".into()
    } else if errno == Errno::ENOSPC {
        "their number is exhausted; raise it: sudo sysctl -w user.max_user_namespaces=65536".into()
    } else {
        "applbuild needs a Linux kernel with user namespaces; inside a container, the container must allow them (with docker or podman: --security-opt seccomp=unconfined --security-opt systempaths=unconfined)".into()
    }
}

fn mapper(of_groups: bool) -> &'static str {
    if of_groups { "newgidmap" } else { "newuidmap" }
}

fn render(extents: &[Extent]) -> String {
    let lines: Vec<String> =
        extents.iter().map(|extent| format!("{} {} {}", extent.inside, extent.outside, extent.count)).collect();
    lines.join("\n")
}

/// The helper's answer. The flag means groups.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
enum Mapped {
    Done,
    Missing(bool),
    Failed { of_groups: bool, message: String },
}

/// The helper: waits for the signal to begin, then writes its parent's id maps.
pub fn map_ids() -> ExitCode {
    let mut word = [0; 2];
    if io::stdin().read_exact(&mut word).is_err() {
        return ExitCode::FAILURE;
    }
    let maps: Vec<String> = std::env::args().skip(1).collect();
    let answer = maps
        .iter()
        .zip([false, true])
        .map(|(map, of_groups)| write_map(parent_id(), map, of_groups))
        .find(|answer| !matches!(answer, Mapped::Done))
        .unwrap_or(Mapped::Done);
    match protocol_answer(&answer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn protocol_answer(answer: &Mapped) -> io::Result<()> {
    io::stdout().write_all(&serde_json::to_vec(answer)?)
}

fn write_map(pid: u32, map: &str, of_groups: bool) -> Mapped {
    if geteuid().is_root() {
        let file = format!("/proc/{pid}/{}", if of_groups { "gid_map" } else { "uid_map" });
        return match fs::write(&file, map) {
            Ok(()) => Mapped::Done,
            Err(error) => Mapped::Failed { of_groups, message: format!("writing {file}: {error}") },
        };
    }
    match Command::new(mapper(of_groups)).arg(pid.to_string()).args(map.split_whitespace()).output() {
        Ok(output) if output.status.success() => Mapped::Done,
        Ok(output) => Mapped::Failed { of_groups, message: String::from_utf8_lossy(&output.stderr).trim().to_owned() },
        // execvp(3) also reports EACCES for a directory in PATH that cannot be searched.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            Mapped::Missing(of_groups)
        }
        Err(error) => Mapped::Failed { of_groups, message: error.to_string() },
    }
}
