//! `appliance.action=check`: every byte of the medium, read once, against what it was made as.

use super::Boot;
use super::blocks::{self, Block};
use super::root::{self, Attached};
use crate::medium_check::{self, Findings, Known, VerifiedRoot};
use appliance_contract::kernel_args::RootSource;
use appliance_shared::read_at::ReadAt;
use std::fs::File;
use std::io;

const CHUNK: usize = 1024 * 1024;
const BLOCK: usize = 4096;
/// Beyond these a number says enough.
const NAMED_BLOCKS: u64 = 10;

/// Reads all, says what is damaged, and never boots: Enter reboots the machine.
pub fn run(boot: &mut Boot<'_>) {
    let findings = look(boot);
    if findings.tables_changed {
        boot.console.say(
            "check: the partition tables were changed after the image was made, as by adding a partition; they are valid",
        );
    }
    if findings.is_unrecorded {
        boot.console.say(
            "check: NOT CHECKED: this medium has no record of its length and of what lies outside its files (boot code, \
             descriptors, EFI system partition)",
        );
    }
    for line in &findings.damaged {
        boot.console.say(format!("check: DAMAGED: {line}"));
    }
    boot.console.say(match (findings.damaged.len(), findings.is_unrecorded) {
        (0, false) => format!("check: all good, {} bytes", findings.length.unwrap_or(findings.file_bytes)),
        (0, true) => format!("check: what was read is good, {} bytes; not all could be checked", findings.file_bytes),
        (parts, _) => format!("check: {parts} parts are damaged; do not boot from this medium"),
    });
    boot.console.say("check: press Enter to reboot");
    boot.machine.wait_for_enter(boot.console.terminals());
    let error = boot.machine.reboot();
    boot.console.say(format!("check: rebooting: {error}"));
}

fn look(boot: &mut Boot<'_>) -> Findings {
    let mut damaged = Vec::new();
    let mut root_bytes = 0;
    let attached = match root::attach(boot) {
        Ok(root) => {
            match check_root(boot, &root, &mut damaged) {
                Ok(read) => root_bytes = read,
                Err(error) => damaged.push(format!("root image: {error}")),
            }
            Some(root)
        }
        Err(error) => {
            boot.announce_missing_drivers();
            damaged.push(error.to_string());
            None
        }
    };
    let mut findings = Findings::default();
    if let RootSource::Medium { uuid, path } = boot.args.root.clone() {
        let block = match &attached {
            Some(root) => Some(root.block.clone()),
            // What keeps the root from being opened need not be all that is wrong.
            None => root::medium(&blocks::list(&boot.places), &uuid),
        };
        if let Some(block) = block {
            let superblock = attached.as_ref().and_then(|root| root.verity.as_ref()).map(|verity| verity.offset);
            let verified = superblock.map(|superblock| VerifiedRoot { path: &path, superblock });
            findings = check_medium(boot, &block, verified);
        }
    }
    findings.file_bytes += root_bytes;
    damaged.append(&mut findings.damaged);
    Findings { damaged, ..findings }
}

/// All of the medium but what dm-verity has read.
fn check_medium(boot: &Boot<'_>, block: &Block, verified: Option<VerifiedRoot<'_>>) -> Findings {
    match block.open() {
        Ok(device) => {
            let known = Known { verified, is_disc: block.name.starts_with("sr") };
            let findings = medium_check::check(&device, &known);
            boot.console.say(format!("check: {} other files read", findings.files));
            findings
        }
        Err(error) => {
            Findings { damaged: vec![format!("opening /dev/{}: {error}", block.name)], ..Findings::default() }
        }
    }
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
