//! Guests on a booted host: which image each runs, its config, its start under
//! Xen or KVM, and its end.

pub mod disks;
pub mod host_use;
pub mod images;
pub mod plan;
pub mod programs;
pub mod qemu_arguments;
pub mod served;
pub mod state;
pub mod templates;
pub mod version;
pub mod world;
pub mod xl_config;

#[cfg(test)]
pub(crate) mod tests;
