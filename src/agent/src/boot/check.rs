//! `appliance.action=check`: every byte of the medium that has a hash, read once.

use super::Boot;
use super::root::{self, Attached};
use crate::iso::{FileRange, Volume};
use crate::read_at::ReadAt;
use crate::verity::hex;
use appliance_contract::kernel_args::RootSource;
use appliance_contract::medium;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;

const CHUNK: usize = 1024 * 1024;
const BLOCK: usize = 4096;
/// Beyond these a number says enough.
const NAMED_BLOCKS: u64 = 10;
/// A checksum list larger than this is no list.
const MAX_LIST: u64 = 1024 * 1024;

/// Reads all, says what is damaged, and never boots: Enter reboots the machine.
pub fn run(boot: &mut Boot<'_>) {
    let mut damaged = Vec::new();
    let mut bytes = 0;
    match root::attach(boot) {
        Ok(root) => {
            match check_root(boot, &root, &mut damaged) {
                Ok(read) => bytes += read,
                Err(error) => damaged.push(format!("root image: {error}")),
            }
            if let RootSource::Medium { path, .. } = boot.args.root.clone() {
                bytes += check_files(boot, &root, &path, &mut damaged);
            }
        }
        Err(error) => {
            boot.announce_missing_drivers();
            damaged.push(error.to_string());
        }
    }
    if damaged.is_empty() {
        boot.console.say(format!("check: all good, {bytes} bytes"));
    } else {
        for line in &damaged {
            boot.console.say(format!("check: DAMAGED: {line}"));
        }
        boot.console.say(format!("check: {} parts are damaged; do not boot from this medium", damaged.len()));
    }
    boot.console.say("check: press Enter to reboot");
    boot.machine.wait_for_enter(boot.console.terminals());
    let error = boot.machine.reboot();
    boot.console.say(format!("check: rebooting: {error}"));
}

/// Reads the whole root image through dm-verity.
fn check_root(boot: &mut Boot<'_>, root: &Attached, damaged: &mut Vec<String>) -> io::Result<u64> {
    if root.verity.is_none() {
        boot.console.say("check: the root image has no hash to check it by (appliance.roothash=none)");
    }
    let device = File::open(&root.device)?;
    let size = ReadAt::size(&device)?;
    boot.console.say(format!("check: root image, {size} bytes"));
    let mut buffer = vec![0; CHUNK];
    let (mut at, mut tenth, mut bad_blocks) = (0u64, 0, 0u64);
    while at < size {
        let length = CHUNK.min((size - at) as usize);
        if ReadAt::read_exact_at(&device, &mut buffer[..length], at).is_err() {
            for start in (0..length).step_by(BLOCK) {
                let block = &mut buffer[start..length.min(start + BLOCK)];
                if ReadAt::read_exact_at(&device, block, at + start as u64).is_err() {
                    bad_blocks += 1;
                    if bad_blocks <= NAMED_BLOCKS {
                        let number = (at + start as u64) / BLOCK as u64;
                        damaged.push(format!("root image, block {number} of {BLOCK} bytes"));
                    }
                }
            }
        }
        at += length as u64;
        let now = at * 10 / size;
        if now > tenth {
            tenth = now;
            boot.console.say(format!("check: root image {} %", tenth * 10));
        }
    }
    if bad_blocks > NAMED_BLOCKS {
        damaged.push(format!("root image, {} more blocks", bad_blocks - NAMED_BLOCKS));
    }
    Ok(size)
}

/// The medium's other files against its list of checksums.
fn check_files(boot: &Boot<'_>, root: &Attached, image: &str, damaged: &mut Vec<String>) -> u64 {
    let opened = root.block.open().map_err(|error| format!("opening /dev/{}: {error}", root.block.name));
    let device = match opened {
        Ok(device) => device,
        Err(reason) => {
            damaged.push(reason);
            return 0;
        }
    };
    let listed = Volume::open(&device).map_err(|error| error.to_string());
    let listed = listed.and_then(|volume| {
        let list = read_list(&device, &volume).map_err(|reason| format!("{}: {reason}", medium::CHECKSUMS))?;
        Ok((volume, list))
    });
    let (volume, list) = match listed {
        Ok(listed) => listed,
        Err(reason) => {
            damaged.push(reason);
            return 0;
        }
    };
    let mut total = 0;
    let mut files = 0;
    for (expected, path) in &list {
        // dm-verity has read it already.
        if path == image && root.verity.is_some() {
            continue;
        }
        files += 1;
        match volume.find(path) {
            Err(error) => damaged.push(error.to_string()),
            Ok(range) => match sum(&device, range) {
                Err(error) => damaged.push(format!("{path}: {error}")),
                Ok(found) if found != *expected => {
                    damaged.push(format!("{path}: SHA-256 is {found}, expected {expected}"));
                }
                Ok(_) => total += range.length,
            },
        }
    }
    boot.console.say(format!("check: {files} other files read"));
    total
}

fn read_list(device: &dyn ReadAt, volume: &Volume<'_>) -> Result<Vec<(String, String)>, String> {
    let range = volume.find(medium::CHECKSUMS).map_err(|error| error.to_string())?;
    if range.length > MAX_LIST {
        return Err(format!("it has {} bytes, expected {MAX_LIST} at most", range.length));
    }
    let mut bytes = vec![0; range.length as usize];
    device.read_exact_at(&mut bytes, range.offset).map_err(|error| error.to_string())?;
    parse_list(&String::from_utf8_lossy(&bytes))
}

/// Lines of `sha256sum`: 64 digits, two characters, a path relative to the medium's root.
fn parse_list(text: &str) -> Result<Vec<(String, String)>, String> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| match (line.get(..64), line.get(64..66), line.get(66..)) {
            (Some(sum), Some("  " | " *"), Some(path))
                if !path.is_empty() && sum.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
            {
                let path = path.trim_start_matches("./").trim_start_matches('/');
                Ok((sum.to_ascii_lowercase(), format!("/{path}")))
            }
            _ => Err(format!("found the line {line:?}, expected 64 hexadecimal digits, two blanks and a path")),
        })
        .collect()
}

fn sum(device: &dyn ReadAt, range: FileRange) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    while at < range.length {
        let length = CHUNK.min((range.length - at) as usize);
        device.read_exact_at(&mut buffer[..length], range.offset + at)?;
        digest.update(&buffer[..length]);
        at += length as u64;
    }
    Ok(hex(&digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_list_as_sha256sum_writes_it() {
        let sum = "AB".repeat(32);
        let list = parse_list(&format!("{sum}  boot/vmlinuz\n{sum} *./a b\n\n")).unwrap();
        let sum = sum.to_lowercase();
        assert_eq!(list, [(sum.clone(), "/boot/vmlinuz".to_owned()), (sum, "/a b".to_owned())]);
    }

    #[test]
    fn refuses_a_line_that_is_none() {
        for line in ["short  path", &format!("{}  ", "ab".repeat(32)), &format!("{}  path", "zz".repeat(32))] {
            assert!(parse_list(line).unwrap_err().contains("expected 64 hexadecimal digits"), "{line}");
        }
    }

    #[test]
    fn sums_a_range_over_several_chunks() {
        let bytes = vec![7u8; CHUNK * 2 + 100];
        let found = sum(&bytes, FileRange { offset: 10, length: (CHUNK * 2) as u64 }).unwrap();
        assert_eq!(found, hex(&Sha256::digest(&bytes[10..10 + CHUNK * 2])));
        assert!(sum(&bytes, FileRange { offset: 10, length: (CHUNK * 2 + 100) as u64 }).is_err());
    }
}
