//! What the agent's two programs are made of: PID 1's boot flow, the node's
//! command, and the choices they make, without I/O of their own so that they can
//! be tested. Two, so that what boots stays below 2 MB.

pub mod attributes;
pub mod boot;
pub mod candidates;
pub mod commands;
pub mod console;
pub mod etc_plan;
pub mod fnmatch;
pub mod folder;
pub mod fstab;
pub mod generator;
pub mod guest_files;
pub mod guests;
pub mod init;
pub mod iso;
pub mod iso_writer;
pub mod linux;
pub mod machine;
pub mod medium_check;
pub mod modules;
pub mod natural;
pub mod shell;
pub mod sys;
pub mod time_span;
pub mod timeline;
pub mod uplink;
pub mod verity;

pub use appliance_shared::{gpt, probe, read_at};
