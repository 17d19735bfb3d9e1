//! Whether a device is divided: GPT (UEFI 2.10, 5.3) or MBR (5.2.1).

use super::view::View;
use crate::gpt;
use crate::read_at::le32;
use std::io;

const ENTRIES: usize = 446;

pub fn present(view: &View) -> bool {
    view.has(512, gpt::SIGNATURE) || view.has(4096, gpt::SIGNATURE) || !mbr(view).is_empty()
}

/// Whether some partition reaches over `offset`.
pub fn covers(view: &View, offset: u64) -> io::Result<bool> {
    if mbr(view).iter().any(|&(first, last)| (first..=last).contains(&offset)) {
        return Ok(true);
    }
    let partitions = match gpt::partitions(view.device()) {
        Ok(found) => found.unwrap_or_default(),
        Err(gpt::GptError::Read(error)) => return Err(error),
        Err(_) => Vec::new(),
    };
    Ok(partitions.iter().any(|partition| (partition.first_byte..=partition.last_byte).contains(&offset)))
}

/// First and last byte of each partition, when the sector is an MBR. The protective one of a GPT names no partition.
fn mbr(view: &View) -> Vec<(u64, u64)> {
    let Ok(Some(sector)) = view.at::<512>(0) else { return Vec::new() };
    if sector[510..] != [0x55, 0xaa] {
        return Vec::new();
    }
    let entries: Vec<&[u8]> = sector[ENTRIES..510].chunks_exact(16).collect();
    if entries.iter().any(|entry| !matches!(entry[0], 0 | 0x80)) {
        return Vec::new();
    }
    entries
        .iter()
        .filter(|entry| !matches!(entry[4], 0 | 0xee))
        .map(|entry| (u64::from(le32(entry, 8)), u64::from(le32(entry, 12))))
        .filter(|&(first, sectors)| first != 0 && sectors != 0)
        .map(|(first, sectors)| (first * 512, (first + sectors) * 512 - 1))
        .collect()
}
