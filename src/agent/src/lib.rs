//! The agent's parts: choices without I/O of their own, so that they can be tested.

pub mod gpt;
pub mod probe;
pub mod read_at;
