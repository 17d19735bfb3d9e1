//! `/proc/self/mountinfo` (proc_pid_mountinfo(5)).

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `MAJOR:MINOR`.
    pub device: String,
    pub point: String,
    pub read_only: bool,
    pub file_system: String,
    pub source: String,
}

/// The visible mount at `point`: the last of several.
pub fn find(mountinfo: &str, point: &str) -> Option<Mount> {
    mountinfo.lines().filter_map(parse).rfind(|mount| mount.point == point)
}

fn parse(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let right: Vec<&str> = right.split(' ').collect();
    let read_only = |options: &str| options.split(',').any(|option| option == "ro");
    Some(Mount {
        device: (*left.get(2)?).to_owned(),
        point: unescape(left.get(4)?),
        read_only: read_only(left.get(5)?) || right.get(2).is_some_and(|options| read_only(options)),
        file_system: (*right.first()?).to_owned(),
        source: unescape(right.get(1)?),
    })
}

/// Decodes blanks and backslashes, which are escaped as three octal digits.
fn unescape(text: &str) -> String {
    let mut out = text.to_owned();
    for (code, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        out = out.replace(code, plain);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_last_mount_of_a_place() {
        let text = "21 1 0:2 / / rw - rootfs rootfs rw\n\
                    25 1 253:0 / / ro,relatime shared:1 - squashfs /dev/dm-0 ro,errors=continue\n\
                    26 25 0:30 / /data\\040disk rw - ext4 /dev/sdb1 ro\n";
        let root = find(text, "/").unwrap();
        assert_eq!((root.device.as_str(), root.file_system.as_str(), root.read_only), ("253:0", "squashfs", true));
        assert!(find(text, "/data disk").unwrap().read_only);
        assert_eq!(find(text, "/var"), None);
        assert_eq!(find("garbage\n1 2 - x\n", "/"), None);
    }
}
