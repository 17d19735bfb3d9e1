//! Code of the builder and the agent that reads files and devices. The crate `contract` has the names and formats.

#![warn(missing_docs)]

pub mod gpt;
pub mod local_etc;
pub mod probe;
pub mod read_at;
