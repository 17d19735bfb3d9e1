//! Moves staged entries into the root, in order, by dpkg's rules.

use crate::packages::dependency;
use crate::packages::version::Version;
use crate::rootfs::dpkg::diversions::Diversions;
use crate::rootfs::error::AssembleError;
use crate::rootfs::unpack::entry::{Entry, EntryKind};
use crate::rootfs::unpack::package::Package;
use crate::rootfs::unpack::root_dir::{ResolveError, Root};
use crate::rootfs::unpack::stage::{apply, set_xattrs};
use crate::rootfs::unpack::unchanged::UnchangedFiles;
use crate::tree::{Kind, Metadata, TreePath};
use appliance_contract::causes::WithCauses as _;
use nix::sys::stat::Mode;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::Path;

type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// What cannot be made in a user namespace, for the tree to carry.
#[derive(Debug, Default)]
pub struct Extras {
    pub devices: Vec<(TreePath, Metadata, Kind)>,
    pub xattrs: Vec<(TreePath, Xattrs)>,
}

/// Whose entries are installed.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    Package(&'a Package),
    /// A tar set or an overlay: what comes later wins.
    Set(&'a str),
}

#[derive(Debug)]
pub struct Installer {
    pub root: Root,
    pub extras: Extras,
    /// The times that archives give to files, by real path.
    pub times: HashMap<TreePath, i64>,
    /// The files of packages that are known by what they were staged as.
    pub unchanged: UnchangedFiles,
    diversions: Diversions,
    /// Which package a real path belongs to.
    owners: HashMap<TreePath, Owner>,
    /// What a package lost to one that replaces it: (database name, path as listed).
    lost: Vec<(String, Vec<u8>)>,
}

#[derive(Debug, Clone)]
struct Owner {
    package: String,
    database_name: String,
    listed: Vec<u8>,
    version: String,
    /// The field `Replaces`.
    replaces: String,
}

impl Owner {
    /// Whether this package may take over files of that one (Policy 7.6.1).
    fn replaces(&self, other: &Self) -> bool {
        // A field that cannot be read allows nothing.
        let groups = dependency::parse(&self.replaces).unwrap_or_default();
        let version = Version::parse(&other.version).ok();
        groups
            .iter()
            .flat_map(|group| &group.alternatives)
            .any(|named| named.name == other.package && named.accepts(version))
    }
}

impl Installer {
    pub fn new(root: impl Into<std::path::PathBuf>) -> Self {
        Self {
            root: Root::new(root),
            extras: Extras::default(),
            times: HashMap::new(),
            unchanged: UnchangedFiles::default(),
            diversions: Diversions::default(),
            owners: HashMap::new(),
            lost: Vec::new(),
        }
    }

    /// Takes notice of what programs did in the root.
    pub fn refresh(&mut self) -> Result<(), AssembleError> {
        self.root.forget();
        self.diversions = Diversions::read(&self.root)?;
        Ok(())
    }

    /// What packages lost to others since the last call.
    pub fn take_lost(&mut self) -> Vec<(String, Vec<u8>)> {
        std::mem::take(&mut self.lost)
    }

    /// Moves `entries` into the root; returns the paths for the package's `.list`.
    pub fn place(&mut self, source: Source<'_>, entries: &[Entry]) -> Result<Vec<Vec<u8>>, AssembleError> {
        let mut list = Vec::with_capacity(entries.len());
        // Paths as the archive names them → where they went, for hard links.
        let mut installed: HashMap<TreePath, TreePath> = HashMap::new();
        for entry in entries {
            let refuse = |problem: String| AssembleError::Entry {
                archive: source.shown(),
                path: entry.path.to_string(),
                problem,
            };
            let named = entry.path.clone();
            let listed = named.to_bytes();
            list.push(if named.is_root() { b"/.".to_vec() } else { listed.clone() });
            let wanted = self.wanted(source, &entry.kind, &named).map_err(refuse)?;
            if let Source::Set(_) = source {
                self.make_parents(&wanted).map_err(refuse)?;
            }
            let real = self.root.resolve(&wanted).map_err(|error| refuse(error.with_causes()))?;
            if matches!(entry.kind, EntryKind::Directory) {
                self.directory(source, &wanted, &real, &entry.metadata).map_err(refuse)?;
                continue;
            }
            if real.is_root() {
                return Err(refuse("is the root and no directory".to_owned()));
            }
            let Some(()) = self.make_room(source, entry, &listed, &real)? else { continue };
            let link_target = match &entry.kind {
                EntryKind::HardLink(target) => {
                    let known = installed.get(target);
                    Some(known.ok_or_else(|| refuse(format!("links to {target}, which is not before it")))?)
                }
                _ => None,
            };
            self.make(entry, &real, link_target)
                .map_err(|error| refuse(format!("cannot be made: {}", error.with_causes())))?;
            if !matches!(entry.kind, EntryKind::Symlink(_)) {
                // A conffile ends up at `wanted` less its ending, once it is configured.
                let last = self.root.resolve(&named).map_err(|error| refuse(error.with_causes()))?;
                self.times.insert(if wanted == named { real.clone() } else { last }, entry.metadata.mtime);
            }
            installed.insert(named, real);
        }
        Ok(list)
    }

