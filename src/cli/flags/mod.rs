//! Flags that several commands share, and the requests made from them.

pub mod build;
pub mod common;
pub mod environment;
pub mod lock;
pub mod sources;
