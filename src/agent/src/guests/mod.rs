//! Guests on a booted host: their definitions, images, start under Xen or KVM,
//! supervision and status.

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
