//! The files that this program embeds: the agent and the profiles.

/// The agent: the static program that becomes `/init` in the initramfs.
pub static AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// The `appliance` command of the image, also static.
pub static COMMAND: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/appliance"));

/// The shipped profiles and their overlay files.
pub static PROFILES: include_dir::Dir<'static> = include_dir::include_dir!("$OUT_DIR/profiles");

#[cfg(test)]
mod tests {
    use super::*;

    /// ARCHITECTURE.md states both limits, in bytes.
    #[test]
    fn the_agents_programs_stay_small() {
        for (name, program, limit) in [("/init", AGENT, 2_000_000), ("appliance", COMMAND, 2_200_000)] {
            let size = program.len();
            assert!(size <= limit, "{name} has {size} bytes, expected at most {limit}");
        }
    }
}