    /// Makes the folders on the way that are missing; a dangling symlink among them is refused.
    fn make_parents(&mut self, path: &TreePath) -> Result<(), String> {
        let mut at = TreePath::default();
        let parent = path.parent().unwrap_or_default();
        for name in parent.names() {
            at = at.join(name).map_err(|error| error.with_causes())?;
            if let Err(error) = self.root.resolve_folder(&at) {
                let real = self.root.resolve(&at).map_err(|error| error.with_causes())?;
                let host = self.root.host(&real);
                if !matches!(error, ResolveError::Missing(_)) || fs::symlink_metadata(&host).is_ok() {
                    return Err(error.with_causes());
                }
                let made =
                    fs::create_dir(&host).and_then(|()| fs::set_permissions(&host, Permissions::from_mode(0o755)));
                made.map_err(|error| format!("cannot be made: {error}"))?;
            }
        }
        Ok(())
    }

    /// The path to write to: a diverted one, or dpkg's name for a conffile that
    /// is not configured yet.
    fn wanted(&self, source: Source<'_>, kind: &EntryKind, named: &TreePath) -> Result<TreePath, String> {
        let Source::Package(package) = source else { return Ok(named.clone()) };
        let bytes = named.to_bytes();
        let diverted = match kind {
            EntryKind::Directory => None,
            _ => self.diversions.target(&bytes, &package.name),
        };
        let mut path = diverted.unwrap_or(&bytes).to_vec();
        if matches!(kind, EntryKind::File { .. }) && package.conffiles.contains(&bytes[1..]) {
            path.extend_from_slice(b".dpkg-new");
        }
        TreePath::parse(path).map_err(|error| format!("cannot be placed: {error}"))
    }

