//! Runs depmod(8), which makes the lists of each kernel's modules. It reads all modules, which takes as long as all
//! maintainer scripts together, and rarely depends on the scripts' changes. So it runs in parallel with them, in a root
//! of its own, as soon as the packages are unpacked.

use crate::rootfs::dpkg::base_set;
use crate::rootfs::dpkg::scripts::{LAST_LINES, run_in};
use crate::rootfs::error::AssembleError;
use crate::rootfs::unpack::entry::Entry;
use crate::rootfs::unpack::install::{Installer, Source};
use crate::rootfs::unpack::package::Package;
use crate::rootfs::unpack::reader_pool::Packages;
use crate::rootfs::work_dir::WorkDir;
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
/// The files that depmod reads, and the directory of kernels.
const NEEDED: [&str; 4] = [MODULES, "usr/lib/depmod.d", CONFIG, "boot"];
/// dpkg's suffix for a conffile that is not configured yet.
const NEW: &str = ".dpkg-new";

/// The lists that depmod made.
#[derive(Debug, Default)]
pub struct Lists {
    /// The root that it ran in.
    root: PathBuf,
    /// The lists, below [`MODULES`].
    files: BTreeSet<PathBuf>,
    /// The files that it read; `None` after an error, in which case it must run again in the complete root.
    seen: Option<Seen>,
}

/// Modules and configuration by path, each with a mark that shows whether it is unchanged.
type Seen = BTreeMap<PathBuf, Mark>;

#[derive(Debug, PartialEq, Eq)]
enum Mark {
    Folder,
    Link(PathBuf),
    /// Inode, size and modification time. Both roots have hard links to the staged file, so the inode is the same.
    File(u64, u64, i64, i64),
}

impl Lists {
    /// Runs depmod for the modules in `packages`, which are the `opened` packages with their entries. `base` has the
    /// indices of the base. Makes no lists if there is no depmod or no module.
    pub fn make(
        packages: &Packages,
        opened: &[Package],
        base: &[usize],
        work: &WorkDir,
        epoch: i64,
    ) -> Result<Self, AssembleError> {
        let packages_with = |path: &str| -> Vec<usize> {
            let holds = |package: &Package| package.entries.iter().any(|entry| is_below(entry, path));
            packages.iter().enumerate().filter(|(_, package)| holds(package)).map(|(index, _)| index).collect()
        };
        let program = packages_with(PROGRAM);
        if program.is_empty() || packages_with(MODULES).is_empty() {
            return Ok(Self::default());
        }
        // The base has the symlinks of the merged /usr, and libraries that depmod loads without depending on them.
        let mut whole = base.to_vec();
        whole.extend(base_set::closure(opened, program).into_iter().filter(|index| !base.contains(index)));
        let root = work.subdirectory("modules")?;
        if place(packages, &whole, &root).is_err() {
            // The packages may install without conflicts in the image, where scripts divert files.
            return Ok(Self::default());
        }
        settle_config(&root.join(CONFIG)).at("reading", root.join(CONFIG))?;
        if !root.join(PROGRAM).exists() || !root.join(MODULES).exists() {
            // Without a merged /usr only the complete root shows where the files are.
            return Ok(Self::default());
        }
        let seen = look(&root)?;
        let (mut files, mut sound) = (BTreeSet::new(), true);
        for version in versions(&root)? {
            let folder = root.join(MODULES).join(&version);
            let before = inodes(&folder)?;
            sound &= match run(&root, &version, epoch) {
                Ok(output) => !says(&output, "ERROR"),
                // Only a failure in the complete root is an error.
                Err(AssembleError::Program { .. }) => false,
                Err(error) => return Err(error),
            };
            let new = inodes(&folder)?.into_iter().filter(|(name, inode)| before.get(name) != Some(inode));
            files.extend(new.map(|(name, _)| Path::new(&version).join(name)));
        }
        Ok(Self { root, files, seen: sound.then_some(seen) })
    }

    /// The root with kernels, modules and lists.
    pub fn root(&self) -> Option<&Path> {
        (!self.files.is_empty()).then_some(self.root.as_path())
    }

    /// Adds the lists to the modules in `root`, for scripts that read them.
    pub fn put(&self, root: &Path) -> Result<(), AssembleError> {
        for file in &self.files {
            let (from, to) = (self.root.join(MODULES).join(file), root.join(MODULES).join(file));
            match fs::remove_file(&to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(FileError::new("replacing", &to, error).into());
                }
                // A hard link, as speculative threads still read the other name.
                _ => fs::hard_link(&from, &to).at("linking", &from)?,
            }
        }
        Ok(())
    }

    /// Adds the lists to `root`, in which all packages are configured. Runs depmod again if a script has changed its
    /// inputs.
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
            // depmod exits with 0 even if it could not read a module.
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

/// Installs into `root` the packages in `whole` completely, and of the others only the files that depmod reads.
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

/// Whether an entry is at `path` or below it, with or without the `usr/` of a merged `/usr`.
fn is_below(entry: &Entry, path: &str) -> bool {
    let found = entry.path.to_bytes();
    with_and_without_usr(path).iter().any(|path| starts_with(&found[1..], path.as_bytes()))
}

/// Whether an entry is at a needed path, below it, or one of its parent directories.
fn is_needed(entry: &Entry) -> bool {
    let found = entry.path.to_bytes();
    let on_the_way =
        |path: &&str| with_and_without_usr(path).iter().any(|path| starts_with(path.as_bytes(), &found[1..]));
    NEEDED.iter().any(|path| is_below(entry, path) || on_the_way(path))
}

fn with_and_without_usr(path: &str) -> [&str; 2] {
    [path, path.strip_prefix("usr/").unwrap_or(path)]
}

/// Compares whole path components.
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

/// Gives conffiles the names that dpkg gives them when it configures the package.
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
