//! Which files of a root are still as they were unpacked, so that their fingerprints need no reading.

use crate::tree::Fingerprint;
use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

/// Files by device and inode.
#[derive(Debug, Default)]
pub struct UnchangedFiles(HashMap<(u64, u64), File>);

#[derive(Debug)]
struct File {
    known: Arc<Fingerprint>,
    /// As the package has it.
    modified: i64,
    /// When its inode changed last: when it got its name.
    changed: (i64, i64),
}

impl UnchangedFiles {
    /// A file with content `known` and the time `modified` has got a name.
    pub fn add(&mut self, stat: &Metadata, known: &Arc<Fingerprint>, modified: i64) {
        let file = File { known: Arc::clone(known), modified, changed: (stat.ctime(), stat.ctime_nsec()) };
        self.0.insert((stat.dev(), stat.ino()), file);
    }

    /// The content of a file, if nobody has touched it since it was installed. Who writes to a file sets both
    /// of its times, and the second of them cannot be set back.
    pub fn known(&self, stat: &Metadata) -> Option<Arc<Fingerprint>> {
        let file = self.0.get(&(stat.dev(), stat.ino()))?;
        let same = stat.size() == file.known.length
            && (stat.mtime(), stat.mtime_nsec()) == (file.modified, 0)
            && (stat.ctime(), stat.ctime_nsec()) == file.changed
            // A file system that counts seconds does not tell what came first in one of them.
            && stat.ctime_nsec() != 0;
        same.then(|| Arc::clone(&file.known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::path::Path;
    use std::thread::sleep;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    const MODIFIED: i64 = 1_700_000_000;

    fn stat(path: &Path) -> Metadata {
        fs::symlink_metadata(path).unwrap()
    }

    fn time() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(MODIFIED as u64)
    }

    /// The kernel's clock for files goes by ticks (up to 10 ms).
    fn a_tick() {
        sleep(Duration::from_millis(30));
    }

    #[test]
    fn a_file_is_known_until_somebody_touches_it() {
        let folder = tempfile::tempdir().unwrap();
        let known = Arc::new(Fingerprint::of(&b"content"[..]).unwrap());
        let mut unchanged = UnchangedFiles::default();
        let place = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, "content").unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(time()).unwrap();
            path
        };
        let touch = |name: &str, path: &Path| {
            let open = |path: &Path| fs::File::options().append(true).open(path).unwrap();
            match name {
                "written" => fs::write(path, "CONTENT").unwrap(),
                "appended" => open(path).write_all(b"x").unwrap(),
                "set back" => {
                    fs::write(path, "CONTENT").unwrap();
                    open(path).set_modified(time()).unwrap();
                }
                _ => {
                    let new = path.with_extension("new");
                    fs::write(&new, "CONTENT").unwrap();
                    open(&new).set_modified(time()).unwrap();
                    fs::rename(new, path).unwrap();
                }
            }
        };
        for name in ["written", "appended", "set back", "replaced"] {
            let path = place(name);
            unchanged.add(&stat(&path), &known, MODIFIED);
            assert_eq!(unchanged.known(&stat(&path)), Some(Arc::clone(&known)), "{name}");
            a_tick();
            touch(name, &path);
            assert_eq!(unchanged.known(&stat(&path)), None, "{name}");
        }
        assert_eq!(unchanged.known(&stat(&place("never installed"))), None);
    }

    #[test]
    fn a_name_in_another_root_is_a_touch() {
        let folder = tempfile::tempdir().unwrap();
        let known = Arc::new(Fingerprint::of(&b"content"[..]).unwrap());
        let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
        fs::write(&first, "content").unwrap();
        fs::File::options().write(true).open(&first).unwrap().set_modified(time()).unwrap();
        let mut unchanged = UnchangedFiles::default();
        unchanged.add(&stat(&first), &known, MODIFIED);
        a_tick();
        fs::hard_link(&first, &second).unwrap();
        assert_eq!(unchanged.known(&stat(&first)), None);
        // Unless it is one of ours.
        unchanged.add(&stat(&second), &known, MODIFIED);
        assert_eq!(unchanged.known(&stat(&first)), Some(known));
    }
}
