//! The disk that serves a guest its config: its folder on the host's config
//! partition as `/config/local`, what all nodes share as `/config/global`, and
//! the marker. It is made in memory at each start.

use crate::formats::iso_writer::{self, Folder, Node, WriteError};
use crate::system::files;
use appliance_contract::Schema;
use appliance_contract::guest_image::CONFIG_LABEL;
use appliance_contract::marker::{self, Marker, NodeName, Role};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The disk lies in the host's memory, and its tree is in memory once more while it is made.
const MAX_BYTES: u64 = 32 << 20;

/// Why there is no config disk.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum ConfigDiskError {
    #[error("reading {path} for the guest's config: {error}", path = path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error(
        "the guest's config with {path} is larger than {} MiB, which is the most that the host serves from memory; \
         give the guest a disk with a marker of its own", MAX_BYTES >> 20, path = path.display()
    )]
    TooLarge { path: PathBuf },
    #[error("writing the marker of the guest's config: {0}")]
    Marker(toml::ser::Error),
    #[error("the guest's config: {0}")]
    Write(WriteError),
}

impl From<WriteError> for ConfigDiskError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl From<toml::ser::Error> for ConfigDiskError {
    fn from(error: toml::ser::Error) -> Self {
        Self::Marker(error)
    }
}

/// A config disk, and what was left out of it.
#[derive(Debug)]
pub struct ConfigDisk {
    /// The ISO 9660 volume.
    pub image: Vec<u8>,
    /// A line each.
    pub left_out: Vec<String>,
}

/// Makes the disk of guest `node` out of the folders `local` and `global`,
/// either of which may be missing.
pub fn make(
    node: NodeName,
    generation: Option<String>,
    local: &Path,
    global: &Path,
) -> Result<ConfigDisk, ConfigDiskError> {
    let marker = Marker {
        schema: Schema::CURRENT,
        role: Role::Guest,
        node,
        generation,
        machine_id: None,
        global_links: vec!["/etc/hosts".to_owned()],
        enable: Vec::new(),
        mask: Vec::new(),
        links: BTreeMap::new(),
    };
    let mut reader = Reader { bytes: 0, left_out: Vec::new() };
    let mut marker = marker;
    // FAT holds neither links nor units: a tree that was cut for it says them in a marker of its own.
    if let Some(own) = own_marker(local)? {
        (marker.machine_id, marker.global_links) = (own.machine_id, own.global_links);
        (marker.enable, marker.mask, marker.links) = (own.enable, own.mask, own.links);
    }
    let mut root = Folder { mode: 0o755, entries: BTreeMap::new() };
    for (name, path) in [("local", local), ("global", global)] {
        if path.is_dir() {
            let mut folder = reader.folder(path)?;
            if name == "local" {
                folder.entries.remove(marker::FILE_NAME.as_bytes());
            }
            root.entries.insert(name.into(), Node::Folder(folder));
        }
    }
    let text = toml::to_string(&marker)?;
    root.entries.insert(marker::FILE_NAME.into(), Node::File { mode: 0o644, bytes: text.into_bytes() });
    Ok(ConfigDisk { image: iso_writer::write(&root, CONFIG_LABEL)?, left_out: reader.left_out })
}

/// The marker that the guest's own tree brings, which may say more than the host knows.
fn own_marker(local: &Path) -> Result<Option<Marker>, ConfigDiskError> {
    let path = local.join(marker::FILE_NAME);
    let text = match files::read_text(&path, marker::MAX_SIZE) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ConfigDiskError::Read { path, error }),
    };
    let invalid = |error: toml::de::Error| io::Error::new(io::ErrorKind::InvalidData, error.message().to_owned());
    Marker::parse(&text).map(Some).map_err(|error| ConfigDiskError::Read { path, error: invalid(error) })
}

struct Reader {
    bytes: u64,
    left_out: Vec<String>,
}

