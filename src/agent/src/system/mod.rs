//! The machine that the agent runs on: system calls, devices, other programs,
//! small files, and the texts that describe mounts.

pub mod atomic_file;
pub mod attributes;
pub mod boot_record;
pub mod device_order;
pub mod files;
pub mod fstab;
pub mod linux;
pub mod machine;
pub mod nonblocking;
pub mod programs;
pub mod sys;
pub mod time_span;
pub mod world;
