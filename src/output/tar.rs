//! The output `tar`: the root file system as a reproducible `.tar.zst`, for `podman import`, `systemd-nspawn` and tar.
//!
//! The archive is in pax format (POSIX.1-2017, pax, "pax Interchange Format"). Extended attributes are `SCHILY.xattr.NAME`
//! records, which GNU tar, bsdtar and containers read.

use super::image::manifest_text;
use super::records::identity::Identity;
use super::records::sbom;
use super::{Artifact, Image, Input, Output, OutputError, RootLocation, Shape};
use crate::format::squashfs::Compression;
use crate::profile::Profile;
use crate::progress::{Progress, Stage, Unit};
use crate::tree::{Kind, Node, NodeId, TreePath};
use crate::util::file_error::At as _;
use crate::util::sha256::Hasher;
use crate::util::writeback;
use appliance_contract::Sha256;
use appliance_contract::manifest::{File as ListedFile, Manifest, RootImage};
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::thread;
use tar::{Builder, EntryType, Header};

/// The root file system as an archive.
#[derive(Debug)]
pub struct Tar;

const SUFFIX: &str = ".tar.zst";
/// For profiles that compress their root with something else than zstd.
const LEVEL: i32 = 15;

impl Output for Tar {
    fn command(&self) -> &'static str {
        "tar"
    }

    fn shape(&self) -> Shape {
        Shape::File { suffix: SUFFIX, records: ".tar" }
    }

    fn needs_boot_loader(&self) -> bool {
        false
    }

    fn includes_guests(&self) -> bool {
        false
    }

    fn needs_initramfs(&self) -> bool {
        false
    }

    fn root_location(&self, _: &Profile) -> Option<RootLocation> {
        None
    }

    fn lay_out(&self, input: &Input<'_>, progress: &dyn Progress) -> Result<Artifact, OutputError> {
        let (image, path) = (&input.image, input.path);
        let file = File::create_new(path).at("making", path)?;
        let (written, synced) = writeback::with_background_sync(&file, || write(image, &file, progress));
        let (size, sha256) = written.at("writing", path)?;
        synced.at("syncing", path)?;
        // Whatever the umask says: an image holds no secret.
        fs::set_permissions(path, Permissions::from_mode(0o644)).at("setting the mode of", path)?;
        progress.stage(Stage::Sync, 0, Unit::Bytes);
        file.sync_all().at("syncing", path)?;

        let name = &image.profile.name;
        let mut identity = Identity::new(name, image.version, image.lock_sha256);
        identity.add(sha256.as_bytes());
        let identity = identity.finish();
        let subject = sbom::Subject { name, version: image.version, identity, created: image.source_date };
        let archive = format!("{name}-{}{SUFFIX}", image.version);
        let manifest = Manifest {
            root: Some(RootImage { path: archive.clone(), format: "tar".into(), verity: None }),
            files: vec![ListedFile { path: archive, size, sha256 }],
            ..image.manifest.clone()
        };
        let (manifest_json, sbom) = (manifest_text(&manifest), sbom::render(&subject, image.lock)?);
        Ok(Artifact { path: path.to_owned(), size, sha256, manifest_json, sbom, initramfs_size: None })
    }
}

/// Writes the archive. Returns its size and SHA-256.
fn write(image: &Image<'_>, file: &File, progress: &dyn Progress) -> io::Result<(u64, Sha256)> {
    let bytes = image.tree.walk().map(|(_, id)| length(image.tree.node(id))).sum();
    progress.stage(Stage::LayOut, bytes, Unit::Bytes);
    let level = match image.profile.root.compression {
        Compression::Zstd { level } => level,
        Compression::Xz { .. } | Compression::Gzip { .. } => LEVEL,
    };
    let out = Hashing { to: BufWriter::new(file), hash: Hasher::default(), size: 0 };
    let mut out = zstd::Encoder::new(out, level)?;
    out.include_checksum(true)?;
    // zstd's output is the same for any number of threads from one on.
    out.multithread(u32::try_from(thread::available_parallelism().map_or(1, usize::from)).unwrap_or(1))?;
    let mut builder = Builder::new(out);
    let mut linked: BTreeMap<NodeId, Vec<u8>> = BTreeMap::new();
    for (path, id) in image.tree.walk() {
        let node = image.tree.node(id);
        let name = entry_name(&path, node);
        if let Kind::Socket = node.kind {
            progress.warn(&format!("{path} is a socket, which an archive cannot hold; left out"));
            continue;
        }
        match linked.get(&id) {
            Some(first) => append(&mut builder, &name, node, Some(first))?,
            None => {
                append(&mut builder, &name, node, None)?;
                linked.insert(id, name);
                progress.advance(length(node));
            }
        }
    }
    let Hashing { mut to, hash, size } = builder.into_inner()?.finish()?;
    to.flush()?;
    Ok((size, hash.finish()))
}

