//! The packages' own scripts, run in the sandbox: `preinst` by us, the rest by dpkg.

#[cfg(doc)]
use crate::rootfs::dpkg::depmod::Lists;
use crate::rootfs::error::AssembleError;
use crate::rootfs::unpack::reader_pool::Packages;
use crate::sandbox::{Command, Output, SandboxError, run_with};
use crate::util::file_error::At as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub const LAST_LINES: usize = 30;
/// Stops packages from starting services (invoke-rc.d(8)); there while scripts run, then gone.
const POLICY: &str = "usr/sbin/policy-rc.d";
/// Come before the real programs in `PATH`: module lists are made beside the
/// scripts (see [`Lists`]), certificates after them, once instead of twice (see
/// [`certificates`]), an image that many nodes boot must hold no host keys, and
/// Python's modules are not compiled (see [`NO_COMPILER`]), and so never to be cleaned.
const IDLE: [&str; 5] = [
    "usr/local/sbin/depmod",
    "usr/local/sbin/update-ca-certificates",
    "usr/local/sbin/ssh-keygen",
    "usr/local/sbin/py3compile",
    "usr/local/sbin/py3clean",
];
/// Most of what packages with units ask deb-systemd-helper(1) has one answer on a
/// new system, where nothing is masked and nothing was ever enabled. This gives
/// it where the files by which that program would know better are not there; perl
/// takes a dozen times as long for that.
const HELPER: &str = "usr/local/sbin/deb-systemd-helper";
const ANSWER: &str = r#"#!/bin/sh
state=/var/lib/systemd/deb-systemd-helper
if [ -n "$DPKG_MAINTSCRIPT_PACKAGE" ] && [ -z "$DPKG_ROOT" ]; then
    if [ "$#:$1" = 2:unmask ]; then
        [ -e "/etc/systemd/system/${2##*/}" ] || [ -e "$state-masked" ] || [ -e "/var/lib/systemd/deb-systemd-user-helper-masked" ] || exit 0
    elif [ "$#:$1" = 2:debian-installed ]; then
        [ -e "$state-enabled/${2##*/}.dsh-also" ] || exit 1
    elif [ "$#:$1:$2" = 3:--quiet:was-enabled ]; then
        [ -e "$state-enabled/${3##*/}.dsh-also" ] || exit 0
    fi
fi
exec /usr/bin/deb-systemd-helper "$@"
"#;
/// Stands in for Python's own compiler, which some scripts call by themselves: no image holds compiled modules (they
/// carry times, and Python makes them in memory), so making them is time lost.
/// Reads what callers write to it.
const NO_COMPILER: &str = "import sys\nif '-' in sys.argv[1:]:\n    sys.stdin.read()\n";
const COMPILER: &str = "py_compile.py";
const PUT_BY: &str = "py_compile.py.put-by";
/// Keeps the kernel's scripts from making `/vmlinuz` and `/initrd.img` (kernel-img.conf(5)).
const KERNEL_LINKS: &str = "etc/kernel-img.conf";

/// The shell's program that runs every `preinst` named on its input, as dpkg would.
const RUN_PREINST: &str = r#"
# One pipe, so that what is said last is read last.
exec 2>&1
export DPKG_MAINTSCRIPT_NAME=preinst DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1
export DPKG_ADMINDIR=/var/lib/dpkg DPKG_MAINTSCRIPT_DEBUG=0 DPKG_ROOT=
while read -r file package architecture; do
    export DPKG_MAINTSCRIPT_PACKAGE="$package" DPKG_MAINTSCRIPT_ARCH="$architecture"
    "/var/lib/dpkg/info/$file.preinst" install </dev/null || {
        # The script may have ended in the middle of a line.
        printf '\napplbuild-preinst %s %s\n' "$package" "$?"
        exit 1
    }
done
"#;

/// A command in the root with the environment that maintainer scripts expect.
fn command(root: &Path, program: &str, epoch: i64) -> Command {
    Command::new(root, program)
        .variable("DEBIAN_FRONTEND", "noninteractive")
        .variable("DEBCONF_NONINTERACTIVE_SEEN", "true")
        .variable("DEBCONF_NOWARNINGS", "yes")
        .variable("SYSTEMD_OFFLINE", "1")
        .source_date_epoch(epoch)
}

/// Runs a program of the image; its failure is an error.
pub fn run_in(root: &Path, epoch: i64, program: &str, arguments: &[&str]) -> Result<Output, AssembleError> {
    let output = run_with(&command(root, program, epoch).arguments(arguments.iter().copied()), &|_| {})?;
    if output.success() {
        return Ok(output);
    }
    let program = [&[program], arguments].concat().join(" ");
    Err(AssembleError::Program { program, exit: output.exit, log: output.last_lines(LAST_LINES) })
}

