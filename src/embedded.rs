//! The files that this program embeds: the agent and the profiles.

/// The agent: the static program that becomes `/init` in the initramfs.
pub static AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// The `appliance` command of the image, also static.
pub static COMMAND: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/appliance"));

/// The shipped profiles and their overlay files.
pub static PROFILES: include_dir::Dir<'static> = include_dir::include_dir!("$OUT_DIR/profiles");