impl Reader {
    fn folder(&mut self, path: &Path) -> Result<Folder, ConfigDiskError> {
        let read = |error| ConfigDiskError::Read { path: path.to_owned(), error };
        let mode = fs::metadata(path).map_err(read)?.permissions().mode() & 0o7777;
        let mut entries = BTreeMap::new();
        for entry in fs::read_dir(path).map_err(read)? {
            let entry = entry.map_err(read)?;
            if let Some(node) = self.node(&entry.path())? {
                entries.insert(entry.file_name().into_vec(), node);
            }
        }
        Ok(Folder { mode, entries })
    }

    fn node(&mut self, path: &Path) -> Result<Option<Node>, ConfigDiskError> {
        let read = |error| ConfigDiskError::Read { path: path.to_owned(), error };
        let stat = fs::symlink_metadata(path).map_err(read)?;
        let kind = stat.file_type();
        // Each entry takes a directory record and perhaps a sector.
        self.bytes += 256 + if kind.is_file() { stat.len() } else { 0 };
        if self.bytes > MAX_BYTES {
            return Err(ConfigDiskError::TooLarge { path: path.to_owned() });
        }
        if kind.is_dir() {
            return Ok(Some(Node::Folder(self.folder(path)?)));
        }
        if kind.is_symlink() {
            let target = fs::read_link(path).map_err(read)?;
            return Ok(Some(Node::Link(target.as_os_str().as_bytes().to_vec())));
        }
        if kind.is_file() {
            let bytes = fs::read(path).map_err(read)?;
            return Ok(Some(Node::File { mode: stat.permissions().mode() & 0o7777, bytes }));
        }
        self.left_out.push(format!("{} is neither file, folder nor link", path.display()));
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::iso::Volume;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    fn read(image: &[u8], path: &str) -> String {
        let range = Volume::open(&image.to_vec()).unwrap().find(path).unwrap();
        String::from_utf8(image[range.offset as usize..(range.offset + range.length) as usize].to_vec()).unwrap()
    }

    #[test]
    fn holds_local_global_and_the_marker() {
        let folder = TempDir::new().unwrap();
        let (local, global) = (folder.path().join("config"), folder.path().join("global"));
        fs::create_dir_all(local.join("etc/ssh")).unwrap();
        fs::create_dir(&global).unwrap();
        fs::write(local.join("etc/ssh/key"), "secret").unwrap();
        fs::write(
            local.join("appliance.toml"),
            "schema = 1\nrole = \"guest\"\nnode = \"x\"\nenable = [\"a.service\"]\n",
        )
        .unwrap();
        symlink("../b", local.join("etc/link")).unwrap();
        nix::unistd::mkfifo(&local.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::write(global.join("hosts"), "127.0.0.1 localhost\n").unwrap();
        let served = make("web".parse().unwrap(), Some("r7".into()), &local, &global).unwrap();
        let text = read(&served.image, "/appliance.toml");
        let marker = Marker::parse(&text).unwrap();
        assert_eq!((marker.role, marker.node.as_str()), (Role::Guest, "web"));
        assert_eq!((marker.generation.as_deref(), marker.enable.len()), (Some("r7"), 1));
        assert_eq!(read(&served.image, "/local/etc/ssh/key"), "secret");
        assert_eq!(read(&served.image, "/global/hosts"), "127.0.0.1 localhost\n");
        assert!(Volume::open(&served.image).unwrap().find("/local/appliance.toml").is_err());
        assert_eq!(served.left_out.len(), 1);
    }

    #[test]
    fn a_guest_without_a_folder_gets_what_all_share() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("hosts"), "x").unwrap();
        let served = make("web".parse().unwrap(), None, &folder.path().join("none"), folder.path()).unwrap();
        assert_eq!(read(&served.image, "/global/hosts"), "x");
        assert!(Volume::open(&served.image).unwrap().find("/local/x").is_err());
    }

    #[test]
    fn a_config_that_is_too_large_is_refused() {
        let folder = TempDir::new().unwrap();
        fs::File::create(folder.path().join("big")).unwrap().set_len(MAX_BYTES).unwrap();
        let error = make("web".parse().unwrap(), None, folder.path(), folder.path()).unwrap_err().to_string();
        assert!(error.contains("larger than 32 MiB") && error.contains("give the guest a disk"), "{error}");
    }
}
