//! The ISO: every file of a medium, its boot records, written whole or not at all.

use super::checksums::{self, ChecksumError, Hashes};
use super::guests;
use super::identity::Identity;
use super::image::{Image, manifest_text};
use super::patches::{self, CoreTooShort};
use super::sbom::{self, SbomError};
use crate::boot::entries::{self, Entries, Request};
use crate::boot::grub::{self, GrubError, Loader};
use crate::boot::initramfs::InitramfsError;
use crate::boot::kernel::{KernelError, Kernels};
use crate::boot::microcode::{self, MicrocodeError};
use crate::format::iso::{BLOCK, Boot, IsoError, Layout, Options, Volume, VolumeUuid};
use crate::format::squashfs::Forgetful;
use crate::progress::{Progress, Stage, Unit};
use crate::templates::TemplateError;
use crate::tree::{Content, Metadata, Node, PathError, Tree, TreeError, TreePath};
use appliance_contract::kernel_args::RootSource;
use appliance_contract::manifest::{EmbeddedGuest, Manifest, RootImage, Verity};
use appliance_contract::medium;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// All that a medium is made of.
#[derive(Debug)]
pub struct Input<'a> {
    pub image: Image<'a>,
    pub root: Root<'a>,
    /// The guest images that the medium holds.
    pub guests: &'a [Guest<'a>],
    /// GRUB from the lock's tools, unpacked.
    pub loader: &'a dyn Loader,
    /// The user's own templates.
    pub templates: Option<&'a Path>,
    /// The file to make.
    pub output: &'a Path,
}

/// A guest's image, in its folder.
#[derive(Debug, Clone, Copy)]
pub struct Guest<'a> {
    pub folder: &'a Path,
    /// As it lies in the folder.
    pub manifest: &'a Manifest,
}

/// The root file system's form on the medium.
#[derive(Debug, Clone, Copy)]
pub enum Root<'a> {
    Squashfs {
        file: &'a Path,
        verity: &'a Verity,
    },
    /// The tree itself, beside the boot files.
    Plain,
}

