use super::command::Exit;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("making a user namespace: {errno}; {mend}")]
    UserNamespace { errno: nix::errno::Errno, mend: String },
    #[error(
        "making a user namespace: found {ids} ids below 65536 that {file} maps, expected all; run applbuild outside the container or give the container a larger range"
    )]
    NestedIds { file: &'static str, ids: u64 },
    #[error(
        "mapping user ids: {file} gives {user} {found} subordinate ids, expected at least 65535; add a range: echo \"{user}:{free}:65536\" | sudo tee -a {file}"
    )]
    SubordinateIds { file: &'static str, user: String, found: u64, free: u64 },
    #[error(
        "reading {file}, which lists subordinate ids (to write it: echo \"{user}:100000:65536\" | sudo tee -a {file})"
    )]
    SubordinateFile { file: &'static str, user: String, source: std::io::Error },
    #[error("mapping user ids: {program} is not installed; install it: sudo apt install uidmap")]
    NoMapper { program: &'static str },
    #[error("mapping user ids: {program} {arguments}: {message}")]
    Mapper { program: &'static str, arguments: String, message: String },
    #[error("making a user namespace: this process has begun threads, expected one (a bug in applbuild)")]
    Threads,
    #[error("entering the sandbox: the build has not entered its user namespace (a bug in applbuild)")]
    NotEntered,
    #[error("starting a process of the sandbox: {attempt}")]
    Start { attempt: &'static str, source: std::io::Error },
    #[error("setting up the sandbox in {root}: {message}")]
    SetUp { root: PathBuf, message: String },
    #[error("running {program} in {root}: the sandbox ended by {exit} before its program did")]
    Lost { program: String, root: PathBuf, exit: Exit },
}
