//! The output `iso`: a hybrid ISO 9660 image that boots from CD, USB stick and disk, under BIOS and UEFI. It is written
//! atomically.

pub(crate) mod guests;
pub(crate) mod medium_record;
pub(crate) mod patches;

use super::image::{Image, manifest_text};
use super::records::checksums::{self, ChecksumError, Hashes};
use super::records::identity::Identity;
use super::records::sbom;
use super::{Artifact, Input, Output, OutputError, Root, RootLocation, Shape, failed};
use crate::boot::entries::{self, Entries, Request};
use crate::boot::grub::{self, Loader};
use crate::boot::kernel::Kernels;
use crate::boot::microcode;
use crate::format::iso::{BLOCK, Boot, Layout, Options, Patch, Present, Volume, VolumeUuid};
use crate::format::squashfs::NoCache;
use crate::profile::Profile;
use crate::progress::{Progress, Stage, Unit};
use crate::tree::{Content, Metadata, Node, Tree, TreePath};
use crate::util::atomic_file::{self, AtomicFile, Durability};
use crate::util::file_error::At as _;
use crate::util::sha256;
use crate::util::writeback;
use appliance_contract::Sha256;
use appliance_contract::kernel_args::RootSource;
use appliance_contract::manifest::{EmbeddedGuest, Manifest, RootImage};
use appliance_contract::medium;
use std::fs::{self, File};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

/// The ISO image of a host: it boots from CD, stick and disk.
#[derive(Debug)]
pub struct Iso;

/// The root begins at a multiple of it: a loop device is not to read pages, or verity's blocks, by halves.
const ALIGNMENT: u64 = 64 << 10;

/// The root is packed where it stays, so its offset is chosen before the rest of the medium is known. Before it lie the
/// descriptors and directories (84 kB where they were measured) and the records, among them the manifest, which says there
/// what it says in the image and more.
fn root_offset(manifest: &Manifest, guests: usize) -> u64 {
    const OWN: u64 = 256 << 10;
    const OF_A_GUEST: u64 = 16 << 10;
    let manifest = manifest_text(manifest).len() as u64;
    (manifest + OWN + OF_A_GUEST * guests as u64).next_multiple_of(ALIGNMENT)
}

impl Output for Iso {
    fn command(&self) -> &'static str {
        "iso"
    }

    fn shape(&self) -> Shape {
        Shape::File { suffix: ".iso", records: "" }
    }

    fn needs_boot_loader(&self) -> bool {
        true
    }

    fn includes_guests(&self) -> bool {
        true
    }

    fn root_location(&self, profile: &Profile) -> Option<RootLocation> {
        RootLocation::if_packed(profile, "medium.part", root_offset)
    }

    /// The file gets its name once all of it is on disk.
    fn lay_out(&self, input: &Input<'_>, progress: &dyn Progress) -> Result<Artifact, OutputError> {
        progress.stage(Stage::LayOut, 0, Unit::Bytes);
        let label = &input.image.profile.volume_label;
        if label.is_empty() || label.chars().count() > 32 {
            return Err(OutputError::Label { label: label.clone(), length: label.chars().count() });
        }
        let file = open(input)?;
        let (written, synced) = writeback::with_background_sync(file.as_file(), || {
            Draft::new(input, progress)?.finish()?.write(&file, progress)
        });
        let written = written?;
        synced.at("syncing", file.path())?;
        written.finish(file, input.path, progress)
    }
}

/// The file that becomes the medium.
fn open(input: &Input<'_>) -> Result<AtomicFile, OutputError> {
    if let Root::Squashfs { file, .. } = input.root {
        let opened = File::options().read(true).write(true).open(file).at("opening", file)?;
        return Ok(AtomicFile::adopt(opened, file).at("finding", file)?);
    }
    let directory = atomic_file::directory(input.path);
    AtomicFile::create_in(directory).map_err(failed("making a file in", directory))
}

/// The medium's files before its identity is known.
struct Draft<'a> {
    input: &'a Input<'a>,
    loader: &'a dyn Loader,
    progress: &'a dyn Progress,
    kernels: Kernels,
    tree: Tree,
    kernel_path: String,
    has_microcode: bool,
    initramfs_size: Option<u64>,
    guests: Vec<EmbeddedGuest>,
}

/// What follows from the medium's identity.
struct Named {
    /// Of the files that the identity follows from.
    hashes: Hashes,
    identity: Sha256,
    uuid: VolumeUuid,
    entries: Entries,
    esp: Vec<u8>,
}

