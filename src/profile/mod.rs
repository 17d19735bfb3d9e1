//! Profiles, the definitions of images: parses TOML into a checked [`Profile`].

mod draft;
mod error;
pub mod keys;
mod library;
mod overlay;
mod reference;
mod section;
mod show;
#[cfg(test)]
pub(crate) mod tests;
mod values;

pub use error::{InFile, ProfileError};
pub use library::{Home, Library};
pub use reference::{example, reference, schema};

use crate::templates::{self, Fault, TemplateError};
use appliance_contract::Sha256;
use appliance_contract::marker::Role;
use error::{Place, Source};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A profile with its ancestors (`extends`) merged in and every value checked.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The file's name without `.toml`; images, locks and the medium carry it.
    pub name: String,
    /// Whether the image is of a host or of a guest.
    pub kind: Role,
    /// The version of the image, as written; a rebuild may append a build number.
    pub version: String,
    /// For which machines the packages are.
    pub architecture: Architecture,
    /// The archives that the profile describes, by name (`debian`, `debian-security`, or a vendor's).
    pub archives: BTreeMap<String, Archive>,
    /// The suites that packages come from.
    pub suites: Vec<Suite>,
    /// The packages asked for by name, without what they depend on.
    pub packages: Vec<PackageRequest>,
    /// Whether recommended packages are installed too.
    pub recommends: bool,
    /// Overlay folders, the farthest ancestor's first; later ones win.
    pub overlays: Vec<Overlay>,
    /// Tar archives unpacked onto the root, in this order.
    pub sets: Vec<TarSet>,
    /// How the image boots.
    pub boot: Boot,
    /// Which systemd units are switched on and off.
    pub services: Services,
    /// The form of the root file system.
    pub root: Root,
    /// What is left out of the image.
    pub prune: Prune,
    /// Whether the image carries the agent.
    pub agent: bool,
    /// Which kernel modules the initramfs holds.
    pub initramfs: Initramfs,
    /// The ISO 9660 volume's label, 1 to 32 characters.
    pub volume_label: String,
    /// Seconds since 1970 that stand in the image's own files; `None`: the newest date of the suites' Release files.
    pub source_date_epoch: Option<i64>,
    /// Values that templates see as `vars.*`.
    pub variables: BTreeMap<String, String>,
    /// The guest images that the image of a host holds, whole profiles of their own.
    pub guests: Vec<Profile>,
}

/// The processor architectures that images are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// x86-64.
    Amd64,
}

impl Profile {
    /// The archives of the profile and of its guests. The host's URL of an archive takes precedence; the keys and packages
    /// of an archive must be the same in all profiles.
    pub fn all_archives(&self) -> Result<BTreeMap<String, Archive>, ArchiveConflict> {
        let mut all = self.archives.clone();
        for guest in &self.guests {
            for (name, archive) in &guest.archives {
                let known = all.entry(name.clone()).or_insert_with(|| archive.clone());
                let same = known.packages == archive.packages
                    && known.key.as_ref().map(|key| &key.bytes) == archive.key.as_ref().map(|key| &key.bytes);
                if !same {
                    return Err(ArchiveConflict { name: name.clone(), guest: guest.name.clone() });
                }
                known.url = known.url.take().or_else(|| archive.url.clone());
            }
        }
        Ok(all)
    }
}

/// A host and one of its guests describe an archive differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "archives.{name} has another key or other packages in the profile of the guest {guest}; expected the same, or another name"
)]
pub struct ArchiveConflict {
    name: String,
    guest: String,
}

impl Architecture {
    /// Debian's name.
    pub fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
        }
    }
}

/// An archive: where it is, who signs it, and what it is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Archive {
    /// The directory that apt's sources name; `None`: elsewhere, or nowhere.
    pub url: Option<String>,
    /// The keys that may sign it; `None`: those of Debian, or of `--keyring`.
    pub key: Option<KeyFile>,
    /// Patterns of the names of packages that may come from it.
    pub packages: Option<Vec<String>>,
}

/// A file of OpenPGP certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// As the profile names it.
    pub name: String,
    /// The file's content.
    pub bytes: Vec<u8>,
}

/// One line of what apt would call a source: `archive` names the place, `name` the suite in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// `debian` or `debian-security`.
    pub archive: String,
    /// `trixie`, `trixie-updates`, `stable/updates` …; of a flat archive the directory with a slash at its end: `/`, `deb/`.
    pub name: String,
    /// `main`, `contrib`, `non-free-firmware` …; none of a flat archive.
    pub components: Vec<String>,
}

/// A package that the profile asks for, and where it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRequest {
    /// The package's name, or that of a virtual one with a single provider.
    pub name: String,
    /// The only version that will do; `None` for the highest.
    pub version: Option<String>,
    /// The line that asks for it.
    pub origin: Origin,
}

/// A place in a profile's file, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file's name, as messages print it.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Files laid over the tree. Files that end in `.hbs` are templates, and lose that ending.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// Sorted by path, so that directories come before what is in them.
    pub files: Vec<OverlayFile>,
}

/// A file, symlink or directory of an overlay.
#[derive(Debug, Clone)]
pub struct OverlayFile {
    /// Absolute path in the image.
    pub path: String,
    /// What it is.
    pub content: OverlayContent,
    /// Permission bits, at most 0o7777.
    pub mode: u16,
    /// The owner's name, looked up in the image's own passwd(5).
    pub owner: String,
    /// The group's name, looked up in the image's own group(5).
    pub group: String,
}

