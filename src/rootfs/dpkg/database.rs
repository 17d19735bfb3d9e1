//! dpkg's database in the root (`/var/lib/dpkg`), written as dpkg itself writes
//! it when it has unpacked a package and not yet configured it.

use crate::packages::deb::ControlFile;
use crate::rootfs::dpkg::triggers;
use crate::rootfs::error::AssembleError;
use crate::rootfs::unpack::package::Package;
use crate::util::file_error::At as _;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub const FOLDER: &str = "var/lib/dpkg";

/// The package that `linux-image` finds where it looks for initramfs tools:
/// the image's initramfs is made elsewhere.
const STAND_IN: &str = "applbuild-initramfs";
const STAND_IN_PARAGRAPH: &str = "Package: applbuild-initramfs
Status: install ok installed
Priority: optional
Section: kernel
Installed-Size: 1
Maintainer: applbuild
Architecture: all
Version: 1.0
Provides: linux-initramfs-tool
Description: stand-in for tools that make an initramfs
 The image's initramfs is made by applbuild, with the image.
";

#[derive(Debug)]
pub struct Database {
    folder: PathBuf,
    /// What each package's `.list` holds.
    lists: BTreeMap<String, Vec<Vec<u8>>>,
}

impl Database {
    /// Makes an empty database.
    pub fn create(root: &Path) -> Result<Self, AssembleError> {
        let folder = root.join(FOLDER);
        for name in ["info", "updates", "triggers", "alternatives", "parts"] {
            let path = folder.join(name);
            fs::create_dir_all(&path).at("making", &path)?;
        }
        let database = Self { folder, lists: BTreeMap::new() };
        database.write("info/format", b"1\n", 0o644)?;
        for name in ["status", "available", "diversions", "statoverride"] {
            database.write(name, b"", 0o644)?;
        }
        Ok(database)
    }

    fn write(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), AssembleError> {
        let path = self.folder.join(name);
        fs::write(&path, bytes).at("writing", &path)?;
        Ok(fs::set_permissions(&path, Permissions::from_mode(mode)).at("setting the mode of", &path)?)
    }

    /// Writes what a package's scripts look for before its files are there.
    pub fn add_control(&self, package: &Package) -> Result<(), AssembleError> {
        for (name, ControlFile { bytes, mode }) in &package.control_files {
            self.write(&format!("info/{}.{name}", package.database_name()), bytes, u32::from(*mode))?;
        }
        Ok(())
    }

    /// Notes `packages`, with the paths of each, as unpacked.
    pub fn add_unpacked(&mut self, packages: &[(&Package, Vec<Vec<u8>>)]) -> Result<(), AssembleError> {
        let mut status = Vec::new();
        for (package, list) in packages {
            self.write_list(&package.database_name(), list)?;
            self.lists.insert(package.database_name(), list.clone());
            status.extend_from_slice(paragraph(package).as_bytes());
        }
        self.append_status(&status)?;
        let packages: Vec<&Package> = packages.iter().map(|(package, _)| *package).collect();
        triggers::add_interests(&self.folder.join("triggers"), &packages)
    }

    /// Takes paths that another package replaced from the lists of their first owners.
    pub fn remove_lost(&mut self, lost: &[(String, Vec<u8>)]) -> Result<(), AssembleError> {
        let mut changed = BTreeSet::new();
        for (package, path) in lost {
            if let Some(list) = self.lists.get_mut(package) {
                list.retain(|listed| listed != path);
                changed.insert(package);
            }
        }
        for package in changed {
            self.write_list(package, &self.lists[package])?;
        }
        Ok(())
    }

    pub fn add_stand_in(&self) -> Result<(), AssembleError> {
        self.write_list(STAND_IN, &[b"/.".to_vec()])?;
        self.write(&format!("info/{STAND_IN}.md5sums"), b"", 0o644)?;
        self.append_status(format!("{STAND_IN_PARAGRAPH}\n").as_bytes())
    }

    fn write_list(&self, package: &str, list: &[Vec<u8>]) -> Result<(), AssembleError> {
        let lines: Vec<u8> = list.iter().flat_map(|path| [path.as_slice(), b"\n"].concat()).collect();
        self.write(&format!("info/{package}.list"), &lines, 0o644)
    }

    fn append_status(&self, text: &[u8]) -> Result<(), AssembleError> {
        let path = self.folder.join("status");
        let mut file = fs::OpenOptions::new().append(true).open(&path).at("opening", &path)?;
        Ok(file.write_all(text).at("writing", &path)?)
    }
}

/// A package's paragraph in `status`. dpkg orders the fields when it next writes.
fn paragraph(package: &Package) -> String {
    let mut text = String::new();
    for (number, line) in package.control.lines().enumerate() {
        text.push_str(line);
        text.push('\n');
        if number == 0 {
            text.push_str("Status: install ok unpacked\n");
        }
    }
    if !package.conffiles.is_empty() {
        text.push_str("Conffiles:\n");
        for path in &package.conffiles {
            // In the place of a hash: dpkg has not installed it before.
            text.push_str(&format!(" /{} newconffile\n", String::from_utf8_lossy(path)));
        }
    }
    text.push('\n');
    text
}
