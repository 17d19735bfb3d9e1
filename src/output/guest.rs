//! The output `guest`: a directory with root image, kernel and initramfs, which a host starts a virtual machine from.

use super::image::{Image, manifest_text};
use super::records::checksums::{self, Hashes};
use super::records::identity::Identity;
use super::records::sbom;
use super::{Artifact, Input, Output, OutputError, Root, RootLocation, Shape};
use crate::boot::kernel::Kernels;
use crate::format::squashfs::NoCache;
use crate::profile::Profile;
use crate::progress::{Progress, Stage, Unit};
use crate::tree::{Content, Metadata, Node, Tree, TreePath};
use crate::util::file_error::At as _;
use crate::util::sha256;
use appliance_contract::guest_image::{CHECKSUMS, DEVICE, INITRAMFS, KERNEL, LOCK, MANIFEST, ROOT, SBOM};
use appliance_contract::kernel_args::{Action, ConfigChoice, DEFAULT_TIMEOUT, KernelArgs, RootSource};
use appliance_contract::manifest::{GuestBoot, Manifest, RootImage, Verity};
use appliance_contract::marker::Role;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A guest's image: a directory of files that a host starts a virtual machine from.
#[derive(Debug)]
pub struct GuestDirectory;

impl Output for GuestDirectory {
    fn command(&self) -> &'static str {
        "guest"
    }

    fn shape(&self) -> Shape {
        Shape::Directory
    }

    /// The host loads the kernel.
    fn needs_boot_loader(&self) -> bool {
        false
    }

    fn includes_guests(&self) -> bool {
        false
    }

    fn root_location(&self, profile: &Profile) -> Option<RootLocation> {
        RootLocation::if_packed(profile, ROOT, |_, _| 0)
    }

    /// The root image is linked into the directory, so both have to be on one file system.
    fn lay_out(&self, input: &Input<'_>, progress: &dyn Progress) -> Result<Artifact, OutputError> {
        progress.stage(Stage::LayOut, 0, Unit::Bytes);
        let Input { image, root, lock_text, path, .. } = input;
        let name = &image.profile.name;
        let Root::Squashfs { file: root, verity, .. } = *root else {
            return Err(OutputError::PlainGuest { profile: name.clone() });
        };
        let Some(agent) = image.agent else { return Err(OutputError::NoAgent { name: name.clone() }) };
        let kernels = Kernels::find(image.tree, &image.profile.boot)?;
        let initramfs = image.initramfs(&kernels, agent, &NoCache, progress)?;
        let initramfs_size = initramfs.bytes.len() as u64;

        let length = fs::metadata(root).at("reading", root)?.len();
        let mut files = Tree::new(Metadata::new(0o755));
        let mut put = |name: &str, content: Content| -> Result<(), OutputError> {
            files.insert(&TreePath::parse(name)?, Node::file(Metadata::new(0o644), content))?;
            Ok(())
        };
        put(KERNEL, kernels.kernel.content.clone())?;
        put(INITRAMFS, initramfs.bytes.into())?;
        put(ROOT, Content::host(root.to_owned(), length))?;
        put(LOCK, lock_text.as_bytes().to_vec().into())?;
        progress.item("checksums");
        let mut hashes = Hashes::new();
        checksums::add_tree(&mut hashes, &files)?;
        let mut identity = Identity::new(name, image.version, image.lock_sha256);
        identity.files(&hashes);
        let identity = identity.finish();
        let subject = sbom::Subject { name, version: image.version, identity, created: image.source_date };
        let sbom = sbom::render(&subject, image.lock)?;
        hashes.insert(TreePath::parse(SBOM)?, sha256::of(&sbom));
        files.insert(&TreePath::parse(SBOM)?, Node::file(Metadata::new(0o644), sbom.clone().into()))?;

        let manifest = Manifest {
            root: Some(RootImage { path: ROOT.into(), format: "squashfs".into(), verity: Some(verity.clone()) }),
            guest: Some(GuestBoot {
                kernel: KERNEL.into(),
                initramfs: INITRAMFS.into(),
                kernel_arguments: kernel_arguments(image, verity),
            }),
            files: relative(checksums::files(&files, &hashes)),
            ..image.manifest.clone()
        };
        let manifest_json = manifest_text(&manifest);
        hashes.insert(TreePath::parse(MANIFEST)?, sha256::of(&manifest_json));
        files.insert(&TreePath::parse(MANIFEST)?, Node::file(Metadata::new(0o644), manifest_json.clone().into()))?;
        let sums = checksums::render(&hashes);
        let sha256 = sha256::of(&sums);
        files.insert(&TreePath::parse(CHECKSUMS)?, Node::file(Metadata::new(0o644), sums.into()))?;
        let size = write(&files, path)?;
        let path = path.to_path_buf();
        Ok(Artifact { path, size, sha256, manifest_json, sbom, initramfs_size: Some(initramfs_size) })
    }
}

/// What the kernel is told, with a word in the place of the root's device.
fn kernel_arguments(image: &Image<'_>, verity: &Verity) -> String {
    let boot = &image.profile.boot;
    let arguments = KernelArgs {
        root: RootSource::Device { name: DEVICE.to_owned() },
        root_hash: Some(verity.root_hash),
        action: Action::Boot,
        config: ConfigChoice::Auto,
        timeout: DEFAULT_TIMEOUT,
        on_missing: boot.on_missing,
        role: Role::Guest,
    };
    let words = [arguments.to_string(), "ro".to_owned()];
    words.iter().chain(&boot.kernel_arguments).map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Names in the folder, in the place of paths on a medium.
fn relative(files: Vec<appliance_contract::manifest::File>) -> Vec<appliance_contract::manifest::File> {
    files
        .into_iter()
        .map(|mut file| {
            file.path = file.path.trim_start_matches('/').to_owned();
            file
        })
        .collect()
}

/// Writes the files, synced; returns their bytes.
fn write(files: &Tree, folder: &Path) -> Result<u64, OutputError> {
    fs::create_dir(folder).at("making the folder", folder)?;
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
    mode(folder, 0o755).at("setting the mode of", folder)?;
    let mut size = 0;
    for (place, id) in files.walk() {
        let crate::tree::Kind::File(content) = &files.node(id).kind else { continue };
        let path = folder.join(place.to_string().trim_start_matches('/'));
        let put = || -> io::Result<()> {
            match content {
                Content::Host { path: from, .. } if place.name() == Some(ROOT.as_bytes()) => {
                    fs::hard_link(from.as_path(), &path)?;
                }
                _ => drop(io::copy(&mut content.open()?, &mut File::create_new(&path)?)?),
            }
            // Whatever the umask says: an image holds no secret.
            mode(&path, 0o644)?;
            File::open(&path)?.sync_all()
        };
        put().at("writing", &path)?;
        size += content.len();
    }
    File::open(folder).and_then(|folder| folder.sync_all()).at("syncing", folder)?;
    Ok(size)
}
