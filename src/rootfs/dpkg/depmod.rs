//! The lists of each kernel's modules, by depmod(8). It reads all modules, which
//! takes as long as all scripts together, and most often needs nothing of theirs:
//! so it runs beside them, as soon as packages are unpacked, in a root of its own.

use crate::rootfs::dpkg::base_set;
use crate::rootfs::dpkg::scripts::{LAST_LINES, run_in};
use crate::rootfs::error::AssembleError;
use crate::rootfs::unpack::entry::Entry;
use crate::rootfs::unpack::install::{Installer, Source};
use crate::rootfs::unpack::package::Package;
use crate::rootfs::unpack::reader_pool::Packages;
use crate::rootfs::work_dir::WorkFolder;
use crate::sandbox::Output;
use crate::util::file_error::{At as _, FileError};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const PROGRAM: &str = "usr/sbin/depmod";
const MODULES: &str = "usr/lib/modules";
const CONFIG: &str = "etc/depmod.d";
/// What a list is made of, and where kernels are.
const NEEDED: [&str; 4] = [MODULES, "usr/lib/depmod.d", CONFIG, "boot"];
/// dpkg's ending for a conffile that is not configured yet.
const NEW: &str = ".dpkg-new";

/// What depmod made.
#[derive(Debug, Default)]
pub struct Lists {
    /// Where it ran.
    root: PathBuf,
    /// The lists, below [`MODULES`].
    files: BTreeSet<PathBuf>,
    /// What it saw; `None` where it ran into trouble, and has to see the whole image.
    seen: Option<Seen>,
}

/// Modules and configuration by path, with what tells whether a file is still the same.
type Seen = BTreeMap<PathBuf, Mark>;

#[derive(Debug, PartialEq, Eq)]
enum Mark {
    Folder,
    Link(PathBuf),
    /// Inode, size and time of the last change: both roots have the staged file itself.
    File(u64, u64, i64, i64),
}

impl Lists {
    /// Lists the modules that `packages` hold, which are `opened` with their entries, the `base` among them; none
    /// where there is no depmod, or nothing to list.
    pub fn make(
        packages: &Packages,
        opened: &[Package],
        base: &[usize],
        work: &WorkFolder,
        epoch: i64,
    ) -> Result<Self, AssembleError> {
        let having = |path: &str| -> Vec<usize> {
            let holds = |package: &Package| package.entries.iter().any(|entry| is_below(entry, path));
            packages.iter().enumerate().filter(|(_, package)| holds(package)).map(|(index, _)| index).collect()
        };
        let program = having(PROGRAM);
        if program.is_empty() || having(MODULES).is_empty() {
            return Ok(Self::default());
        }
        // The base has the links of the merged /usr, and the libraries that depmod loads without depending on them.
        let mut whole = base.to_vec();
        whole.extend(base_set::closure(opened, program).into_iter().filter(|index| !base.contains(index)));
        let root = work.folder("modules")?;
        if place(packages, &whole, &root).is_err() {
            // What does not fit here may fit in the image, where scripts divert files.
            return Ok(Self::default());
        }
        settle_config(&root.join(CONFIG)).at("reading", root.join(CONFIG))?;
        if !root.join(PROGRAM).exists() || !root.join(MODULES).exists() {
            // Nothing is merged here: what is where, only the whole image tells.
            return Ok(Self::default());
        }
        let seen = look(&root)?;
        let (mut files, mut sound) = (BTreeSet::new(), true);
        for version in versions(&root)? {
            let folder = root.join(MODULES).join(&version);
            let before = inodes(&folder)?;
            sound &= match run(&root, &version, epoch) {
                Ok(output) => !says(&output, "ERROR"),
                // Whether that counts, the whole image tells.
                Err(AssembleError::Program { .. }) => false,
                Err(error) => return Err(error),
            };
            let new = inodes(&folder)?.into_iter().filter(|(name, inode)| before.get(name) != Some(inode));
            files.extend(new.map(|(name, _)| Path::new(&version).join(name)));
        }
        Ok(Self { root, files, seen: sound.then_some(seen) })
    }

    /// Where kernels and modules are, with their lists.
    pub fn root(&self) -> Option<&Path> {
        (!self.files.is_empty()).then_some(self.root.as_path())
    }

