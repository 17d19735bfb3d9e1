//! dpkg's diversions (dpkg-divert(1)): paths at which other packages' files are installed under another name.

use crate::rootfs::error::AssembleError;
use crate::rootfs::unpack::root_dir::Root;
use std::collections::HashMap;
use std::fs;

#[derive(Debug, Default)]
pub struct Diversions {
    /// Path → (path of other packages' files, the package that diverts; `:` is the administrator).
    entries: HashMap<Vec<u8>, (Vec<u8>, String)>,
}

impl Diversions {
    pub fn read(root: &Root) -> Result<Self, AssembleError> {
        let text = fs::read(root.path().join("var/lib/dpkg/diversions")).unwrap_or_default();
        Self::parse(&text)
    }

    /// Three lines each: path, new path, package.
    fn parse(text: &[u8]) -> Result<Self, AssembleError> {
        let lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
        let mut entries = HashMap::new();
        for lines in lines.chunks(3) {
            let [from, to, package] = lines else {
                let problem = format!("found {} lines, expected a multiple of 3", lines.len());
                return Err(AssembleError::Database { file: "diversions".to_owned(), problem });
            };
            entries.insert(from.to_vec(), (to.to_vec(), String::from_utf8_lossy(package).into_owned()));
        }
        Ok(Self { entries })
    }

    /// The diverted path of the file `path` (with a leading slash) of `package`.
    pub fn target(&self, path: &[u8], package: &str) -> Option<&[u8]> {
        let (to, by) = self.entries.get(path)?;
        (by != package).then_some(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diverts_others_files_only() {
        let diversions = Diversions::parse(b"/bin/x\n/bin/x.real\nmine\n/a\n/b\n:\n").unwrap();
        assert_eq!(diversions.target(b"/bin/x", "other"), Some(b"/bin/x.real".as_slice()));
        assert_eq!(diversions.target(b"/bin/x", "mine"), None);
        assert_eq!(diversions.target(b"/a", "mine"), Some(b"/b".as_slice()));
        assert_eq!(diversions.target(b"/c", "mine"), None);
        assert!(Diversions::parse(b"/bin/x\n/y\n").is_err());
    }
}
