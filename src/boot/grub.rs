//! GRUB for every way to boot: a core image for BIOS, made by grub-mkimage,
//! and a FAT file system with the signed shim and GRUB for UEFI.

use crate::boot::Entries;
use crate::boot::entries::serial_port;
use crate::format::fat::{Fat, FatError, FatOptions};
use crate::format::iso::VolumeUuid;
use crate::sandbox::{self, Command, SandboxError};
use crate::templates::{self, TemplateError};
use crate::tree::{Content, Metadata, Node, PathError, Tree, TreeError, TreePath};
use crate::util::file_error::{At as _, FileError};
use serde_json::json;
use std::path::{Path, PathBuf};

/// The core image's place on the medium.
pub const CORE: &str = "/boot/grub/i386-pc/eltorito.img";

/// Everything that the menu needs and an operator at GRUB's prompt misses
/// first; in the core image, so that no module is ever looked for on the wrong disk.
const CORE_MODULES: &[&str] = &[
    "biosdisk",
    "iso9660",
    "part_gpt",
    "part_msdos",
    "search",
    "search_fs_uuid",
    "search_fs_file",
    "search_label",
    "normal",
    "configfile",
    "test",
    "true",
    "echo",
    "sleep",
    "linux",
    "multiboot",
    "multiboot2",
    "gzio",
    "serial",
    "terminal",
    "ls",
    "cat",
    "minicmd",
    "reboot",
    "halt",
    "loopback",
    "probe",
    "regexp",
    "chain",
    "fat",
    "ext2",
    "hashsum",
    "gcry_sha256",
    "keystatus",
    "all_video",
    "boot",
];

/// The signed GRUB has all but these two built in.
const EFI_MODULES: &[&str] = &["multiboot2", "elf"];

/// Bytes of the file system for UEFI. OVMF finds none whose El Torito load
/// size overflows 16 bits of 512-byte sectors, which is 32 MiB.
const ESP_SIZE: u32 = 8 << 20;