fn length(node: &Node) -> u64 {
    match &node.kind {
        Kind::File(content) => content.len(),
        _ => 0,
    }
}

/// `./`, `./etc/` or `./etc/hosts`, as `tar -C ROOT -c .` names them.
fn entry_name(path: &TreePath, node: &Node) -> Vec<u8> {
    let mut name = [b".", path.to_bytes().as_slice()].concat();
    if matches!(node.kind, Kind::Directory(_)) && name.last() != Some(&b'/') {
        name.push(b'/');
    }
    name
}

/// Appends an entry. `first` is the name under which the same file is in the archive already.
fn append(builder: &mut Builder<impl Write>, name: &[u8], node: &Node, first: Option<&[u8]>) -> io::Result<()> {
    let metadata = &node.metadata;
    let mut header = Header::new_ustar();
    header.set_mode(metadata.mode.into());
    header.set_uid(metadata.uid.into());
    header.set_gid(metadata.gid.into());
    header.set_mtime(u64::try_from(metadata.mtime).unwrap_or(0));
    header.set_size(0);
    let mut target: Option<&[u8]> = None;
    let kind = match (&node.kind, first) {
        (_, Some(first)) => {
            target = Some(first);
            EntryType::Link
        }
        (Kind::Directory(_), None) => EntryType::Directory,
        (Kind::File(content), None) => {
            header.set_size(content.len());
            EntryType::Regular
        }
        (Kind::Symlink(to), None) => {
            target = Some(to);
            EntryType::Symlink
        }
        (Kind::CharacterDevice { major, minor }, None) => {
            header.set_device_major(*major)?;
            header.set_device_minor(*minor)?;
            EntryType::Char
        }
        (Kind::BlockDevice { major, minor }, None) => {
            header.set_device_major(*major)?;
            header.set_device_minor(*minor)?;
            EntryType::Block
        }
        (Kind::Fifo | Kind::Socket, None) => EntryType::Fifo,
    };
    header.set_entry_type(kind);
    let mut records: Vec<(String, &[u8])> = Vec::new();
    if let Some(ustar) = header.as_ustar_mut() {
        if !put(&mut ustar.name, name) {
            records.push(("path".to_owned(), name));
        }
        if let Some(target) = target
            && !put(&mut ustar.linkname, target)
        {
            records.push(("linkpath".to_owned(), target));
        }
    }
    if first.is_none() {
        for (attribute, value) in &metadata.xattrs {
            records.push((format!("SCHILY.xattr.{}", String::from_utf8_lossy(attribute)), value));
        }
    }
    if !records.is_empty() {
        builder.append_pax_extensions(records.iter().map(|(key, value)| (key.as_str(), *value)))?;
    }
    header.set_cksum();
    match &node.kind {
        Kind::File(content) if first.is_none() => {
            builder.append(&header, Exactly { from: content.open()?, left: content.len() })
        }
        _ => builder.append(&header, io::empty()),
    }
}

/// Writes a name into its field, cut to its size. Returns whether all of it is there and a reader takes it as it is.
fn put(field: &mut [u8; 100], name: &[u8]) -> bool {
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name[..length]);
    name.len() <= field.len() && name.is_ascii()
}

/// A file that became shorter since it was planned is an error: the archive would be unreadable from there on.
struct Exactly<R> {
    from: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.left = self.left.saturating_sub(count as u64);
        if count == 0 && !buffer.is_empty() && self.left > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{} bytes are missing", self.left)));
        }
        Ok(count)
    }
}

/// Hashes and counts what is written.
struct Hashing<W> {
    to: W,
    hash: Hasher,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
