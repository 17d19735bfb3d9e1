//! Tracks installed files by inode and ctime. Unchanged files keep their known fingerprints and are not read again.

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
    /// The modification time in the package.
    modified: i64,
    /// The ctime after it was linked into the root.
    changed: (i64, i64),
}

impl UnchangedFiles {
    /// Adds a file that was just linked into the root, with content `known` and modification time `modified`.
    pub fn add(&mut self, stat: &Metadata, known: &Arc<Fingerprint>, modified: i64) {
        let file = File { known: Arc::clone(known), modified, changed: (stat.ctime(), stat.ctime_nsec()) };
        self.0.insert((stat.dev(), stat.ino()), file);
    }

    /// The fingerprint of a file, if it is unchanged since it was installed. Every write sets mtime and ctime, and no
    /// program can set the ctime back.
    pub fn fingerprint(&self, stat: &Metadata) -> Option<Arc<Fingerprint>> {
        let file = self.0.get(&(stat.dev(), stat.ino()))?;
        let same = stat.size() == file.known.length
            && (stat.mtime(), stat.mtime_nsec()) == (file.modified, 0)
            && (stat.ctime(), stat.ctime_nsec()) == file.changed
            // On a file system with times in whole seconds, a change within the same second would not show.
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

    /// File times have the granularity of the kernel's tick (up to 10 ms).
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
            assert_eq!(unchanged.fingerprint(&stat(&path)), Some(Arc::clone(&known)), "{name}");
            a_tick();
            touch(name, &path);
            assert_eq!(unchanged.fingerprint(&stat(&path)), None, "{name}");
        }
        assert_eq!(unchanged.fingerprint(&stat(&place("never installed"))), None);
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
        assert_eq!(unchanged.fingerprint(&stat(&first)), None);
        // A link that the installer made is added again.
        unchanged.add(&stat(&second), &known, MODIFIED);
        assert_eq!(unchanged.fingerprint(&stat(&first)), Some(known));
    }
}