/// Why the boot loader's files cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum GrubError {
    /// A file of GRUB's or shim's packages is not there.
    #[error("boot files: {path} is not among the unpacked tools; the lock's tools must hold {package}", path = path.display())]
    Missing {
        /// The file that was expected.
        path: PathBuf,
        /// The package that has it.
        package: &'static str,
    },
    /// Reading or writing a file failed.
    #[error("boot files")]
    File(#[from] FileError),
    /// grub-mkimage cannot be run.
    #[error("making GRUB's core image")]
    Sandbox(#[from] SandboxError),
    /// grub-mkimage failed.
    #[error("making GRUB's core image: grub-mkimage ended with {exit}: {last}")]
    MakeImage {
        /// How it ended.
        exit: String,
        /// The last lines of its output.
        last: String,
    },
    /// The EFI system partition cannot be made.
    #[error("making the file system for UEFI")]
    Fat(#[from] FatError),
    /// The EFI system partition's tree cannot be made.
    #[error("boot files")]
    Tree(#[from] TreeError),
    /// As `Tree`.
    #[error("boot files")]
    Path(#[from] PathError),
    /// The menu cannot be rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// What a medium needs of a boot loader.
pub trait Loader: std::fmt::Debug + Sync {
    /// The code for the first sector of a disk or stick.
    fn boot_hybrid(&self) -> Result<Vec<u8>, GrubError>;
    /// The image that a BIOS starts, from disc, stick or disk: it looks for
    /// the volume with `uuid` and nothing else.
    fn core_image(&self, uuid: VolumeUuid) -> Result<Vec<u8>, GrubError>;
    /// The EFI system partition: shim, which the firmware's keys sign, starts
    /// GRUB, whose menu here does nothing but find the medium's. Without
    /// Secure Boot the firmware starts GRUB itself.
    fn esp(&self, uuid: VolumeUuid, secure_boot: bool) -> Result<Vec<u8>, GrubError>;
    /// Files below `/boot/grub` that GRUB under UEFI loads.
    fn efi_modules(&self) -> Result<Vec<(String, Content)>, GrubError>;
}

/// A folder that holds the unpacked packages of a lock's `[tools]`.
#[derive(Debug, Clone, Copy)]
pub struct Tools<'a> {
    /// The root that they are unpacked to.
    pub folder: &'a Path,
    /// For what they write; `folder` may be shared by builds, and has a folder `work` to see it at.
    pub work: &'a Path,
}

impl Tools<'_> {
    fn read(&self, path: &str, package: &'static str) -> Result<Vec<u8>, GrubError> {
        let path = self.folder.join(path);
        std::fs::read(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => GrubError::Missing { path, package },
            _ => GrubError::from(FileError::new("reading", path, source)),
        })
    }
}

impl Loader for Tools<'_> {
    fn boot_hybrid(&self) -> Result<Vec<u8>, GrubError> {
        let mut code = self.read("usr/lib/grub/i386-pc/boot_hybrid.img", "grub-pc-bin")?;
        // What follows is the disk's signature and its partition table.
        code.truncate(440);
        Ok(code)
    }

    fn core_image(&self, uuid: VolumeUuid) -> Result<Vec<u8>, GrubError> {
        let program = self.folder.join("usr/bin/grub-mkimage");
        if !program.exists() {
            return Err(GrubError::Missing { path: program, package: "grub-common" });
        }
        let failed = |action: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source| GrubError::from(FileError::new(action, path, source))
        };
        let work =
            tempfile::Builder::new().prefix("grub-").tempdir_in(self.work).at("making a folder in", self.work)?;
        let config = work.path().join("embedded.cfg");
        std::fs::write(&config, embedded(uuid)).at("writing", &config)?;
        let inside = Path::new("/work");
        let command = Command::new(self.folder, "/usr/bin/grub-mkimage")
            .arguments(["--format=i386-pc-eltorito", "--directory=/usr/lib/grub/i386-pc", "--compression=auto"])
            .argument("--prefix=/boot/grub")
            .argument(format!("--config={}", inside.join("embedded.cfg").display()))
            .argument(format!("--output={}", inside.join("core.img").display()))
            .arguments(CORE_MODULES.iter().copied())
            .bind(work.path(), inside, true);
        let output = sandbox::run(&command)?;
        if !output.success() {
            return Err(GrubError::MakeImage { exit: output.exit.to_string(), last: output.last_lines(5) });
        }
        let core = work.path().join("core.img");
        std::fs::read(&core).map_err(failed("reading", &core))
    }

    fn esp(&self, uuid: VolumeUuid, secure_boot: bool) -> Result<Vec<u8>, GrubError> {
        let mut tree = Tree::new(Metadata::new(0o755));
        let mut put = |path: &str, bytes: Vec<u8>| {
            let node = Node::file(Metadata::new(0o644), bytes.into());
            tree.insert(&TreePath::parse(path)?, node).map(drop)
        };
        let grub = self.read("usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed", "grub-efi-amd64-signed")?;
        if secure_boot {
            let shim = self.read("usr/lib/shim/shimx64.efi.signed", "shim-signed")?;
            let manager = self.read("usr/lib/shim/mmx64.efi.signed", "shim-helpers-amd64-signed")?;
            put("/EFI/BOOT/BOOTX64.EFI", shim)?;
            put("/EFI/BOOT/mmx64.efi", manager)?;
            put("/EFI/BOOT/grubx64.efi", grub)?;
        } else {
            put("/EFI/BOOT/BOOTX64.EFI", grub)?;
        }
        // The prefix built into the signed GRUB; it looks here before it
        // takes the first medium that has a /.disk/info.
        put("/boot/grub/grub.cfg", embedded(uuid).into_bytes())?;
        let volume_id = uuid.to_string().bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            // FNV-1a: any fixed function of the UUID does.
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        Ok(Fat::plan(&tree)?.write(&FatOptions { size: ESP_SIZE, label: "EFI".into(), volume_id })?)
    }

    fn efi_modules(&self) -> Result<Vec<(String, Content)>, GrubError> {
        let read = |name: &&str| {
            let bytes = self.read(&format!("usr/lib/grub/x86_64-efi/{name}.mod"), "grub-efi-amd64-bin")?;
            Ok((format!("/boot/grub/x86_64-efi/{name}.mod"), bytes.into()))
        };
        EFI_MODULES.iter().map(read).collect()
    }
}

