use crate::cli::flags::common::Common;
use crate::cli::flags::sources::CacheArguments;
use crate::cli::report::failure::Failure;
use crate::cli::report::output;
use applbuild::cache::{Bucket, Cache};
use applbuild::sandbox;
use indicatif::HumanBytes;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    cache: CacheArguments,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Remove the least recently used entries
    Prune {
        /// Size to shrink the cache to, in bytes or with the unit K, M, G or T (powers of 1024)
        #[arg(long, value_name = "SIZE", value_parser = size)]
        max: u64,
    },
}

pub fn run(common: &Common, arguments: Arguments) -> Result<(), Failure> {
    let cache = Cache::new(arguments.cache.directory()?);
    match arguments.command {
        None => {
            let entries = cache.usage().map_err(Failure::plain)?;
            for bucket in Bucket::ALL {
                let sizes = entries.iter().filter(|entry| entry.bucket == bucket).map(|entry| entry.size);
                let (count, bytes) = (sizes.clone().count(), sizes.sum::<u64>());
                if common.json {
                    let fields =
                        json!({"kind": bucket.name(), "path": cache.bucket(bucket), "entries": count, "bytes": bytes});
                    output::event("cache", fields);
                } else {
                    let size = HumanBytes(bytes).to_string();
                    output::text(format_args!("{:<10} {size:>12} in {count} files\n", bucket.name()));
                }
            }
            if !common.json {
                let all = HumanBytes(entries.iter().map(|entry| entry.size).sum());
                output::text(format_args!(
                    "{:<10} {:>12} in {}\n",
                    "all",
                    all.to_string(),
                    cache.directory().display()
                ));
            }
        }
        Some(Command::Prune { max }) => {
            // What a build of an ordinary user keeps belongs to subordinate ids, too.
            sandbox::enter_user_namespace().map_err(Failure::plain)?;
            let pruned = cache.prune(max).map_err(Failure::plain)?;
            if common.json {
                let fields = json!({"removed": pruned.removed, "freed": pruned.freed, "left": pruned.left, "in-use": pruned.in_use});
                output::event("pruned", fields);
            } else {
                let (freed, left) = (HumanBytes(pruned.freed), HumanBytes(pruned.left));
                let stays = if pruned.in_use { ": a build runs, so that packages, indices and trees stay" } else { "" };
                output::result(format_args!("removed {} entries, {freed}; {left} are left{stays}\n", pruned.removed));
            }
        }
    }
    Ok(())
}

fn size(text: &str) -> Result<u64, String> {
    let expected = || format!("found {text:?}, expected a number of bytes, with K, M, G or T behind it if need be");
    let (digits, shift) = match text.bytes().last().map(|last| last.to_ascii_uppercase()) {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        Some(b'T') => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| expected())?;
    number.checked_mul(1 << shift).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("17"), Ok(17));
        assert_eq!(size("10G"), Ok(10 << 30));
        assert_eq!(size("1k"), Ok(1024));
        for wrong in ["", "G", "1.5G", "-1", "10X", "99999999999T"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