/// What is in the root only while scripts run.
#[derive(Debug)]
pub struct Surroundings<'a> {
    root: &'a Path,
}

impl<'a> Surroundings<'a> {
    pub fn set_up(root: &'a Path) -> Result<Self, AssembleError> {
        script(&root.join(POLICY), "#!/bin/sh\nexit 101\n")?;
        for name in IDLE {
            script(&root.join(name), "#!/bin/sh\nexit 0\n")?;
        }
        script(&root.join(HELPER), ANSWER)?;
        let links = root.join(KERNEL_LINKS);
        fs::write(&links, "do_symlinks = no\n").at("writing", &links)?;
        Ok(Self { root })
    }

    /// Puts Python's compiler by, where what was unpacked last has brought it.
    pub fn put_compiler_by(&self) -> Result<(), AssembleError> {
        for folder in python_folders(self.root) {
            let (real, by) = (folder.join(COMPILER), folder.join(PUT_BY));
            if real.is_file() && !by.exists() {
                fs::rename(&real, &by).at("renaming", &real)?;
                fs::write(&real, NO_COMPILER).at("writing", &real)?;
            }
        }
        Ok(())
    }

    pub fn take_down(self) -> Result<(), AssembleError> {
        for folder in python_folders(self.root) {
            let by = folder.join(PUT_BY);
            if by.exists() {
                fs::rename(&by, folder.join(COMPILER)).at("renaming", &by)?;
            }
        }
        for name in [POLICY, KERNEL_LINKS, HELPER].into_iter().chain(IDLE) {
            let path = self.root.join(name);
            fs::remove_file(&path).at("removing", &path)?;
        }
        Ok(())
    }
}

fn python_folders(root: &Path) -> Vec<PathBuf> {
    fs::read_dir(root.join("usr/lib"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"python3."))
        .map(|entry| entry.path())
        .collect()
}

fn script(path: &Path, text: &str) -> Result<(), AssembleError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).at("making", folder)?;
    }
    fs::write(path, text).at("writing", path)?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o755)).at("setting the mode of", path)?)
}

/// Makes `/etc/ssl/certs`, where the image has certificates.
pub fn certificates(root: &Path, epoch: i64) -> Result<(), AssembleError> {
    const PROGRAM: &str = "/usr/sbin/update-ca-certificates";
    if root.join(PROGRAM.trim_start_matches('/')).exists() {
        run_in(root, epoch, PROGRAM, &[])?;
    }
    Ok(())
}

/// Runs the `preinst` of each package that has one. `listen` hears each line that they print.
pub fn preinst(
    root: &Path,
    packages: &Packages,
    epoch: i64,
    listen: &(dyn Fn(&str) + Sync),
) -> Result<(), AssembleError> {
    let mut input = String::new();
    for package in packages.iter().filter(|package| package.control_files.contains_key("preinst")) {
        input.push_str(&format!("{} {} {}\n", package.database_name(), package.name, package.architecture));
    }
    if input.is_empty() {
        return Ok(());
    }
    let command = command(root, "/bin/sh", epoch).arguments(["-c", RUN_PREINST]).stdin(input);
    let output = run_lines(&command, listen)?;
    if output.success() {
        return Ok(());
    }
    Err(preinst_failure(&output))
}

