//! Starts and ends guests under Xen (`xl`) or KVM (QEMU).

pub mod kvm;
pub mod launch;
pub mod qemu_arguments;
pub mod templates;
pub mod vm;
pub mod xen;
pub mod xl_config;