/// The medium's files, all but those whose bytes depend on where others lie.
struct Contents {
    tree: Tree,
    options: Options,
    /// SHA-256 of the root's block with verity's superblock; zeros without.
    superblock: Sha256,
    hashes: Hashes,
    manifest: Manifest,
    sbom: Vec<u8>,
    initramfs_size: Option<u64>,
}

/// A medium's file with all that is in it.
struct Written {
    contents: Contents,
    size: u64,
    sha256: Sha256,
}

impl<'a> Draft<'a> {
    fn new(input: &'a Input<'a>, progress: &'a dyn Progress) -> Result<Self, OutputError> {
        let loader = input.loader.ok_or(OutputError::NoBootLoader)?;
        let kernels = Kernels::find(input.image.tree, &input.image.profile.boot)?;
        let mtime = input.image.source_date;
        let plain = matches!(input.root, Root::Plain);
        let tree = if plain { input.image.tree.clone() } else { Tree::new(Metadata::new(0o755).with_mtime(mtime)) };
        let kernel_path = if plain { kernels.kernel.path.to_string() } else { medium::KERNEL.to_owned() };
        let mut draft = Self {
            input,
            loader,
            progress,
            kernels,
            tree,
            kernel_path,
            has_microcode: false,
            initramfs_size: None,
            guests: Vec::new(),
        };
        if !plain {
            draft.put(medium::KERNEL, draft.kernels.kernel.content.clone())?;
        }
        if let Some(xen) = draft.kernels.xen.clone() {
            draft.put(medium::XEN, xen.content)?;
        }
        if let Some(agent) = input.image.agent {
            draft.add_initramfs(agent)?;
        }
        draft.guests = guests::put(&mut draft.tree, input.guests, mtime)?;
        for (path, content) in loader.efi_modules()? {
            draft.put(&path, content)?;
        }
        Ok(draft)
    }

    fn put(&mut self, path: &str, content: Content) -> Result<(), OutputError> {
        let metadata = Metadata::new(0o644).with_mtime(self.input.image.source_date);
        self.tree.insert(&TreePath::parse(path)?, Node::file(metadata, content))?;
        Ok(())
    }

    fn add_initramfs(&mut self, agent: &[u8]) -> Result<(), OutputError> {
        let image = &self.input.image;
        let initramfs = image.initramfs(&self.kernels, agent, &NoCache, self.progress)?;
        self.initramfs_size = Some(initramfs.bytes.len() as u64);
        self.put(medium::INITRAMFS, initramfs.bytes.into())?;
        if let Some(archive) = microcode::build(image.tree, image.source_date)? {
            self.has_microcode = true;
            self.put(entries::MICROCODE, archive.into())?;
        }
        Ok(())
    }

    fn entries(&self, root: Option<(RootSource, Sha256)>) -> Entries {
        let Image { profile, version, .. } = self.input.image;
        Entries::new(&Request {
            boot: &profile.boot,
            name: &profile.name,
            version,
            role: profile.kind,
            root,
            kernel: &self.kernel_path,
            has_xen: self.kernels.xen.is_some(),
            has_microcode: self.has_microcode,
        })
    }

    /// The verity hash, where the agent opens the root.
    fn root_hash(&self) -> Option<Sha256> {
        let Root::Squashfs { verity, .. } = self.input.root else { return None };
        self.input.image.agent.map(|_| verity.root_hash)
    }

    /// The packed root.
    fn root(&self) -> Result<Option<Content>, OutputError> {
        let Root::Squashfs { file, offset, .. } = self.input.root else { return Ok(None) };
        let end = fs::metadata(file).at("reading", file)?.len();
        Ok(Some(Content::part(file.to_owned(), offset, end.saturating_sub(offset))))
    }

    fn superblock(&self) -> Result<Sha256, OutputError> {
        let Root::Squashfs { file, offset, verity } = self.input.root else { return Ok(Sha256::default()) };
        let opened = File::open(file).at("opening", file)?;
        medium_record::superblock(&opened, offset, verity.hash_offset)
            .map_err(failed("reading verity's superblock in", file))
    }