/// The types of overlay files.
#[derive(Debug, Clone)]
pub enum OverlayContent {
    /// A regular file with these bytes.
    Bytes(Vec<u8>),
    /// A symlink to this target.
    Symlink(String),
    /// A directory.
    Directory,
    /// A regular file, rendered when the image is assembled.
    Template(Template),
}

/// A handlebars template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its file, for messages.
    pub file: String,
    /// Its source.
    pub text: String,
}

/// A tar archive unpacked onto the tree.
#[derive(Debug, Clone)]
pub struct TarSet {
    /// The archive's file on this machine.
    pub path: PathBuf,
    /// What the file must hash to.
    pub sha256: Sha256,
    /// The line that names it.
    pub origin: Origin,
}

/// How an image boots.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The first is the default entry. Empty for a profile that boots `kernel` by `protocol` alone.
    pub hypervisors: Vec<Hypervisor>,
    /// Path of the kernel in the tree; `None`: the newest `/boot/vmlinuz-*`.
    pub kernel: Option<String>,
    /// How the boot loader starts the kernel.
    pub protocol: Protocol,
    /// Further words of the kernel's command line.
    pub kernel_arguments: Vec<String>,
    /// Further words of Xen's command line.
    pub xen_arguments: Vec<String>,
    /// Linux names, the last is `/dev/console`: `tty0`, `ttyS0,115200`.
    pub consoles: Vec<String>,
    /// What the agent does when the node's config is not found.
    pub on_missing: OnMissing,
    /// Seconds that the menu waits.
    pub menu_timeout: u32,
    /// Whether shim and the signed GRUB go on the medium.
    pub secure_boot: bool,
}

/// What a boot entry starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hypervisor {
    /// Xen, with the image's kernel as dom0.
    Xen,
    /// The image's kernel itself.
    Kvm,
}

/// How a boot loader starts a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Linux's own boot protocol.
    Linux,
    /// Multiboot 0.6.96.
    Multiboot,
    /// Multiboot2 2.0.
    Multiboot2,
    /// A dom0 kernel under Xen.
    Xen,
}

pub use appliance_contract::kernel_args::OnMissing;

/// Units for `systemctl enable`, `disable` and `mask`.
#[derive(Debug, Clone, Default)]
pub struct Services {
    /// Units to enable.
    pub enable: Vec<String>,
    /// Units to disable.
    pub disable: Vec<String>,
    /// Units to mask.
    pub mask: Vec<String>,
}

/// The form of the root file system.
#[derive(Debug, Clone)]
pub struct Root {
    /// Packed or not.
    pub format: RootFormat,
    /// The algorithm and level of squashfs.
    pub compression: crate::format::squashfs::Compression,
    /// Bytes, a power of two from 131072 to 1048576.
    pub block_size: u32,
}

/// How the root lies in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootFormat {
    /// As a squashfs image with a dm-verity hash tree.
    Squashfs,
    /// The tree itself on the ISO 9660 volume, with Rock Ridge.
    Plain,
}

/// What is left out of the image once all packages are configured.
#[derive(Debug, Clone, Default)]
pub struct Prune {
    /// `/usr/share/doc` (copyright files stay), man, info, lintian …
    pub documentation: bool,
    /// Locales to keep; `None` keeps all.
    pub keep_locales: Option<Vec<String>>,
    /// Further paths, as glob patterns.
    pub paths: Vec<String>,
}

/// Which kernel modules the initramfs holds.
#[derive(Debug, Clone, Default)]
pub struct Initramfs {
    /// Modules or folders (`drivers/scsi/`) beyond the standard list.
    pub include: Vec<String>,
    /// Modules or directories of the standard list that are left out.
    pub exclude: Vec<String>,
}

impl Profile {
    /// What the profile's templates see.
    pub fn template_values(&self, version: &str) -> serde_json::Value {
        serde_json::json!({
            "name": self.name,
            "version": version,
            "architecture": self.architecture.debian(),
            "vars": self.variables,
        })
    }

    /// Refuses a template that would not become a file. Its values are known, but for a build number.
    fn check_templates(&self) -> Result<(), ProfileError> {
        let values = self.template_values(&self.version);
        for file in self.overlays.iter().flat_map(|overlay| &overlay.files) {
            let OverlayContent::Template(template) = &file.content else { continue };
            if let Err(TemplateError::At(fault)) = templates::render(&template.text, &template.file, &values) {
                let source = Arc::new(Source::new(template.file.clone(), template.text.as_str()));
                let Fault { problem, span, help, .. } = *fault;
                return Err(Place { source, span }.error(problem, "in this template", help));
            }
        }
        Ok(())
    }

    /// Replaces the compression's level, the guests' too; the error says what is expected.
    pub fn set_level(&mut self, level: u32) -> Result<(), String> {
        use crate::format::squashfs::Compression;
        let most = match self.root.compression {
            Compression::Zstd { .. } => 22,
            Compression::Xz { .. } | Compression::Gzip { .. } => 9,
        };
        if !(1..=most).contains(&level) {
            return Err(format!("1 to {most} for the profile's compression"));
        }
        self.root.compression = match self.root.compression {
            // 1 to 22 fit.
            Compression::Zstd { .. } => Compression::Zstd { level: level as i32 },
            Compression::Xz { .. } => Compression::Xz { level },
            Compression::Gzip { .. } => Compression::Gzip { level },
        };
        self.guests.iter_mut().try_for_each(|guest| guest.set_level(level))
    }
}
