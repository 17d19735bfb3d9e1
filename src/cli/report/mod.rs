//! What commands print: results, progress, failures.

pub mod difference;
pub mod failure;
pub mod interrupt;
pub mod lock;
pub mod output;
pub mod progress;
pub mod timings;
