//! What the builder and the agent both do with files and devices. The names and formats are the contract's.

#![warn(missing_docs)]

pub mod gpt;
pub mod local_etc;
pub mod probe;
pub mod read_at;
