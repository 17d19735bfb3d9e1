//! PAX extended headers (POSIX.1-2024 pax, "pax Extended Header").

use std::collections::BTreeMap;

/// What extension headers say of the entry that follows them (POSIX.1-2024 pax, "pax Extended Header").
#[derive(Debug, Default)]
pub struct Records {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<i64>,
    /// From `SCHILY.xattr.*`, as star, GNU tar and libarchive write them.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// A key that changes what the entry means and that is not understood.
    pub unsupported: Option<String>,
}

impl Records {
    pub fn is_empty(&self) -> bool {
        let Self { path, link, size, uid, gid, mtime, xattrs, unsupported } = self;
        path.is_none()
            && link.is_none()
            && size.is_none()
            && uid.is_none()
            && gid.is_none()
            && mtime.is_none()
            && xattrs.is_empty()
            && unsupported.is_none()
    }

    /// Reads `LENGTH KEY=VALUE\n` records; says what was expected where they are damaged.
    /// Values may hold any byte, so only the length tells where one ends.
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ').ok_or("a PAX record's length")?;
            let length = number(&bytes[..space]).ok_or("a PAX record's length")?;
            let length = usize::try_from(length).map_err(|_| "a PAX record's length")?;
            let record = bytes.get(space + 1..length).ok_or("a PAX record within its header")?;
            let record = record.strip_suffix(b"\n").ok_or("a PAX record that ends in a newline")?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or("a PAX record with a key and a value")?;
            self.set(&record[..equals], &record[equals + 1..])?;
            bytes = &bytes[length..];
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number(value).ok_or("a PAX size")?),
            b"uid" => self.uid = Some(number(value).ok_or("a PAX uid")?),
            b"gid" => self.gid = Some(number(value).ok_or("a PAX gid")?),
            b"mtime" => self.mtime = Some(seconds(value).ok_or("a PAX mtime")?),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.insert(name.to_vec(), value.to_vec());
                } else if key.starts_with(b"GNU.sparse.") || key.starts_with(b"SCHILY.acl.") {
                    self.unsupported = Some(String::from_utf8_lossy(key).into_owned());
                }
            }
        }
        Ok(())
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// Whole seconds, towards the past: `-1.5` is -2.
fn seconds(text: &[u8]) -> Option<i64> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let point = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let whole = i64::try_from(number(&text[..point])?).ok()?;
    let fraction = text.get(point + 1..).unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let past = negative && fraction.iter().any(|digit| *digit != b'0');
    Some(if negative { -whole - i64::from(past) } else { whole })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_values_with_newlines() {
        let mut records = Records::default();
        records.read(b"29 SCHILY.xattr.user.a=1\n2=3\n20 mtime=-3.0000001\n12 path=a\nb\n").expect("records");
        assert_eq!(records.xattrs.get(b"user.a".as_slice()).map(Vec::as_slice), Some(b"1\n2=3".as_slice()));
        assert_eq!(records.mtime, Some(-4));
        assert_eq!(records.path.as_deref(), Some(b"a\nb".as_slice()));
    }

    #[test]
    fn refuses_damage() {
        for bytes in [&b"x"[..], b"9 path=a\n\n", b"99 path=a\n", b"0 a=b\n", b"3 \n", b"8 path=a", b"11 mtime=x\n"] {
            assert!(Records::default().read(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in "[0-9 =\\nmtiea.-]{0,24}") {
            let _ = Records::default().read(bytes.as_bytes());
        }
    }
}