fn preinst_failure(output: &Output) -> AssembleError {
    let text = String::from_utf8_lossy(&output.log);
    let told = text
        .rsplit_once("\napplbuild-preinst ")
        .and_then(|(said, rest)| Some((said, rest.trim_end().split_once(' ')?)));
    let Some((said, (package, exit))) = told else {
        let program = "the packages' preinst scripts".to_owned();
        return AssembleError::Program { program, exit: output.exit, log: output.last_lines(LAST_LINES) };
    };
    AssembleError::Script {
        package: package.to_owned(),
        script: "preinst".to_owned(),
        exit: format!("exit status {exit}"),
        log: last_lines(said),
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

/// Configures what is unpacked; `triggers` says whether pending triggers are run too.
/// `listen` hears each line that dpkg and the scripts print.
pub fn configure(root: &Path, epoch: i64, triggers: bool, listen: &(dyn Fn(&str) + Sync)) -> Result<(), AssembleError> {
    // Through one pipe, or what dpkg says of a failure may be read before what led to it.
    let command = command(root, "/bin/sh", epoch)
        .arguments(["-c", "exec dpkg \"$@\" 2>&1", "dpkg"])
        .argument("--force-unsafe-io")
        // Else what it goes on with buries what the script said.
        .argument("--abort-after=1")
        .arguments(["--force-confdef", "--force-confold"])
        .argument(if triggers { "--triggers" } else { "--no-triggers" })
        .arguments(["--configure", "--pending"]);
    let output = run_lines(&command, listen)?;
    if output.success() { Ok(()) } else { Err(failure(&output)) }
}

/// Runs a command; `listen` hears each line that it prints, without its end.
fn run_lines(command: &Command, listen: &(dyn Fn(&str) + Sync)) -> Result<Output, SandboxError> {
    let lines = Mutex::new(Vec::new());
    run_with(command, &|bytes| {
        let Ok(mut lines) = lines.lock() else { return };
        lines.extend_from_slice(bytes);
        while let Some(end) = lines.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = lines.drain(..=end).collect();
            listen(String::from_utf8_lossy(&line).trim_end());
        }
    })
}

/// The package that a line of dpkg's says it configures.
pub fn set_up(line: &str) -> Option<&str> {
    line.strip_prefix("Setting up ")?.split([' ', ':']).next()
}

/// What dpkg said of the script that failed first.
fn failure(output: &Output) -> AssembleError {
    const ERROR: &str = "dpkg: error processing package ";
    let text = String::from_utf8_lossy(&output.log);
    // A script that ends in the middle of a line leaves dpkg the rest of it.
    let Some((said, rest)) = text.split_once(ERROR) else {
        let program = "dpkg --configure".to_owned();
        return AssembleError::Program { program, exit: output.exit, log: output.last_lines(LAST_LINES) };
    };
    let mut lines = rest.lines();
    let package = lines.next().and_then(|line| line.split([' ', ':']).next()).unwrap_or_default().to_owned();
    let reason = lines.next().unwrap_or_default().trim();
    let log = last_lines(said_of(&package, said));
    // "installed PACKAGE package post-installation script subprocess returned error exit status 1"
    let (script, exit) = match reason.split_once(" script subprocess ") {
        Some((before, exit)) => (
            if before.ends_with("post-installation") { "postinst" } else { "script" },
            exit.trim_start_matches("returned error ").trim_start_matches("was ").to_owned(),
        ),
        None if reason.is_empty() => ("configuration", output.exit.to_string()),
        None => ("configuration", reason.to_owned()),
    };
    AssembleError::Script { package, script: script.to_owned(), exit, log }
}

/// The part of the log since the package's turn came.
fn said_of<'t>(package: &str, text: &'t str) -> &'t str {
    let mut start = 0;
    for (at, _) in text.match_indices("Setting up ") {
        if set_up(&text[at..]) == Some(package) {
            start = at;
        }
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Exit;
    use appliance_contract::causes::WithCauses as _;

    fn output(log: &str) -> Output {
        Output { exit: Exit::Code(1), stdout: Vec::new(), log: log.as_bytes().to_vec() }
    }

    #[test]
    fn names_the_script_that_failed() {
        let log = "Setting up udev:amd64 (257) ...\noh no\ndpkg: error processing package udev:amd64 (--configure):\n \
            installed udev package post-installation script subprocess returned error exit status 3\nErrors were encountered while processing:\n udev\n";
        let error = failure(&output(log));
        assert!(
            matches!(&error, AssembleError::Script { package, script, exit, log }
                if package == "udev" && script == "postinst" && exit == "exit status 3" && log.contains("oh no")),
            "{error}"
        );
        let killed = "Setting up a (1) ...\nfine\nSetting up b (1) ...\nhalf a linedpkg: error processing package b (--configure):\n \
            installed b package post-installation script subprocess was killed by signal (Killed)\n";
        let error = failure(&output(killed));
        assert!(
            matches!(&error, AssembleError::Script { package, exit, log, .. }
                if package == "b" && exit == "killed by signal (Killed)" && log == "Setting up b (1) ...\nhalf a line"),
            "{error}"
        );
        let unmet = "dpkg: error processing package a (--configure):\n dependency problems - leaving unconfigured\n";
        let error = failure(&output(unmet));
        assert!(error.with_causes().contains("dependency problems"), "{error}");
        assert!(matches!(failure(&output("dpkg: nothing helps\n")), AssembleError::Program { .. }));
    }

    #[test]
    fn names_the_preinst_that_failed_in_the_middle_of_a_line() {
        let error = preinst_failure(&output("fine\nhalf a line\napplbuild-preinst udev 4\n"));
        assert!(
            matches!(&error, AssembleError::Script { package, script, exit, log }
                if package == "udev" && script == "preinst" && exit == "exit status 4" && log == "fine\nhalf a line"),
            "{error}"
        );
        assert!(matches!(preinst_failure(&output("sh: not found\n")), AssembleError::Program { .. }));
    }

    #[test]
    fn hears_packages_being_set_up() {
        assert_eq!(set_up("Setting up libc6:amd64 (2.41) ...\n"), Some("libc6"));
        assert_eq!(set_up("Setting up dash (0.5) ...\n"), Some("dash"));
        assert_eq!(set_up("Processing triggers for man-db\n"), None);
    }
}
