//! What happens before a guest starts: checks of the host, disks, the config
//! disk, and the plan that a hypervisor is given.

pub mod bridges;
pub mod checks;
pub mod config_disk;
pub mod host_use;
pub mod prepare;
pub mod volumes;
