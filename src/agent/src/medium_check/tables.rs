//! The partition tables of a medium that were changed after it was made, by their structure (UEFI 2.10, 5.2 and 5.3).

use super::Findings;
use appliance_contract::gpt_types;
use appliance_contract::medium_record::{MediumRecord, Part};
use appliance_shared::gpt;
use appliance_shared::read_at::{ReadAt, array_at, le16, le32};

const PRIMARY: u64 = 512;
const SECTOR: u64 = 512;
const ENTRIES: usize = 446;
const PROTECTIVE: u8 = 0xee;
const ACTIVE: u64 = 0x80;

/// Judges the tables in `changed`, whose bytes are not those of the image, each with what that means where it is damage.
pub fn check(
    device: &dyn ReadAt,
    record: &MediumRecord,
    changed: Vec<(Part, String)>,
    is_disc: bool,
    findings: &mut Findings,
) {
    // Whoever adds a partition writes the GPT; where that is as it was made, nobody did, and the others are as it says.
    if is_disc || !changed.iter().any(|(part, _)| *part == Part::Gpt) {
        findings.damaged.extend(changed.into_iter().map(|(_, damage)| damage));
        return;
    }
    let wrong = [(Part::Gpt, check_gpt(device, record)), (Part::MbrTable, check_mbr(device))];
    findings.tables_changed = wrong.iter().all(|(_, result)| result.is_ok());
    for (part, result) in wrong {
        if let Err(reason) = result {
            findings.damaged.push(format!("{}: {reason}", part.name()));
        }
    }
}

/// Both tables are valid and say the same, and the EFI system partition is where the image's is.
fn check_gpt(device: &dyn ReadAt, record: &MediumRecord) -> Result<(), String> {
    let table = gpt::table(device, PRIMARY).map_err(|error| error.to_string())?;
    let wanted = record.range(Part::Esp);
    let esp = table.partitions.iter().find(|partition| partition.type_guid == gpt_types::ESP);
    let esp = esp.ok_or("it has no EFI system partition")?;
    expect("the EFI system partition's first byte", esp.first_byte, wanted.start)?;
    expect("the EFI system partition's last byte", esp.last_byte, wanted.end.saturating_sub(1))?;
    let backup = gpt::table(device, table.other).map_err(|error| format!("its backup: {error}"))?;
    expect("the backup's place of the other table", backup.other, PRIMARY)?;
    expect("the checksum of the backup's entries", backup.entries_sum.into(), table.entries_sum.into())
}

/// A hybrid or protective MBR, as this medium boots by it and the kernel looks for a GPT behind it.
fn check_mbr(device: &dyn ReadAt) -> Result<(), String> {
    let sectors = device.size().map_err(|error| error.to_string())? / SECTOR;
    let read = array_at::<512>(device, 0).map_err(|error| error.to_string())?;
    let sector = read.ok_or("the medium ends before them")?;
    expect("the boot signature", le16(&sector, 510).into(), 0xaa55)?;
    let (mut active, mut protective) = (0, false);
    for entry in sector[ENTRIES..510].chunks_exact(16) {
        if entry[0] != 0 {
            expect("the status of an entry", entry[0].into(), ACTIVE)?;
            active += 1;
        }
        let (first, count) = (u64::from(le32(entry, 8)), u64::from(le32(entry, 12)));
        if entry[4] == PROTECTIVE {
            // Its length may say "all of it", whatever the disk's size (UEFI 2.10, table 5.4).
            protective |= first == 1 && count > 0;
        } else if entry[4] != 0 && (first == 0 || count == 0 || first + count > sectors) {
            return Err(format!("an entry has {count} sectors from {first} on, expected some of 1 to {}", sectors - 1));
        }
    }
    if active > 1 {
        expect("the number of active entries", active, 1)?;
    }
    if !protective {
        return Err("no entry has type 0xee and begins at sector 1, expected one, which tells of the GPT".to_owned());
    }
    Ok(())
}

fn expect(what: &str, found: u64, expected: u64) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found:#x}, expected {expected:#x}")) }
}
