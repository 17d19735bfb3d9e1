//! Why the sandbox cannot be made, or did not run its program.

use super::command::Exit;
use std::path::PathBuf;

/// Why the sandbox cannot be made, or did not run its program.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// unshare(2) is refused.
    #[error("making a user namespace: {errno}; {mend}")]
    UserNamespace {
        /// The system's error.
        errno: nix::errno::Errno,
        /// Which setting of the machine allows it.
        mend: String,
    },
    /// This process is in a user namespace that maps too few ids itself.
    #[error(
        "making a user namespace: found {ids} ids below 65536 that {file} maps, expected all; run applbuild outside the container or give the container a larger range"
    )]
    NestedIds {
        /// `/proc/self/uid_map` or `gid_map`.
        file: &'static str,
        /// How many of the ids below 65536 are mapped.
        ids: u64,
    },
    /// The user's range in subuid(5) or subgid(5) is missing or too small.
    #[error(
        "mapping user ids: {file} gives {user} {found} subordinate ids, expected at least 65535; add a range: echo \"{user}:{free}:65536\" | sudo tee -a {file}"
    )]
    SubordinateIds {
        /// `/etc/subuid` or `/etc/subgid`.
        file: &'static str,
        /// The user's name.
        user: String,
        /// Ids of the largest range.
        found: u64,
        /// The first id of a range that nobody has.
        free: u64,
    },
    /// Reading subuid(5) or subgid(5) failed.
    #[error(
        "reading {file}, which lists subordinate ids (to write it: echo \"{user}:100000:65536\" | sudo tee -a {file})"
    )]
    SubordinateFile {
        /// `/etc/subuid` or `/etc/subgid`.
        file: &'static str,
        /// The user's name.
        user: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// newuidmap(1) or newgidmap(1) is missing.
    #[error("mapping user ids: {program} is not installed; install it: sudo apt install uidmap")]
    NoMapper {
        /// The program's name.
        program: &'static str,
    },
    /// newuidmap(1) or newgidmap(1) failed.
    #[error("mapping user ids: {program} {arguments}: {message}")]
    Mapper {
        /// The program's name.
        program: &'static str,
        /// Its arguments, separated by spaces.
        arguments: String,
        /// What it printed.
        message: String,
    },
    /// A process with threads cannot enter a user namespace.
    #[error("making a user namespace: this process has begun threads, expected one (a bug in applbuild)")]
    Threads,
    /// [`super::enter_user_namespace`] was not called.
    #[error("entering the sandbox: the build has not entered its user namespace (a bug in applbuild)")]
    NotEntered,
    /// A helper process could not be started or reached.
    #[error("starting a process of the sandbox: {attempt}")]
    Start {
        /// What was being done.
        attempt: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
    /// A mount, device or directory of the sandbox could not be made.
    #[error("setting up the sandbox in {root}: {message}")]
    SetUp {
        /// The directory that was to become `/`.
        root: PathBuf,
        /// What was being done, and the system's error.
        message: String,
    },
    /// The helper process ended before its program did.
    #[error("running {program} in {root}: the sandbox ended by {exit} before its program did")]
    Lost {
        /// The program's path or name.
        program: String,
        /// The directory that is `/`.
        root: PathBuf,
        /// How the helper ended.
        exit: Exit,
    },
}
