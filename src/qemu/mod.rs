//! Virtual machines in QEMU: command line, serial console, and boot scenarios that say what must appear on the console.

mod accelerator;
mod console;
mod damage;
mod direct;
mod error;
mod firmware;
pub mod fixture;
pub mod image;
pub mod keeper;
mod machine;
mod monitor;
pub mod runner;
pub mod scenario;
pub mod suite;
pub mod terminal;

pub use accelerator::{Accelerator, SelectedAccelerator};
pub use error::QemuError;
pub use firmware::Firmware;
pub use machine::{Bus, Drive, Machine, PROCESSOR};

use std::path::PathBuf;

/// The name of the program in Debian and most other distributions.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// Finds QEMU on `PATH`.
pub fn find() -> Result<PathBuf, QemuError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(PROGRAM))
        .find(|candidate| candidate.is_file())
        .ok_or(QemuError::NotInstalled)
}
