//! Every byte that is changed in hadris-iso's output, or on the way to it, with the reason.

use crate::format::iso::Patch;
use appliance_contract::medium_record::{self, MediumRecord};

/// A core image too short to be one: what follows is written at fixed places.
#[derive(Debug, thiserror::Error)]
#[error("GRUB's core image is {length} bytes long, expected at least 2556")]
pub struct CoreTooShort {
    pub length: usize,
}

/// Tells GRUB's core image where it lies, as `xorriso -boot-info-table
/// --grub2-boot-info` does: GRUB's cdboot.S reads its length from the boot
/// information table at byte 8 (see mkisofs(8), "EL TORITO BOOT INFORMATION
/// TABLE"), and diskboot.S, its second block, the 512-byte sector that follows
/// it from byte 2548.
///
/// hadris-iso can do the same while it writes, but then the checksums on the
/// medium, which are among what it writes, would be those of other bytes.
pub fn boot_info(core: &mut [u8], block: u32) -> Result<(), CoreTooShort> {
    let length = core.len();
    if length < 2556 {
        return Err(CoreTooShort { length });
    }
    // Of the four blocks of cdboot.img the last 512-byte sector is diskboot.img's at 4; it loads from 5 on.
    core[2548..2556].copy_from_slice(&(u64::from(block) * 4 + 5).to_le_bytes());
    let sum = core[64..].chunks(4).fold(0_u32, |sum, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        sum.wrapping_add(u32::from_le_bytes(word))
    });
    core[8..64].fill(0);
    // The primary volume descriptor is in block 16 (ECMA-119, 6.2.1).
    for (at, value) in [(8, 16), (12, block), (16, length as u32), (20, sum)] {
        core[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    Ok(())
}

/// Corrects the address that GRUB's boot_hybrid.img starts from. hadris-iso
/// writes the image's first 512-byte sector, as isohybrid code wants it; GRUB
/// wants the one after cdboot.img's 2048 bytes (boot.S, `kernel_sector` at
/// 0x1b0; grub-mkrescue asks xorriso for it by `--grub2-mbr`). Without this a
/// stick or disk hangs before GRUB says a word.
pub fn hybrid_start(block: u32) -> Patch {
    Patch { offset: 432, bytes: (u64::from(block) * 4 + 4).to_le_bytes().to_vec() }
}

/// Puts the record into the primary volume descriptor, where hadris-iso writes zeros.
pub fn record(record: &MediumRecord) -> Patch {
    Patch { offset: medium_record::OFFSET, bytes: record.to_bytes().to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_image_learns_where_it_lies() {
        let mut core = vec![1; 3001];
        boot_info(&mut core, 100).unwrap();
        let word = |at: usize| u32::from_le_bytes(core[at..at + 4].try_into().unwrap());
        assert_eq!((word(8), word(12), word(16)), (16, 100, 3001));
        assert_eq!(u64::from_le_bytes(core[2548..2556].try_into().unwrap()), 405);
        // 733 whole words and one of 405 are not all ones: words at 2548 and 2552 hold the address.
        let ones = 0x0101_0101_u32;
        assert_eq!(word(20), ones.wrapping_mul(732).wrapping_add(405).wrapping_add(1));
        assert!(core[24..64].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn refuses_what_is_no_core_image() {
        assert_eq!(boot_info(&mut [0; 512], 1).unwrap_err().length, 512);
    }
}
