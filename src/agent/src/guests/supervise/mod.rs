//! The main process of a guest's unit: supervises the guest from start to end.

pub mod console;
pub mod notify;
pub mod ready;
pub mod run;
pub mod watch;