/// A written medium.
#[derive(Debug, Clone)]
pub struct Medium {
    pub path: PathBuf,
    pub size: u64,
    pub sha256: [u8; 32],
    pub uuid: VolumeUuid,
    pub manifest: Manifest,
    /// As they lie on the medium, to be kept beside it.
    pub manifest_json: Vec<u8>,
    pub sbom: Vec<u8>,
    /// Bytes of the initramfs, where there is one.
    pub initramfs_size: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum MediumError {
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Initramfs(#[from] InitramfsError),
    #[error(transparent)]
    Microcode(#[from] MicrocodeError),
    #[error(transparent)]
    Grub(#[from] GrubError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Checksum(#[from] ChecksumError),
    #[error(transparent)]
    Sbom(#[from] SbomError),
    #[error(transparent)]
    Iso(#[from] IsoError),
    #[error("writing {path}: {source}", path = path.display())]
    Write { path: PathBuf, source: Box<IsoError> },
    #[error(transparent)]
    Core(#[from] CoreTooShort),
    #[error("laying out the medium: {0}")]
    Tree(#[from] TreeError),
    #[error("laying out the medium: {0}")]
    Path(#[from] PathError),
    #[error("laying out the medium: {path} is not in it in one run")]
    Scattered { path: String },
    #[error("laying out the medium: verity's root hash is {found:?}, expected 64 hexadecimal digits")]
    RootHash { found: String },
    #[error(
        "the volume label {label:?} is {length} characters long, expected 1 to 32; set volume-label in the profile"
    )]
    Label { label: String, length: usize },
    #[error("the profile {name} leaves the agent out, without which no guest finds its root; leave agent = false out")]
    NoAgent { name: String },
    #[error("laying {path} onto the medium: found SHA-256 {found}, its manifest expects {expected}", path = path.display())]
    GuestFile { path: PathBuf, found: String, expected: String },
    #[error("{action} {path}: {source}", path = path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
}

fn failed<'p>(action: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> MediumError + use<'p> {
    move |source| MediumError::File { action, path: path.to_owned(), source }
}

/// Makes the medium: nothing stands under its name before all of it is on disk.
pub fn lay_out(input: Input<'_>, progress: &dyn Progress) -> Result<Medium, MediumError> {
    progress.stage(Stage::LayOut, 0, Unit::Bytes);
    let label = &input.image.profile.volume_label;
    if label.is_empty() || label.chars().count() > 32 {
        return Err(MediumError::Label { label: label.clone(), length: label.chars().count() });
    }
    Draft::new(&input, progress)?.finish()?.write(input.output, progress)
}

/// The medium's files before its identity is known.
struct Draft<'a> {
    input: &'a Input<'a>,
    progress: &'a dyn Progress,
    kernels: Kernels,
    tree: Tree,
    kernel_path: String,
    has_microcode: bool,
    initramfs_size: Option<u64>,
    guests: Vec<EmbeddedGuest>,
}

/// The medium's files, all but those whose bytes depend on where others lie.
struct Contents {
    tree: Tree,
    options: Options,
    hashes: Hashes,
    manifest: Manifest,
    sbom: Vec<u8>,
    initramfs_size: Option<u64>,
    /// What is to begin at a page's boundary, so that a loop device over it is not read by halves.
    aligned: Option<TreePath>,
}

/// Bytes of a page, and of verity's blocks.
const ALIGNMENT: u64 = 4096;

impl<'a> Draft<'a> {
    fn new(input: &'a Input<'a>, progress: &'a dyn Progress) -> Result<Self, MediumError> {
        let kernels = Kernels::find(input.image.tree, &input.image.profile.boot)?;
        let mtime = input.image.source_date;
        let plain = matches!(input.root, Root::Plain);
        let tree = if plain { input.image.tree.clone() } else { Tree::new(Metadata::new(0o755).with_mtime(mtime)) };
        let kernel_path = if plain { kernels.kernel.path.to_string() } else { medium::KERNEL.to_owned() };
        let mut draft = Self {
            input,
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
        if let Root::Squashfs { file, .. } = input.root {
            let length = fs::metadata(file).map_err(failed("reading", file))?.len();
            draft.put(medium::ROOT_IMAGE, Content::host(file.to_owned(), length))?;
        }
        draft.guests = guests::put(&mut draft.tree, input.guests, mtime)?;
        for (path, content) in input.loader.efi_modules()? {
            draft.put(&path, content)?;
        }
        Ok(draft)
    }

    fn put(&mut self, path: &str, content: Content) -> Result<(), MediumError> {
        let metadata = Metadata::new(0o644).with_mtime(self.input.image.source_date);
        self.tree.insert(&TreePath::parse(path)?, Node::file(metadata, content))?;
        Ok(())
    }

    fn add_initramfs(&mut self, agent: &[u8]) -> Result<(), MediumError> {
        let image = &self.input.image;
        let initramfs = image.initramfs(&self.kernels, agent, &Forgetful, self.progress)?;
        self.initramfs_size = Some(initramfs.bytes.len() as u64);
        self.put(medium::INITRAMFS, initramfs.bytes.into())?;
        if let Some(archive) = microcode::build(image.tree, image.source_date)? {
            self.has_microcode = true;
            self.put(entries::MICROCODE, archive.into())?;
        }
        Ok(())
    }

    fn entries(&self, root: Option<(RootSource, [u8; 32])>) -> Entries {
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
    fn root_hash(&self) -> Result<Option<[u8; 32]>, MediumError> {
        let Root::Squashfs { verity, .. } = self.input.root else { return Ok(None) };
        let mut hash = [0; 32];
        hex::decode_to_slice(&verity.root_hash, &mut hash)
            .map_err(|_| MediumError::RootHash { found: verity.root_hash.clone() })?;
        Ok(self.input.image.agent.map(|_| hash))
    }

    /// Adds all that names the medium's identity, which follows from the rest.
    fn finish(mut self) -> Result<Contents, MediumError> {
        let Image { profile, version, lock, source_date, lock_sha256, .. } = self.input.image;
        let templates = self.input.templates;
        let progress = self.progress;
        progress.item("checksums");
        let mut hashes = checksums::of_tree(&self.tree)?;
        let mut identity = Identity::new(&profile.name, version, &lock_sha256);
        identity.files(&hashes);
        let identity = identity.finish();
        let uuid = VolumeUuid::from_hash(&identity);

        let root_hash = self.root_hash()?;
        let source = |hash| {
            let source = RootSource::Medium { uuid: uuid.to_string(), path: medium::ROOT_IMAGE.into() };
            (source, hash)
        };
        let entries = self.entries(root_hash.map(source));
        entries.warnings.iter().for_each(|warning| progress.warn(warning));
        let boot = &profile.boot;
        let menu = grub::menu(templates, &entries, boot.menu_timeout, &boot.consoles, uuid)?;
        self.put("/boot/grub/grub.cfg", menu.into_bytes().into())?;
        let info = format!("{} {version} {} {uuid}\n", profile.name, profile.architecture.debian());
        self.put("/.disk/info", info.into_bytes().into())?;
        progress.item("boot loader");
        self.put(grub::CORE, self.input.loader.core_image(uuid)?.into())?;
        let subject = sbom::Subject { name: &profile.name, version, identity: &identity, created: source_date };
        let sbom = sbom::render(&subject, lock)?;
        self.put(medium::SBOM, sbom.clone().into())?;

        for (path, hash) in checksums::of_tree(&self.additions(&hashes)?)? {
            hashes.insert(path, hash);
        }
        let manifest = self.manifest(&entries, uuid, &hashes);
        let options = Options {
            label: profile.volume_label.clone(),
            created: source_date,
            uuid,
            // A plain root's names are for systems that read Rock Ridge.
            joliet: matches!(self.input.root, Root::Squashfs { .. }),
            boot: Some(Boot {
                bios: TreePath::parse(grub::CORE)?,
                mbr: self.input.loader.boot_hybrid()?,
                esp: self.input.loader.esp(uuid, boot.secure_boot)?,
            }),
        };
        let aligned = match self.input.root {
            Root::Squashfs { .. } => Some(TreePath::parse(medium::ROOT_IMAGE)?),
            Root::Plain => None,
        };
        let mut contents =
            Contents { tree: self.tree, options, hashes, manifest, sbom, initramfs_size: self.initramfs_size, aligned };
        contents.put_records()?;
        Ok(contents)
    }

    /// The files that have no hash yet.
    fn additions(&self, hashes: &Hashes) -> Result<Tree, MediumError> {
        let mut tree = Tree::new(Metadata::new(0o755));
        for (path, id) in self.tree.walk() {
            let node = self.tree.node(id);
            if matches!(node.kind, crate::tree::Kind::File(_)) && !hashes.contains_key(&path) {
                tree.insert(&path, node.clone())?;
            }
        }
        Ok(tree)
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

/// Has the disk take what `write` writes to `file` while it does. The first error
/// counts: the kernel tells of each but once (fsync(2)).
fn syncing_meanwhile<T>(file: &File, write: impl FnOnce() -> T) -> (T, io::Result<()>) {
    const PAUSE: Duration = Duration::from_millis(30);
    thread::scope(|scope| {
        let (written, waiting) = mpsc::channel::<()>();
        let syncing = scope.spawn(move || {
            while waiting.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                file.sync_data()?;
            }
            Ok(())
        });
        let done = write();
        drop(written);
        (done, syncing.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

impl Contents {
    /// The manifest and the checksums, which tell of all other files, the manifest's own among the latter.
    fn records(&self) -> Result<(Vec<u8>, Vec<u8>), MediumError> {
        let manifest = manifest_text(&self.manifest);
        let mut hashes = self.hashes.clone();
        hashes.insert(TreePath::parse(medium::MANIFEST)?, checksums::of_bytes(&manifest));
        Ok((manifest, checksums::render(&hashes)))
    }

    fn put_records(&mut self) -> Result<(), MediumError> {
        let (manifest, checksums) = self.records()?;
        let metadata = Metadata::new(0o644).with_mtime(self.options.created);
        for (path, bytes) in [(medium::MANIFEST, manifest), (medium::CHECKSUMS, checksums)] {
            self.tree.insert(&TreePath::parse(path)?, Node::file(metadata.clone(), bytes.into()))?;
        }
        Ok(())
    }

    /// Tells the core image where it lies. That changes neither its length
    /// nor those of the records that hold its hash, and so moves nothing.
    fn settle(&mut self, volume: &mut Volume) -> Result<u32, MediumError> {
        let path = TreePath::parse(grub::CORE)?;
        let scattered = || MediumError::Scattered { path: grub::CORE.to_owned() };
        let (offset, _) = volume.plan()?.place(&path).ok_or_else(scattered)?;
        let block = u32::try_from(offset / BLOCK).map_err(|_| scattered())?;
        let content = match self.tree.get(&path).map(|node| &node.kind) {
            Some(crate::tree::Kind::File(content)) => content.clone(),
            _ => return Err(scattered()),
        };
        let mut core = content.read().map_err(|source| ChecksumError { path: path.clone(), source })?;
        patches::boot_info(&mut core, block)?;
        let hash = checksums::of_bytes(&core);
        self.hashes.insert(path.clone(), hash);
        for file in self.manifest.files.iter_mut().filter(|file| file.path == grub::CORE) {
            file.sha256 = hex::encode(hash);
        }
        let (manifest, checksums) = self.records()?;
        volume.replace(&path, core)?;
        volume.replace(&TreePath::parse(medium::MANIFEST)?, manifest)?;
        volume.replace(&TreePath::parse(medium::CHECKSUMS)?, checksums)?;
        Ok(block)
    }

    fn write(mut self, output: &Path, progress: &dyn Progress) -> Result<Medium, MediumError> {
        let mut volume = Volume::new(&self.tree, &self.options)?;
        if let Some(path) = &self.aligned {
            volume.align(path, ALIGNMENT)?;
        }
        let core = self.settle(&mut volume)?;
        progress.item(&output.display().to_string());
        let folder = match output.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .prefix(".medium-")
            .suffix(".part")
            .tempfile_in(folder)
            .map_err(failed("making a file in", folder))?;
        let (layout, synced) = syncing_meanwhile(file.as_file(), || volume.write(file.as_file()));
        let layout: Layout =
            layout.map_err(|source| MediumError::Write { path: output.to_owned(), source: Box::new(source) })?;
        synced.map_err(failed("syncing", output))?;
        if let Some(path) = &self.aligned {
            layout.place(path).ok_or_else(|| MediumError::Scattered { path: path.to_string() })?;
        }
        patches::hybrid_start(file.as_file(), core).map_err(failed("writing", output))?;
        // Whatever the umask says: an image holds no secret.
        file.as_file().set_permissions(Permissions::from_mode(0o644)).map_err(failed("setting the mode of", output))?;
        // The disk is slow, and has no part in the hash: both at once.
        let (sha256, synced) = thread::scope(|scope| {
            let syncing = scope.spawn(|| file.as_file().sync_all());
            let sha256 = File::open(file.path()).and_then(checksums::of_reader);
            progress.stage(Stage::Sync, 0, Unit::Bytes);
            (sha256, syncing.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        let sha256 = sha256.map_err(failed("reading back", file.path()))?;
        synced.map_err(failed("syncing", output))?;
        file.persist(output).map_err(|error| failed("renaming to", output)(error.error))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("syncing", folder))?;
        let (manifest_json, _) = self.records()?;
        Ok(Medium {
            path: output.to_owned(),
            size: layout.size(),
            sha256,
            uuid: self.options.uuid,
            manifest: self.manifest,
            manifest_json,
            sbom: self.sbom,
            initramfs_size: self.initramfs_size,
        })
    }
}
