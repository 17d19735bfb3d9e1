//! The agent's parts: PID 1's boot flow, and the choices it makes, without I/O
//! of their own so that they can be tested.

pub mod boot;
pub mod candidates;
pub mod commands;
pub mod console;
pub mod etc_plan;
pub mod fnmatch;
pub mod fstab;
pub mod gpt;
pub mod init;
pub mod iso;
pub mod linux;
pub mod machine;
pub mod modules;
pub mod natural;
pub mod probe;
pub mod read_at;
pub mod shell;
pub mod sys;
pub mod timeline;
pub mod verity;
