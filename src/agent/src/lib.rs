//! The agent's parts: choices without I/O of their own, so that they can be tested.

pub mod candidates;
pub mod commands;
pub mod etc_plan;
pub mod fnmatch;
pub mod gpt;
pub mod iso;
pub mod modules;
pub mod natural;
pub mod probe;
pub mod read_at;
