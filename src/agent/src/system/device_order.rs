//! The order of devices' names that a person expects.

use std::cmp::Ordering;

/// `sda2` before `sda10`, `sdz` before `sdaa`, `nvme0n1p2` before `nvme0n1p10`, `ens9` before `ens10`;
/// drivers among each other by the alphabet.
pub fn compare(a: &str, b: &str) -> Ordering {
    key(a).cmp(&key(b)).then_with(|| a.cmp(b))
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    /// Digits by value: fewer (without zeros in front) are smaller.
    Number(usize, &'a str),
    Text(&'a str),
    /// A disk's letters count like a number: `z`, then `aa`.
    Letters(usize, &'a str),
}

/// Drivers that number their disks with letters (Documentation/admin-guide/devices.txt).
const LETTERED: [&str; 4] = ["sd", "vd", "xvd", "hd"];

fn key(name: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = name;
    let word = &rest[..rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len())];
    if let Some(driver) = LETTERED.iter().find(|driver| word.len() > driver.len() && word.starts_with(**driver)) {
        let letters = &word[driver.len()..];
        parts.push(Part::Text(driver));
        parts.push(Part::Letters(letters.len(), letters));
        rest = &rest[word.len()..];
    }
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        if digits {
            let value = part.trim_start_matches('0');
            parts.push(Part::Number(value.len(), value));
        } else {
            parts.push(Part::Text(part));
        }
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sorts_as_people_count() {
        let expected = [
            "eno1",
            "enp2s0",
            "enp2s0f1",
            "enp10s0",
            "ens9",
            "ens10",
            "eth2",
            "eth10",
            "mmcblk0p1",
            "nvme0n1",
            "nvme0n1p2",
            "nvme0n1p10",
            "nvme1n1",
            "nvme10n1",
            "sda",
            "sda1",
            "sda2",
            "sda10",
            "sdb",
            "sdb1",
            "sdz",
            "sdaa",
            "sdaa1",
            "sdab",
            "sr0",
            "sr1",
            "sr10",
            "vda",
            "vda1",
            "vdb",
            "xvda1",
            "xvdb",
        ];
        let mut names = expected;
        names.reverse();
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(names, expected);
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof!["(sd|vd|xvd|hd)[a-c]{1,2}[0-9]{0,2}", "nvme[0-9]{1,2}n1(p[0-9]{1,2})?", "sr[0-9]", ".{0,6}"]
    }

    proptest! {
        #[test]
        fn is_a_total_order(a in name(), b in name(), c in name()) {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&a, &b) == Ordering::Equal, a == b);
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
        }

        #[test]
        fn partitions_count_up(disk in "(sd|vd)[a-z]{1,3}", low in 1u32..300, more in 1u32..300) {
            prop_assert_eq!(compare(&format!("{disk}{low}"), &format!("{disk}{}", low + more)), Ordering::Less);
            prop_assert_eq!(compare(&disk, &format!("{disk}{low}")), Ordering::Less);
        }

        #[test]
        fn disks_count_up(low in 0usize..18_000, more in 1usize..300) {
            prop_assert_eq!(compare(&letters(low), &letters(low + more)), Ordering::Less);
        }
    }

    /// The kernel's name of its `index`-th SCSI disk (drivers/scsi/sd.c, sd_format_disk_name).
    fn letters(index: usize) -> String {
        let mut text = String::new();
        let mut rest = index + 1;
        while rest > 0 {
            text.insert(0, char::from(b'a' + ((rest - 1) % 26) as u8));
            rest = (rest - 1) / 26;
        }
        format!("sd{text}")
    }
}