    /// Adds the root, and all that tells of it and the others.
    fn finish(mut self) -> Result<Contents, OutputError> {
        self.progress.item("checksums");
        let root = self.root()?;
        // It is most of all bytes, and hashing one file is one core's work: what can be without that hash is made
        // meanwhile.
        let (root_hash, named) = thread::scope(|scope| {
            let hashing = root.as_ref().map(|root| scope.spawn(|| checksums::of_content(root)));
            let named = self.name();
            (hashing.map(|hashing| hashing.join().unwrap_or_else(|panic| resume_unwind(panic))), named)
        });
        let Named { mut hashes, identity, uuid, entries, esp } = named?;
        if let (Some(content), Some(hash)) = (root, root_hash) {
            let path = TreePath::parse(medium::ROOT_IMAGE)?;
            let hash = hash.map_err(|source| ChecksumError { path: path.clone(), source })?;
            self.put(medium::ROOT_IMAGE, content)?;
            hashes.insert(path, hash);
        }
        let Image { profile, version, lock, source_date, .. } = self.input.image;
        let subject = sbom::Subject { name: &profile.name, version, identity, created: source_date };
        let sbom = sbom::render(&subject, lock)?;
        self.put(medium::SBOM, sbom.clone().into())?;
        checksums::add_tree(&mut hashes, &self.tree)?;
        let manifest = self.manifest(&entries, uuid, &hashes);
        let options = Options {
            label: profile.volume_label.clone(),
            created: source_date,
            uuid,
            // A plain root's names are for systems that read Rock Ridge.
            joliet: matches!(self.input.root, Root::Squashfs { .. }),
            boot: Some(Boot { bios: TreePath::parse(grub::CORE)?, mbr: self.loader.boot_hybrid()?, esp }),
            present: match self.input.root {
                Root::Squashfs { offset, .. } => Some(Present { path: TreePath::parse(medium::ROOT_IMAGE)?, offset }),
                Root::Plain => None,
            },
        };
        let superblock = self.superblock()?;
        let mut contents = Contents {
            tree: self.tree,
            options,
            superblock,
            hashes,
            manifest,
            sbom,
            initramfs_size: self.initramfs_size,
        };
        contents.put_records()?;
        Ok(contents)
    }

