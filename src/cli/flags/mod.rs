//! Flags that several commands have, and the requests that they make.

pub mod build;
pub mod common;
pub mod environment;
pub mod lock;
pub mod sources;
