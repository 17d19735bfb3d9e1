//! The main process of a guest's unit: from its start to its end.

pub mod console;
pub mod notify;
pub mod ready;
pub mod run;
pub mod watch;
