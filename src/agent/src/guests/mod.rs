//! Guests on a booted host: which image each runs, its config, its start under
//! Xen or KVM, and its end.

pub mod console_lines;
pub mod definitions;
pub mod hypervisor;
pub mod image;
pub mod notify;
pub mod overview;
pub mod ready_port;
pub mod record;
pub mod run;
pub mod start;
pub mod state;
pub mod watch;

#[cfg(test)]
pub(crate) mod tests;
