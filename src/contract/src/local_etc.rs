//! The bounds of a config's `local/etc`, which the agent copies into memory and the builder checks before it ships.
//! Configuration is kilobytes, so more than this is a mistake.

/// Of all files together.
pub const MAX_BYTES: u64 = 64 << 20;
/// Files, folders and links.
pub const MAX_ENTRIES: usize = 20_000;
/// Folders below `local/etc`, one in the other.
pub const MAX_DEPTH: usize = 40;
