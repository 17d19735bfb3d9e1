//! What is embedded in this program: the agent and the profiles.

#![warn(missing_docs)]

/// The agent: the static program that is `/init` in the initramfs.
pub static AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// The `appliance` command in the image, static, too.
pub static COMMAND: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/appliance"));

/// The shipped profiles, and the files that they lay over the tree.
pub static PROFILES: include_dir::Dir<'static> = include_dir::include_dir!("$OUT_DIR/profiles");