    /// Settles the medium's identity, and adds what names it. A packed root counts by its verity hash, which is
    /// there before the checksum.
    fn name(&mut self) -> Result<Named, OutputError> {
        let Image { profile, version, lock_sha256, .. } = self.input.image;
        let mut hashes = Hashes::new();
        checksums::add_tree(&mut hashes, &self.tree)?;
        let mut identity = Identity::new(&profile.name, version, lock_sha256);
        if let Root::Squashfs { verity, .. } = self.input.root {
            identity.add(verity.root_hash.to_string().as_bytes());
        }
        identity.files(&hashes);
        let identity = identity.finish();
        let uuid = VolumeUuid::from_hash(identity);

        let source = |hash| {
            let source = RootSource::Medium { uuid: uuid.to_string(), path: medium::ROOT_IMAGE.into() };
            (source, hash)
        };
        let entries = self.entries(self.root_hash().map(source));
        entries.warnings.iter().for_each(|warning| self.progress.warn(warning));
        let boot = &profile.boot;
        let menu = grub::menu(self.input.templates, &entries, boot.menu_timeout, &boot.consoles, uuid)?;
        self.put("/boot/grub/grub.cfg", menu.into_bytes().into())?;
        let info = format!("{} {version} {} {uuid}\n", profile.name, profile.architecture.debian());
        self.put("/.disk/info", info.into_bytes().into())?;
        self.progress.item("boot loader");
        let loader = self.loader;
        let (core, esp) = thread::scope(|scope| {
            let esp = scope.spawn(|| loader.esp(uuid, boot.secure_boot));
            (loader.core_image(uuid), esp.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        let (core, esp) = (core?, esp?);
        self.put(grub::CORE, core.into())?;
        Ok(Named { hashes, identity, uuid, entries, esp })
    }

    fn manifest(&self, entries: &Entries, uuid: VolumeUuid, hashes: &Hashes) -> Manifest {
        let root = match self.input.root {
            Root::Squashfs { verity, .. } => {
                RootImage { path: medium::ROOT_IMAGE.into(), format: "squashfs".into(), verity: Some(verity.clone()) }
            }
            Root::Plain => RootImage { path: "/".into(), format: "plain".into(), verity: None },
        };
        Manifest {
            medium_uuid: Some(uuid.to_string()),
            root: Some(root),
            boot_entries: entries.manifest(),
            guests: self.guests.clone(),
            files: checksums::files(&self.tree, hashes),
            ..self.input.image.manifest.clone()
        }
    }
}

impl Contents {
    /// The manifest and the checksums, which tell of all other files, the manifest's own among the latter.
    fn records(&self) -> Result<(Vec<u8>, Vec<u8>), OutputError> {
        let manifest = manifest_text(&self.manifest);
        let mut hashes = self.hashes.clone();
        hashes.insert(TreePath::parse(medium::MANIFEST)?, sha256::of(&manifest));
        Ok((manifest, checksums::render(&hashes)))
    }

    fn put_records(&mut self) -> Result<(), OutputError> {
        let (manifest, checksums) = self.records()?;
        let metadata = Metadata::new(0o644).with_mtime(self.options.created);
        for (path, bytes) in [(medium::MANIFEST, manifest), (medium::CHECKSUMS, checksums)] {
            self.tree.insert(&TreePath::parse(path)?, Node::file(metadata.clone(), bytes.into()))?;
        }
        Ok(())
    }

    /// Tells the core image where it lies. That changes neither its length
    /// nor those of the records that hold its hash, and so moves nothing.
    fn settle(&mut self, volume: &mut Volume) -> Result<u32, OutputError> {
        let path = TreePath::parse(grub::CORE)?;
        let scattered = || OutputError::Scattered { path: grub::CORE.to_owned() };
        let (offset, _) = volume.plan()?.place(&path).ok_or_else(scattered)?;
        let block = u32::try_from(offset / BLOCK).map_err(|_| scattered())?;
        let content = match self.tree.get(&path).map(|node| &node.kind) {
            Some(crate::tree::Kind::File(content)) => content.clone(),
            _ => return Err(scattered()),
        };
        let mut core = content.read().map_err(|source| ChecksumError { path: path.clone(), source })?;
        patches::boot_info(&mut core, block)?;
        let hash = sha256::of(&core);
        self.hashes.insert(path.clone(), hash);
        for file in self.manifest.files.iter_mut().filter(|file| file.path == grub::CORE) {
            file.sha256 = hash;
        }
        let (manifest, checksums) = self.records()?;
        volume.replace(&path, core)?;
        volume.replace(&TreePath::parse(medium::MANIFEST)?, manifest)?;
        volume.replace(&TreePath::parse(medium::CHECKSUMS)?, checksums)?;
        Ok(block)
    }

    /// What is changed in the volume, once the core image at `core` knows its place.
    fn patches(&self, volume: &Volume, core: u32) -> Result<Vec<Patch>, OutputError> {
        let (_, checksums) = self.records()?;
        let files = medium_record::Files { checksums: sha256::of(&checksums), superblock: self.superblock };
        let esp = self.options.boot.as_ref().map_or(0, |boot| boot.esp.len() as u64);
        let mut patches = vec![patches::hybrid_start(core)];
        let record = medium_record::make(volume, &patches, files, esp)?;
        patches.push(patches::record(&record));
        Ok(patches)
    }

    fn write(mut self, file: &AtomicFile, progress: &dyn Progress) -> Result<Written, OutputError> {
        let mut volume = Volume::new(&self.tree, &self.options)?;
        let core = self.settle(&mut volume)?;
        let patches = self.patches(&volume, core)?;
        progress.item(&file.path().display().to_string());
        // Hashing takes longer than writing: it follows as far as that has come.
        let (layout, sha256) = thread::scope(|scope| {
            let (to, told) = mpsc::channel();
            let hashing = scope.spawn(|| checksums::while_written(file.path(), told));
            let write = || {
                volume.write_patched(file.as_file(), &patches, &mut move |end| {
                    // Who failed to read says so when asked.
                    let _ = to.send(end);
                })
            };
            (write(), hashing.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        let layout: Layout =
            layout.map_err(|source| OutputError::Write { path: file.path().to_owned(), source: Box::new(source) })?;
        let sha256 = sha256.at("reading back", file.path())?;
        if let Some(Present { path, offset }) = &self.options.present
            && layout.place(path).is_none_or(|(found, _)| found != *offset)
        {
            return Err(OutputError::Scattered { path: path.to_string() });
        }
        Ok(Written { contents: self, size: layout.size(), sha256 })
    }
}

impl Written {
    /// Waits for the disk, and gives the medium its name.
    fn finish(self, file: AtomicFile, output: &Path, progress: &dyn Progress) -> Result<Artifact, OutputError> {
        progress.stage(Stage::Sync, 0, Unit::Bytes);
        // An image holds no secret, so everyone may read it.
        file.persist(output, 0o644, Durability::Synced).at("syncing and renaming to", output)?;
        let (manifest_json, _) = self.contents.records()?;
        Ok(Artifact {
            path: output.to_owned(),
            size: self.size,
            sha256: self.sha256,
            manifest_json,
            sbom: self.contents.sbom,
            initramfs_size: self.contents.initramfs_size,
        })
    }
}
