//! Guests on a booted host: which image each runs, its config, its start under
//! Xen or KVM, and its end.

pub mod bridges;
pub mod checks;
pub mod console_lines;
pub mod definitions;
pub mod disks;
pub mod host_use;
pub mod image;
pub mod kvm;
pub mod launch;
pub mod notify;
pub mod overview;
pub mod plan;
pub mod prepare;
pub mod qemu_arguments;
pub mod ready_port;
pub mod record;
pub mod run;
pub mod served;
pub mod state;
pub mod supervise;
pub mod templates;
pub mod vm;
pub mod volumes;
pub mod xen;
pub mod xl_config;

#[cfg(test)]
pub(crate) mod tests;
