//! Which files of a root are still what was put there: they need not be read to be known.

use crate::tree::Fingerprint;
use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

/// Files by device and inode.
#[derive(Debug, Default)]
pub struct Placed(HashMap<(u64, u64), File>);

#[derive(Debug)]
struct File {
    known: Arc<Fingerprint>,
    /// As the package has it.
    modified: i64,
    /// When its inode changed last, as each who gave it a name saw it then: one file has
    /// names in several roots, and each name is a change.
    changed: Vec<(i64, i64)>,
}

impl Placed {
    /// A file with content `known` and the time `modified` has got a name.
    pub fn add(&mut self, stat: &Metadata, known: &Arc<Fingerprint>, modified: i64) {
        let new = || File { known: Arc::clone(known), modified, changed: Vec::with_capacity(1) };
        self.0.entry((stat.dev(), stat.ino())).or_insert_with(new).changed.push((stat.ctime(), stat.ctime_nsec()));
    }

    /// Takes what is known of another root, where files of this one have names, too.
    pub fn merge(&mut self, other: Self) {
        for (key, file) in other.0 {
            match self.0.get_mut(&key) {
                Some(own) => own.changed.extend(file.changed),
                None => drop(self.0.insert(key, file)),
            }
        }
    }

    /// The content of a file, if nobody has touched it since it was placed. Who writes to a file sets both
    /// of its times, and the second of them cannot be set back.
    pub fn known(&self, stat: &Metadata) -> Option<Arc<Fingerprint>> {
        let file = self.0.get(&(stat.dev(), stat.ino()))?;
        let same = stat.size() == file.known.length
            && (stat.mtime(), stat.mtime_nsec()) == (file.modified, 0)
            && file.changed.contains(&(stat.ctime(), stat.ctime_nsec()));
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
        let mut placed = Placed::default();
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
            placed.add(&stat(&path), &known, MODIFIED);
            assert_eq!(placed.known(&stat(&path)), Some(Arc::clone(&known)), "{name}");
            a_tick();
            touch(name, &path);
            assert_eq!(placed.known(&stat(&path)), None, "{name}");
        }
        assert_eq!(placed.known(&stat(&place("never placed"))), None);
    }

    #[test]
    fn a_name_in_another_root_is_no_touch_where_it_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let known = Arc::new(Fingerprint::of(&b"content"[..]).unwrap());
        let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
        fs::write(&first, "content").unwrap();
        fs::File::options().write(true).open(&first).unwrap().set_modified(time()).unwrap();
        let (mut placed, mut other) = (Placed::default(), Placed::default());
        placed.add(&stat(&first), &known, MODIFIED);
        a_tick();
        fs::hard_link(&first, &second).unwrap();
        other.add(&stat(&second), &known, MODIFIED);
        assert_eq!(placed.known(&stat(&first)), None);
        placed.merge(other);
        assert_eq!(placed.known(&stat(&first)), Some(known));
        // One that was written to between the two has another time.
        fs::write(&first, "CONTENT").unwrap();
        placed.add(&stat(&first), &Arc::new(Fingerprint::default()), MODIFIED);
        assert_eq!(placed.known(&stat(&first)), None);
    }
}