/// What GRUB does before it has found its menu: look for this medium by UUID.
fn embedded(uuid: VolumeUuid) -> String {
    format!(
        "search --no-floppy --fs-uuid --set=root {uuid}\n\
         set prefix=($root)/boot/grub\n\
         export root prefix\n\
         configfile $prefix/grub.cfg\n"
    )
}

/// The menu. `folder` is the user's own for templates.
pub fn menu(
    folder: Option<&Path>,
    entries: &Entries,
    timeout: u32,
    consoles: &[String],
    uuid: VolumeUuid,
) -> Result<String, TemplateError> {
    let serial: Vec<_> = consoles
        .iter()
        .filter_map(|console| serial_port(console))
        .map(|(unit, speed)| json!({"unit": unit, "speed": speed}))
        .take(1)
        .collect();
    let context = json!({
        "uuid": uuid.to_string(),
        "timeout": timeout,
        "serial": serial,
        "default": entries.default_id(),
        "default_without_multiboot2": entries.default_without_multiboot2(),
        "any_multiboot2": entries.entries.iter().any(super::Entry::needs_multiboot2),
        "entries": entries.context(),
    });
    templates::render_named(folder, "grub.cfg.hbs", &context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::entries::{Entry, Step};
    use appliance_contract::causes::WithCauses as _;

    fn entries() -> Entries {
        let entry = |id, verb: &'static str| Entry {
            id,
            title: format!("the {id}'s"),
            hotkey: 'x',
            steps: vec![Step { verb, paths: vec!["/boot/a".into()], arguments: vec!["b=1".into()] }],
            kernel_arguments: String::new(),
        };
        Entries { entries: vec![entry("xen", "multiboot2"), entry("kvm", "linux")], warnings: Vec::new() }
    }

    fn uuid() -> VolumeUuid {
        VolumeUuid::from_hash([3; 32].into())
    }

    #[test]
    fn the_menu_falls_back_where_multiboot2_is_refused() {
        let text = menu(None, &entries(), 7, &["tty0".into(), "ttyS0,115200".into()], uuid()).unwrap();
        assert!(text.contains("set timeout=7\n"), "{text}");
        assert!(text.contains("serial --unit=0 --speed=115200"), "{text}");
        assert!(text.contains("set default=kvm\n"), "{text}");
        assert!(text.contains(r"menuentry 'the xen'\''s' --id=xen --hotkey=x {"), "{text}");
        assert!(text.contains("  multiboot2 /boot/a b=1\n"), "{text}");
    }

    #[test]
    fn a_menu_without_serial_port_and_xen_has_no_word_of_them() {
        let mut entries = entries();
        entries.entries.remove(0);
        let text = menu(None, &entries, 0, &["tty0".into()], uuid()).unwrap();
        assert!(!text.contains("serial") && !text.contains("multiboot2"), "{text}");
    }

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        let folder = tempfile::tempdir().unwrap();
        let tools = Tools { folder: folder.path(), work: folder.path() };
        for (error, package) in [
            (tools.boot_hybrid().unwrap_err(), "grub-pc-bin"),
            (tools.core_image(uuid()).unwrap_err(), "grub-common"),
            (tools.esp(uuid(), true).unwrap_err(), "grub-efi-amd64-signed"),
            (tools.efi_modules().unwrap_err(), "grub-efi-amd64-bin"),
        ] {
            assert!(error.with_causes().ends_with(package), "{error}");
        }
    }
}