    fn directory(
        &mut self,
        source: Source<'_>,
        wanted: &TreePath,
        real: &TreePath,
        metadata: &Metadata,
    ) -> Result<(), String> {
        let host = self.root.host(real);
        let failed = |error: io::Error| format!("cannot be made: {error}");
        match fs::symlink_metadata(&host) {
            // A folder that is there keeps its mode and owner, as with dpkg,
            // unless it is the root itself; tar sets give theirs.
            Ok(stat) if stat.is_dir() && matches!(source, Source::Package(_)) && !real.is_root() => return Ok(()),
            Ok(stat) if stat.is_dir() => {}
            Ok(stat) if stat.is_symlink() => {
                return match self.root.resolve_folder(wanted) {
                    Ok(_) => Ok(()),
                    Err(ResolveError::Missing(_)) => {
                        Err("is a directory where the image has a dangling symlink".to_owned())
                    }
                    Err(error) => Err(error.with_causes()),
                };
            }
            Ok(_) => return Err("is a directory where the image has a file".to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(&host).map_err(failed)?,
            Err(error) => return Err(failed(error)),
        }
        lchown(&host, Some(metadata.uid), Some(metadata.gid)).map_err(failed)?;
        fs::set_permissions(&host, Permissions::from_mode(u32::from(metadata.mode))).map_err(failed)?;
        self.keep_xattrs(real, &host, metadata);
        Ok(())
    }

    /// Settles whose file stands at `real`, and removes what does; `None` where
    /// what is there stays.
    fn make_room(
        &mut self,
        source: Source<'_>,
        entry: &Entry,
        listed: &[u8],
        real: &TreePath,
    ) -> Result<Option<()>, AssembleError> {
        let refuse = |problem: String| AssembleError::Entry {
            archive: source.shown(),
            path: String::from_utf8_lossy(listed).into_owned(),
            problem,
        };
        if let Source::Package(package) = source {
            let new = Owner {
                package: package.name.clone(),
                database_name: package.database_name(),
                listed: listed.to_vec(),
                version: package.version.clone(),
                replaces: package.control.field("Replaces").unwrap_or_default(),
            };
            if let Some(old) = self.owners.get(real).filter(|old| old.database_name != new.database_name) {
                if new.replaces(old) {
                    self.lost.push((old.database_name.clone(), old.listed.clone()));
                } else if old.replaces(&new) {
                    self.lost.push((new.database_name, new.listed));
                    return Ok(None);
                } else {
                    return Err(AssembleError::Conflict {
                        archive: source.shown(),
                        path: String::from_utf8_lossy(listed).into_owned(),
                        other: old.package.clone(),
                    });
                }
            }
            self.owners.insert(real.clone(), new);
        }
        let host = self.root.host(real);
        match fs::symlink_metadata(&host) {
            Ok(stat) if stat.is_dir() => match entry.kind {
                // dpkg keeps a folder where a package has a symlink.
                EntryKind::Symlink(_) => Ok(None),
                _ => Err(refuse("is no directory, and the image has one there".to_owned())),
            },
            Ok(stat) => {
                if stat.is_symlink() {
                    self.root.forget();
                }
                fs::remove_file(&host).map_err(|error| refuse(format!("cannot be replaced: {error}")))?;
                Ok(Some(()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(())),
            Err(error) => Err(refuse(format!("cannot be looked at: {error}"))),
        }
    }

    fn make(&mut self, entry: &Entry, real: &TreePath, link_target: Option<&TreePath>) -> io::Result<()> {
        let host = self.root.host(real);
        let metadata = &entry.metadata;
        let device = |kind| (real.clone(), metadata.clone(), kind);
        match &entry.kind {
            EntryKind::Directory => {}
            EntryKind::File { staged, known } => {
                // The staged name stays for who still reads it; its folder goes as a whole.
                match fs::hard_link(staged, &host) {
                    // The root lies over a kept one, and is a file system of its own.
                    Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                        fs::copy(staged, &host)?;
                        apply(&File::options().write(true).open(&host)?, metadata)?;
                    }
                    linked => linked?,
                }
                self.keep_xattrs(real, &host, metadata);
                self.unchanged.add(&fs::symlink_metadata(&host)?, known, metadata.mtime);
            }
            EntryKind::HardLink(_) => {
                if let Some(target) = link_target {
                    fs::hard_link(self.root.host(target), &host)?;
                }
            }
            EntryKind::Symlink(target) => {
                symlink(OsStr::from_bytes(target), &host)?;
                lchown(&host, Some(metadata.uid), Some(metadata.gid))?;
            }
            EntryKind::Fifo => {
                nix::unistd::mkfifo(&host, Mode::from_bits_truncate(0o600))?;
                lchown(&host, Some(metadata.uid), Some(metadata.gid))?;
                fs::set_permissions(&host, Permissions::from_mode(u32::from(metadata.mode)))?;
            }
            &EntryKind::CharacterDevice { major, minor } => {
                self.extras.devices.push(device(Kind::CharacterDevice { major, minor }));
            }
            &EntryKind::BlockDevice { major, minor } => {
                self.extras.devices.push(device(Kind::BlockDevice { major, minor }));
            }
        }
        Ok(())
    }

    fn keep_xattrs(&mut self, real: &TreePath, host: &Path, metadata: &Metadata) {
        if metadata.xattrs.is_empty() {
            return;
        }
        let left = set_xattrs(host, metadata);
        if !left.is_empty() {
            self.extras.xattrs.push((real.clone(), left));
        }
    }
}

impl Source<'_> {
    fn shown(&self) -> String {
        match self {
            Self::Package(package) => format!("{} {}", package.name, package.version),
            Self::Set(name) => (*name).to_owned(),
        }
    }
}
