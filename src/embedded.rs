//! What the applbuild binary carries.

/// The agent: the static program that is `/init` in the initramfs and the
/// `appliance` command in the image.
pub static AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/appliance"));
