//! Prepares a guest's start: checks of the host, disks, the config disk, and the
//! plan for the hypervisor.

pub mod bridges;
pub mod checks;
pub mod config_disk;
pub mod host_use;
pub mod prepare;
pub mod volumes;
