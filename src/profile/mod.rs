//! What goes into an image: TOML in, a [`Profile`] that cannot be wrong out.

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
use appliance_contract::marker::Role;
use error::{Place, Source};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A profile with its ancestors (`extends`) merged in and every value checked.
#[derive(Debug, Clone)]
pub struct Profile {
    pub name: String,
    pub kind: Role,
    pub version: String,
    pub architecture: Architecture,
    /// What the profile says of archives, by name (`debian`, `debian-security`, or a vendor's).
    pub archives: BTreeMap<String, Archive>,
    pub suites: Vec<Suite>,
    pub packages: Vec<PackageRequest>,
    pub recommends: bool,
    /// Overlay folders, the farthest ancestor's first; later ones win.
    pub overlays: Vec<Overlay>,
    pub sets: Vec<TarSet>,
    pub boot: Boot,
    pub services: Services,
    pub root: Root,
    pub prune: Prune,
    /// Whether the image carries the agent.
    pub agent: bool,
    pub initramfs: Initramfs,
    pub volume_label: String,
    /// Seconds since 1970 that stand in the image's own files; `None`: the newest date of the suites' Release files.
    pub source_date_epoch: Option<i64>,
    /// Values that templates see as `vars.*`.
    pub variables: BTreeMap<String, String>,
    /// The guest images that the image of a host holds, whole profiles of their own.
    pub guests: Vec<Profile>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    Amd64,
}

impl Profile {
    /// What the profile and its guests say of archives. The host's word on where one is counts for all; on its keys and
    /// packages they must agree, as one name is one archive.
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
    pub bytes: Vec<u8>,
}

/// One line of what apt would call a source: `archive` names the place, `name` the suite in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// `debian` or `debian-security`.
    pub archive: String,
    /// `trixie`, `trixie-updates`, `stable/updates` …; of a flat archive the directory with a slash at its end: `/`, `deb/`.
    pub name: String,
    /// None of a flat archive.
    pub components: Vec<String>,
}

/// A package that the profile asks for, and where it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRequest {
    pub name: String,
    pub version: Option<String>,
    pub origin: Origin,
}

/// A place in a profile's file, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
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
    pub files: Vec<OverlayFile>,
}

#[derive(Debug, Clone)]
pub struct OverlayFile {
    /// Absolute path in the image.
    pub path: String,
    pub content: OverlayContent,
    pub mode: u16,
    pub owner: String,
    pub group: String,
}

#[derive(Debug, Clone)]
pub enum OverlayContent {
    Bytes(Vec<u8>),
    Symlink(String),
    Directory,
    Template(Template),
}

/// A handlebars template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its file, for messages.
    pub file: String,
    pub text: String,
}

/// A tar archive unpacked onto the tree.
#[derive(Debug, Clone)]
pub struct TarSet {
    pub path: PathBuf,
    pub sha256: [u8; 32],
    pub origin: Origin,
}

#[derive(Debug, Clone)]
pub struct Boot {
    /// The first is the default entry. Empty for a profile that boots `kernel` by `protocol` alone.
    pub hypervisors: Vec<Hypervisor>,
    /// Path of the kernel in the tree; `None`: the newest `/boot/vmlinuz-*`.
    pub kernel: Option<String>,
    pub protocol: Protocol,
    pub kernel_arguments: Vec<String>,
    pub xen_arguments: Vec<String>,
    /// Linux names, the last is `/dev/console`: `tty0`, `ttyS0,115200`.
    pub consoles: Vec<String>,
    pub on_missing: OnMissing,
    /// Seconds that the menu waits.
    pub menu_timeout: u32,
    /// Whether shim and the signed GRUB go on the medium.
    pub secure_boot: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hypervisor {
    Xen,
    Kvm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Linux,
    Multiboot,
    Multiboot2,
    /// A dom0 kernel under Xen.
    Xen,
}

pub use appliance_contract::kernel_args::OnMissing;

#[derive(Debug, Clone, Default)]
pub struct Services {
    pub enable: Vec<String>,
    pub disable: Vec<String>,
    pub mask: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Root {
    pub format: RootFormat,
    pub compression: crate::format::squashfs::Compression,
    /// Bytes, a power of two from 131072 to 1048576.
    pub block_size: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootFormat {
    Squashfs,
    /// The tree itself on the ISO 9660 volume, with Rock Ridge.
    Plain,
}

#[derive(Debug, Clone, Default)]
pub struct Prune {
    /// `/usr/share/doc` (copyright files stay), man, info, lintian …
    pub documentation: bool,
    /// Locales to keep; `None` keeps all.
    pub keep_locales: Option<Vec<String>>,
    /// Further paths, as glob patterns.
    pub paths: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Initramfs {
    /// Modules or folders (`drivers/scsi/`) beyond the standard list.
    pub include: Vec<String>,
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
