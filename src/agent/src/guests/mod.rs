//! Guests on a booted host: which image each runs, its config, its start under
//! Xen or KVM, and its end.

pub mod definitions;
pub mod disks;
pub mod hypervisor;
pub mod image;
pub mod overview;
pub mod plan;
pub mod run_directory;
pub mod start;
pub mod state;
pub mod status;
pub mod supervise;
pub mod unit;

#[cfg(test)]
pub(crate) mod tests;