    /// Puts the lists beside the modules in `root`, for scripts that read them.
    pub fn put(&self, root: &Path) -> Result<(), AssembleError> {
        for file in &self.files {
            let (from, to) = (self.root.join(MODULES).join(file), root.join(MODULES).join(file));
            match fs::remove_file(&to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(FileError::new("replacing", &to, error).into());
                }
                // Who works ahead still reads the other name.
                _ => fs::hard_link(&from, &to).at("linking", &from)?,
            }
        }
        Ok(())
    }

    /// Has the lists in `root`, where all is configured: these, unless a script has changed what they are of.
    pub fn settle(&self, root: &Path, epoch: i64) -> Result<(), AssembleError> {
        if !root.join(PROGRAM).exists() {
            return Ok(());
        }
        if let Some(seen) = &self.seen
            && self.without_lists(&look(root)?) == self.without_lists(seen)
        {
            return self.put(root);
        }
        for version in versions(root)? {
            let output = run(root, &version, epoch)?;
            // It lists what it can, says what it could not read, and ends as if all were well.
            if says(&output, "failed to load symbols") {
                let program = format!("/{PROGRAM} {}", version.to_string_lossy());
                return Err(AssembleError::Program { program, exit: output.exit, log: output.last_lines(LAST_LINES) });
            }
        }
        Ok(())
    }

    fn without_lists<'s>(&self, seen: &'s Seen) -> BTreeMap<&'s PathBuf, &'s Mark> {
        let is_list = |path: &Path| path.strip_prefix(MODULES).is_ok_and(|below| self.files.contains(below));
        seen.iter().filter(|(path, _)| !is_list(path)).collect()
    }
}

/// Puts into `root` the `whole` packages, and of the others what depmod reads.
fn place(packages: &Packages, whole: &[usize], root: &Path) -> Result<(), AssembleError> {
    let mut installer = Installer::new(root);
    for &index in whole {
        installer.place(Source::Package(&packages[index]), &packages[index].entries)?;
    }
    for (_, package) in packages.iter().enumerate().filter(|(index, _)| !whole.contains(index)) {
        let entries: Vec<Entry> = package.entries.iter().filter(|entry| is_needed(entry)).cloned().collect();
        if NEEDED.iter().any(|path| entries.iter().any(|entry| is_below(entry, path))) {
            installer.place(Source::Package(package), &entries)?;
        }
    }
    Ok(())
}

/// Whether an entry is at `path` or below it; the merged `/usr` may be named or not.
fn is_below(entry: &Entry, path: &str) -> bool {
    let found = entry.path.to_bytes();
    both_ways(path).iter().any(|path| starts_with(&found[1..], path.as_bytes()))
}

/// Whether an entry is at a needed path, below it, or a folder on the way there.
fn is_needed(entry: &Entry) -> bool {
    let found = entry.path.to_bytes();
    let on_the_way = |path: &&str| both_ways(path).iter().any(|path| starts_with(path.as_bytes(), &found[1..]));
    NEEDED.iter().any(|path| is_below(entry, path) || on_the_way(path))
}

fn both_ways(path: &str) -> [&str; 2] {
    [path, path.strip_prefix("usr/").unwrap_or(path)]
}

/// By whole names.
fn starts_with(path: &[u8], with: &[u8]) -> bool {
    path.strip_prefix(with).is_some_and(|rest| with.is_empty() || rest.is_empty() || rest.starts_with(b"/"))
}

fn run(root: &Path, version: &OsString, epoch: i64) -> Result<Output, AssembleError> {
    run_in(root, epoch, &format!("/{PROGRAM}"), &[&version.to_string_lossy()])
}

fn says(output: &Output, text: &str) -> bool {
    String::from_utf8_lossy(&output.log).contains(text)
}

fn versions(root: &Path) -> Result<BTreeSet<OsString>, AssembleError> {
    let folder = root.join(MODULES);
    if !folder.exists() {
        return Ok(BTreeSet::new());
    }
    let inodes = inodes(&folder)?;
    Ok(inodes.into_keys().filter(|name| folder.join(name).is_dir()).collect())
}

fn inodes(folder: &Path) -> Result<BTreeMap<OsString, u64>, AssembleError> {
    let read = || -> io::Result<_> {
        fs::read_dir(folder)?.map(|entry| entry.and_then(|it| Ok((it.file_name(), it.metadata()?.ino())))).collect()
    };
    Ok(read().at("reading", folder)?)
}

/// Modules and configuration in a root.
fn look(root: &Path) -> Result<Seen, AssembleError> {
    let mut seen = Seen::new();
    for path in NEEDED.into_iter().filter(|path| *path != "boot" && root.join(path).exists()) {
        look_below(root, Path::new(path), &mut seen).at("reading", root.join(path))?;
    }
    Ok(seen)
}

fn look_below(root: &Path, path: &Path, seen: &mut Seen) -> io::Result<()> {
    for entry in fs::read_dir(root.join(path))? {
        let entry = entry?;
        let (path, stat) = (path.join(entry.file_name()), entry.metadata()?);
        let mark = if stat.is_symlink() {
            Mark::Link(fs::read_link(entry.path())?)
        } else if stat.is_dir() {
            look_below(root, &path, seen)?;
            Mark::Folder
        } else {
            Mark::File(stat.ino(), stat.size(), stat.mtime(), stat.mtime_nsec())
        };
        seen.insert(path, mark);
    }
    Ok(())
}

/// Gives conffiles the names that dpkg will.
fn settle_config(folder: &Path) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let Some(settled) = path.to_str().and_then(|path| path.strip_suffix(NEW)) {
            fs::rename(&path, settled)?;
        }
    }
    Ok(())
}
