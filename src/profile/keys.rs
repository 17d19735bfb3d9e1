//! Every key of a profile, once: its name, type, default, how files merge, its documentation, how it is read and how it
//! is shown. Parsing, `profile show`, the hash over an image's inputs, the JSON Schema and the reference page come from
//! this table.

use super::draft::{ALGORITHMS, ARCHITECTURES, Draft, FORMATS, HYPERVISORS, KINDS, ON_MISSING, PROTOCOLS, append, set};
use super::error::ProfileError;
use super::section::Section;
use super::values;
use super::{Archive, Profile};
use crate::format::squashfs::Compression;
use std::path::Path;
use toml_edit::{Array, InlineTable, Item, Table, Value, value};

/// A key of a profile.
#[derive(Debug)]
pub struct Key {
    /// With its table: `boot.menu-timeout`.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The default, as TOML or in words.
    pub default: &'static str,
    /// How its values in several files join.
    pub merge: Merge,
    /// What it does, in Markdown.
    pub doc: &'static str,
    /// TOML that sets the key to something else than its default.
    pub example: &'static str,
    /// Reads the key of one file into the draft. `None` for keys that are read together with another one.
    pub(super) read: Option<Reader>,
    /// The value in a resolved profile; `None` for keys that a resolved profile does not have.
    pub(super) show: Option<fn(&Profile) -> Option<Item>>,
}

/// Reads a key of a section. The path is the directory of profiles.
pub(super) type Reader = fn(&mut Draft, &mut Section<'_>, &'static str, &Path) -> Result<(), ProfileError>;

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer {
        /// The smallest value.
        least: i64,
        /// The largest value.
        most: i64,
    },
    /// Bytes, or a string such as `256K`.
    Size,
    /// A string; says which.
    Text(&'static str),
    /// One of these strings.
    Choice(fn() -> Vec<&'static str>),
    /// A list of strings; says which.
    List(&'static str),
    /// A list of these strings.
    ListOfChoices(fn() -> Vec<&'static str>),
    /// A string or a list of strings; says which.
    TextOrList(&'static str),
    /// A list of strings or tables; says which.
    Tables {
        /// What a string in the list is; `None` where only tables are taken.
        text: Option<&'static str>,
        /// The keys of a table in the list.
        keys: &'static [&'static str],
    },
    /// A table of free keys; says what its keys and values are.
    Map(&'static str),
}

/// How the value of a file joins those of the profiles that it extends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// The last one counts.
    Replaces,
    /// Lists are joined; what is there already is not added again.
    Appends,
    /// Tables are joined key by key; the last value of a key counts.
    PerKey,
    /// Not inherited.
    Own,
}

impl Key {
    /// The table that the key stands in, and its name there.
    pub fn split(&self) -> (Option<&'static str>, &'static str) {
        match self.name.split_once('.') {
            Some((table, key)) => (Some(table), key),
            None => (None, self.name),
        }
    }
}

/// The words of a choice.
fn words<T>(words: &'static [(&'static str, T)]) -> Vec<&'static str> {
    words.iter().map(|(word, _)| *word).collect()
}

fn word<T: PartialEq>(words: &[(&'static str, T)], wanted: T) -> &'static str {
    words.iter().find(|(_, value)| *value == wanted).map_or("", |(word, _)| word)
}

/// All keys, in the order of `profile show`.
pub const KEYS: &[Key] = &[
    Key {
        name: "name",
        kind: Kind::Text("a name: lower-case letters, digits and hyphens"),
        default: "the name of the file",
        merge: Merge::Own,
        doc: "The name of the profile. If it is given, it must be the name of the file without `.toml`.",
        example: "name = \"storage\"",
        read: None,
        show: Some(|profile| Some(value(&profile.name))),
    },
    Key {
        name: "extends",
        kind: Kind::TextOrList("names of profiles"),
        default: "none",
        merge: Merge::Own,
        doc: "The profiles that this one extends. They are read first, in this order; a common ancestor counts once.",
        example: "extends = \"other\"",
        read: None,
        show: None,
    },
    Key {
        name: "kind",
        kind: Kind::Choice(|| words(&KINDS)),
        default: "required",
        merge: Merge::Replaces,
        doc: "`host` for the image of a server, `guest` for the image of a virtual machine.",
        example: "kind = \"guest\"",
        read: Some(|draft, section, key, _| {
            set(&mut draft.kind, section.choice(key, &KINDS)?);
            Ok(())
        }),
        show: Some(|profile| Some(value(word(&KINDS, profile.kind)))),
    },
    Key {
        name: "version",
        kind: Kind::Text("letters, digits and any of `.` `+` `_` `~`"),
        default: "required",
        merge: Merge::Replaces,
        doc: "The version of the image. A build with other inputs gets a build number behind it, as in `2026.11.1-2`.",
        example: "version = \"2026.12.1\"",
        read: Some(|draft, section, key, _| {
            set(&mut draft.version, section.parsed(key, values::version)?);
            Ok(())
        }),
        show: Some(|profile| Some(value(&profile.version))),
    },
    Key {
        name: "architecture",
        kind: Kind::Choice(|| words(&ARCHITECTURES)),
        default: "\"amd64\"",
        merge: Merge::Replaces,
        doc: "The processor architecture, by Debian's name.",
        example: "architecture = \"amd64\"",
        read: Some(|draft, section, key, _| {
            set(&mut draft.architecture, section.choice(key, &ARCHITECTURES)?);
            Ok(())
        }),
        show: Some(|profile| Some(value(word(&ARCHITECTURES, profile.architecture)))),
    },
    Key {
        name: "volume-label",
        kind: Kind::Text("1 to 32 upper-case letters, digits and underscores (ECMA-119, 7.4.1)"),
        default: "NAME_VERSION in upper case",
        merge: Merge::Replaces,
        doc: "The label of the ISO 9660 volume.",
        example: "volume-label = \"HOST\"",
        read: Some(|draft, section, key, _| {
            set(&mut draft.volume_label, section.parsed(key, values::volume_label)?);
            Ok(())
        }),
        show: Some(|profile| Some(value(&profile.volume_label))),
    },
    Key {
        name: "source-date-epoch",
        kind: Kind::Integer { least: 0, most: u32::MAX as i64 },
        default: "the environment variable SOURCE_DATE_EPOCH, else the newest date of the suites in the lock",
        merge: Merge::Replaces,
        doc: "The time of all files that the build makes, in seconds since 1970.",
        example: "source-date-epoch = 1700000000",
        read: Some(|draft, section, key, _| {
            set(&mut draft.source_date_epoch, section.integer(key, 0, i64::from(u32::MAX))?);
            Ok(())
        }),
        show: Some(|profile| profile.source_date_epoch.map(value)),
    },
    Key {
        name: "agent",
        kind: Kind::Boolean,
        default: "true",
        merge: Merge::Replaces,
        doc: "Whether the image has the boot-time agent, which finds root and config. Without it the image boots as the \
              packages or tar sets do by themselves.",
        example: "agent = false",
        read: Some(|draft, section, key, _| {
            set(&mut draft.agent, section.boolean(key)?);
            Ok(())
        }),
        show: Some(|profile| Some(value(profile.agent))),
    },
    Key {
        name: "recommends",
        kind: Kind::Boolean,
        default: "false",
        merge: Merge::Replaces,
        doc: "Whether packages that others recommend are installed, too.",
        example: "recommends = true",
        read: Some(|draft, section, key, _| {
            set(&mut draft.recommends, section.boolean(key)?);
            Ok(())
        }),
        show: Some(|profile| Some(value(profile.recommends))),
    },
    Key {
        name: "components",
        kind: Kind::List("names of components, such as `main`"),
        default: "required, unless each suite names its own",
        merge: Merge::Appends,
        doc: "The components of suites that name none of their own.",
        example: "components = [\"main\", \"contrib\"]",
        read: Some(|draft, section, key, _| {
            append(&mut draft.components, section.list(key, values::component)?);
            Ok(())
        }),
        show: None,
    },
    Key {
        name: "suites",
        kind: Kind::Tables { text: Some("`ARCHIVE/SUITE`"), keys: &["archive", "name", "components"] },
        default: "required",
        merge: Merge::PerKey,
        doc: "Where packages and the boot loader come from. The archive is `debian`, `debian-security` or one that the table \
              `archives` describes. A suite may have slashes (`stable/updates`). With a slash at its end it is a directory \
              of a flat archive, which has no components: `vendor//` or `vendor/deb/`. A suite that an extended profile \
              names already is replaced.",
        example: "suites = [\"debian/trixie\", { archive = \"debian-security\", name = \"trixie-security\", components = [\"main\"] }]",
        read: Some(|draft, section, _, _| draft.suites(section)),
        show: Some(|profile| {
            (!profile.suites.is_empty()).then(|| {
                lines(profile.suites.iter().map(|suite| {
                    let mut table = InlineTable::new();
                    table.insert("archive", suite.archive.as_str().into());
                    table.insert("name", suite.name.as_str().into());
                    table.insert("components", Value::Array(suite.components.iter().collect()));
                    Value::InlineTable(table)
                }))
            })
        }),
    },
    Key {
        name: "packages",
        kind: Kind::List("`NAME` or `NAME=VERSION`"),
        default: "required, unless there are `sets`",
        merge: Merge::Appends,
        doc: "Debian packages. Their dependencies are installed with them.",
        example: "packages = [\"systemd\", \"less=668-1\"]",
        read: Some(|draft, section, _, _| draft.packages(section)),
        show: Some(|profile| {
            (!profile.packages.is_empty()).then(|| {
                lines(profile.packages.iter().map(|package| match &package.version {
                    Some(version) => format!("{}={version}", package.name).into(),
                    None => package.name.as_str().into(),
                }))
            })
        }),
    },
    Key {
        name: "remove-packages",
        kind: Kind::List("names of packages that an extended profile names"),
        default: "[]",
        merge: Merge::Own,
        doc: "Removes packages from the list of the extended profiles. A package that another one depends on is installed \
              all the same.",
        example: "remove-packages = [\"systemd\"]\npackages = [\"less\"]\nextends = \"other\"",
        read: None,
        show: None,
    },
    Key {
        name: "firmware",
        kind: Kind::List("names of firmware packages, with or without `firmware-`"),
        default: "[]",
        merge: Merge::Appends,
        doc: "Firmware packages: `bnx2` stands for `firmware-bnx2`. They are added to `packages`.",
        example: "firmware = [\"bnx2\", \"intel-microcode\"]",
        read: None,
        show: None,
    },
    Key {
        name: "sets",
        kind: Kind::Tables { text: None, keys: &["file", "sha256"] },
        default: "[]",
        merge: Merge::Appends,
        doc: "Tar archives that are unpacked into the root, in this order. A relative path counts from the directory of \
              profiles.",
        example: "sets = [{ file = \"sets/base.tgz\", sha256 = \"abababababababababababababababababababababababababababababababab\" }]",
        read: Some(|draft, section, _, base| draft.sets(section, base)),
        show: Some(|profile| {
            (!profile.sets.is_empty()).then(|| {
                lines(profile.sets.iter().map(|set| {
                    let mut table = InlineTable::new();
                    table.insert("file", set.path.display().to_string().into());
                    table.insert("sha256", set.sha256.to_string().into());
                    Value::InlineTable(table)
                }))
            })
        }),
    },
    Key {
        name: "guests",
        kind: Kind::List("names of profiles of the kind `guest`"),
        default: "[]",
        merge: Merge::Replaces,
        doc: "The guest images that the image of a host includes.",
        example: "guests = [\"virtual\"]",
        read: Some(|draft, section, key, _| {
            set(&mut draft.guests, section.list(key, values::name)?);
            Ok(())
        }),
        show: Some(|profile| {
            (!profile.guests.is_empty())
                .then(|| value(profile.guests.iter().map(|guest| guest.name.as_str()).collect::<Array>()))
        }),
    },
    Key {
        name: "archives",
        kind: Kind::Map("name of an archive, and a table of `url`, `key` and `packages`"),
        default: "Debian's archives, where the machine's apt sources or `--mirror` and `--security-mirror` say",
        merge: Merge::PerKey,
        doc: "Archives. `url` (`http:`, `https:` or `file:`) is the directory that apt's sources name. `key` is a file of the \
              OpenPGP certificates that may sign the archive, binary or armored; its path is relative to the profile's \
              file. An archive without one is signed by Debian's keys, or those of `--keyring`. `packages` are patterns of \
              the packages that may come from the archive (`docker-*`). An archive with a key and without `packages` may \
              add packages, and replaces none that an archive without a key has.",
        example: "[archives.vendor]\nurl = \"http://localhost/vendor\"\npackages = [\"tool\", \"tool-*\"]",
        read: Some(|draft, section, _, base| draft.archives(section, base)),
        show: Some(|profile| Some(archives(&profile.archives))),
    },
    Key {
        name: "boot.hypervisors",
        kind: Kind::ListOfChoices(|| words(&HYPERVISORS)),
        default: "[]",
        merge: Merge::Replaces,
        doc: "The entries of the boot menu: `xen` boots Xen with Debian's kernel as dom0, `kvm` boots the kernel by itself. \
              The first one is the default.",
        example: "boot.hypervisors = [\"kvm\", \"xen\"]",
        read: Some(|draft, section, key, _| draft.hypervisors(section, key)),
        show: Some(|profile| {
            let hypervisors = profile.boot.hypervisors.iter().map(|found| word(&HYPERVISORS, *found));
            Some(value(hypervisors.collect::<Array>()))
        }),
    },
    Key {
        name: "boot.kernel",
        kind: Kind::Text("an absolute path in the image"),
        default: "the newest `/boot/vmlinuz-*`",
        merge: Merge::Replaces,
        doc: "The kernel that is booted.",
        example: "boot.kernel = \"/netbsd\"",
        read: Some(|draft, section, key, _| {
            set(&mut draft.kernel, section.parsed(key, values::path)?);
            Ok(())
        }),
        show: Some(|profile| profile.boot.kernel.as_ref().map(value)),
    },
    Key {
        name: "boot.protocol",
        kind: Kind::Choice(|| words(&PROTOCOLS)),
        default: "\"linux\"",
        merge: Merge::Replaces,
        doc: "How GRUB starts `boot.kernel`. Not together with `boot.hypervisors`.",
        example: "boot.kernel = \"/netbsd\"\nboot.protocol = \"multiboot\"",
        read: Some(|draft, section, key, _| {
            set(&mut draft.protocol, section.choice(key, &PROTOCOLS)?);
            Ok(())
        }),
        show: Some(|profile| {
            profile.boot.hypervisors.is_empty().then(|| value(word(&PROTOCOLS, profile.boot.protocol)))
        }),
    },
    Key {
        name: "boot.kernel-arguments",
        kind: Kind::List("kernel arguments"),
        default: "[]",
        merge: Merge::Appends,
        doc: "Arguments for the kernel, each a string. `console=` and the agent's own arguments have keys of their own.",
        example: "boot.kernel-arguments = [\"quiet\", \"mitigations=auto\"]",
        read: Some(|draft, section, key, _| {
            append(&mut draft.kernel_arguments, section.list(key, values::kernel_argument)?);
            Ok(())
        }),
        show: Some(|profile| Some(list(&profile.boot.kernel_arguments))),
    },
    Key {
        name: "boot.xen-arguments",
        kind: Kind::List("arguments of Xen"),
        default: "[]",
        merge: Merge::Appends,
        doc: "Arguments for the Xen hypervisor, each a string.",
        example: "boot.xen-arguments = [\"dom0_mem=1G\"]",
        read: Some(|draft, section, key, _| {
            append(&mut draft.xen_arguments, section.list(key, values::xen_argument)?);
            Ok(())
        }),
        show: Some(|profile| Some(list(&profile.boot.xen_arguments))),
    },
    Key {
        name: "boot.consoles",
        kind: Kind::List("consoles as Linux names them, such as `ttyS0,115200`"),
        default: "[\"tty0\", \"ttyS0,115200\"]",
        merge: Merge::Replaces,
        doc: "The consoles of GRUB, Xen and the kernel. The last one is `/dev/console`.",
        example: "boot.consoles = [\"ttyS1,9600n8\", \"tty0\"]",
        read: Some(|draft, section, key, _| {
            set(&mut draft.consoles, section.list(key, values::console)?);
            Ok(())
        }),
        show: Some(|profile| Some(list(&profile.boot.consoles))),
    },
    Key {
        name: "boot.on-missing",
        kind: Kind::Choice(|| words(&ON_MISSING)),
        default: "\"shell\"",
        merge: Merge::Replaces,
        doc: "What the agent does if root, config or `/var` is missing or unusable: open a shell on the console, wait for \
              it, or reboot. The kernel argument `appliance.on-missing=` overrides it for one boot.",
        example: "boot.on-missing = \"reboot\"",
        read: Some(|draft, section, key, _| {
            set(&mut draft.on_missing, section.choice(key, &ON_MISSING)?);
            Ok(())
        }),
        show: Some(|profile| Some(value(word(&ON_MISSING, profile.boot.on_missing)))),
    },
    Key {
        name: "boot.menu-timeout",
        kind: Kind::Integer { least: 0, most: 3600 },
        default: "5",
        merge: Merge::Replaces,
        doc: "How many seconds the boot menu waits.",
        example: "boot.menu-timeout = 0",
        read: Some(|draft, section, key, _| {
            set(&mut draft.menu_timeout, section.integer(key, 0, 3600)?);
            Ok(())
        }),
        show: Some(|profile| Some(value(i64::from(profile.boot.menu_timeout)))),
    },
    Key {
        name: "boot.secure-boot",
        kind: Kind::Boolean,
        default: "true",
        merge: Merge::Replaces,
        doc: "Whether the medium has shim and the signed GRUB, which UEFI Secure Boot needs.",
        example: "boot.secure-boot = false",
        read: Some(|draft, section, key, _| {
            set(&mut draft.secure_boot, section.boolean(key)?);
            Ok(())
        }),
        show: Some(|profile| Some(value(profile.boot.secure_boot))),
    },
    Key {
        name: "services.enable",
        kind: Kind::List("systemd units with their suffix, such as `ssh.service`"),
        default: "[]",
        merge: Merge::Appends,
        doc: "Units that are enabled. They must exist in the image.",
        example: "services.enable = [\"ssh.service\"]",
        read: Some(|draft, section, key, _| {
            append(&mut draft.services.enable, section.list(key, values::unit)?);
            Ok(())
        }),
        show: Some(|profile| Some(list(&profile.services.enable))),
    },
    Key {
        name: "services.disable",
        kind: Kind::List("systemd units with their suffix"),
        default: "[]",
        merge: Merge::Appends,
        doc: "Units that are disabled. Units that are enabled by `services.enable` stay enabled.",
        example: "services.disable = [\"apt-daily.timer\"]",
        read: Some(|draft, section, key, _| {
            append(&mut draft.services.disable, section.list(key, values::unit)?);
            Ok(())
        }),
        show: Some(|profile| Some(list(&profile.services.disable))),
    },
    Key {
        name: "services.mask",
        kind: Kind::List("systemd units with their suffix"),
        default: "[]",
        merge: Merge::Appends,
        doc: "Units that are masked: nothing can start them.",
        example: "services.mask = [\"rpcbind.socket\"]",
        read: Some(|draft, section, key, _| {
            append(&mut draft.services.mask, section.list(key, values::unit)?);
            Ok(())
        }),
        show: Some(|profile| Some(list(&profile.services.mask))),
    },
    Key {
        name: "root.format",
        kind: Kind::Choice(|| words(&FORMATS)),
        default: "\"squashfs\"",
        merge: Merge::Replaces,
        doc: "`squashfs` is a squashfs image on dm-verity. `plain` puts the files themselves on the ISO 9660 volume, and \
              needs `agent = false`.",
        example: "root.format = \"plain\"\nagent = false",
        read: Some(|draft, section, key, _| {
            set(&mut draft.root_format, section.choice(key, &FORMATS)?);
            Ok(())
        }),
        show: Some(|profile| Some(value(word(&FORMATS, profile.root.format)))),
    },
    Key {
        name: "root.compression",
        kind: Kind::Choice(|| words(&ALGORITHMS)),
        default: "\"zstd\"",
        merge: Merge::Replaces,
        doc: "How the squashfs is compressed.",
        example: "root.compression = \"xz\"",
        read: Some(|draft, section, key, _| {
            set(&mut draft.algorithm, section.choice(key, &ALGORITHMS)?);
            Ok(())
        }),
        show: Some(|profile| {
            Some(value(match profile.root.compression {
                Compression::Gzip { .. } => "gzip",
                Compression::Xz { .. } => "xz",
                Compression::Zstd { .. } => "zstd",
            }))
        }),
    },
    Key {
        name: "root.level",
        kind: Kind::Integer { least: 1, most: 22 },
        default: "15 for zstd, 6 for xz, 9 for gzip",
        merge: Merge::Replaces,
        doc: "The compression level: 1 to 22 for zstd, 1 to 9 for xz and gzip. `--level` overrides it.",
        example: "root.level = 3",
        read: Some(|draft, section, key, _| {
            set(&mut draft.level, section.integer(key, 1, 22)?);
            Ok(())
        }),
        show: Some(|profile| {
            Some(value(match profile.root.compression {
                Compression::Gzip { level } | Compression::Xz { level } => i64::from(level),
                Compression::Zstd { level } => i64::from(level),
            }))
        }),
    },
    Key {
        name: "root.block-size",
        kind: Kind::Size,
        default: "131072",
        merge: Merge::Replaces,
        doc: "The block size of the squashfs: a power of two from 128K to 1M.",
        example: "root.block-size = \"256K\"",
        read: Some(|draft, section, key, _| {
            set(&mut draft.block_size, section.size(key)?);
            Ok(())
        }),
        show: Some(|profile| Some(value(i64::from(profile.root.block_size)))),
    },
    Key {
        name: "prune.documentation",
        kind: Kind::Boolean,
        default: "false",
        merge: Merge::Replaces,
        doc: "Whether documentation, manual pages and info files are removed. Copyright files stay.",
        example: "prune.documentation = true",
        read: Some(|draft, section, key, _| {
            set(&mut draft.documentation, section.boolean(key)?);
            Ok(())
        }),
        show: Some(|profile| Some(value(profile.prune.documentation))),
    },
    Key {
        name: "prune.paths",
        kind: Kind::List("absolute paths, in which `*` and `?` stand for parts of a name and `**` for any names"),
        default: "[]",
        merge: Merge::Appends,
        doc: "Further files and directories that are removed.",
        example: "prune.paths = [\"/usr/share/icons/**\"]",
        read: Some(|draft, section, key, _| {
            append(&mut draft.prune_paths, section.list(key, values::pattern)?);
            Ok(())
        }),
        show: Some(|profile| Some(list(&profile.prune.paths))),
    },
    Key {
        name: "prune.keep-locales",
        kind: Kind::List("locales, such as `de` or `pt_BR`"),
        default: "all are kept",
        merge: Merge::Replaces,
        doc: "The locales that are kept; the others are removed.",
        example: "prune.keep-locales = [\"de\", \"pt_BR\"]",
        read: Some(|draft, section, key, _| {
            set(&mut draft.keep_locales, section.list(key, values::locale)?);
            Ok(())
        }),
        show: Some(|profile| profile.prune.keep_locales.as_ref().map(|locales| list(locales))),
    },
    Key {
        name: "initramfs.include",
        kind: Kind::List("kernel modules, or directories of modules that end in a slash"),
        default: "[]",
        merge: Merge::Appends,
        doc: "Modules of the initramfs beyond the standard list.",
        example: "initramfs.include = [\"drivers/scsi/\", \"e1000e\"]",
        read: Some(|draft, section, key, _| {
            append(&mut draft.initramfs.include, section.list(key, values::module)?);
            Ok(())
        }),
        show: Some(|profile| Some(list(&profile.initramfs.include))),
    },
    Key {
        name: "initramfs.exclude",
        kind: Kind::List("kernel modules, or directories of modules that end in a slash"),
        default: "[]",
        merge: Merge::Appends,
        doc: "Modules that are left out of the initramfs.",
        example: "initramfs.exclude = [\"floppy\"]",
        read: Some(|draft, section, key, _| {
            append(&mut draft.initramfs.exclude, section.list(key, values::module)?);
            Ok(())
        }),
        show: Some(|profile| Some(list(&profile.initramfs.exclude))),
    },
    Key {
        name: "files.folder",
        kind: Kind::Text("the name of a directory beside the profile"),
        default: "the profile's name",
        merge: Merge::Own,
        doc: "The overlay directory: its files are copied into the image. A file that ends in `.hbs` is a template.",
        example: "files.folder = \"overlay\"",
        read: None,
        show: None,
    },
    Key {
        name: "files.directories",
        kind: Kind::List("absolute paths in the image"),
        default: "[]",
        merge: Merge::Appends,
        doc: "Directories that are made in the image.",
        example: "files.directories = [\"/data\"]",
        read: None,
        show: None,
    },
    Key {
        name: "files.modes",
        kind: Kind::Map("path of a file of the overlay, and its octal mode or a table of `mode`, `owner` and `group`"),
        default: "0644, or 0755 in directories of programs; root:root",
        merge: Merge::PerKey,
        doc: "Modes and owners of files of the overlay. The modes of the checkout do not count.",
        example: "files.directories = [\"/data\"]\nfiles.modes.\"/data\" = { mode = \"0750\", group = \"7\" }",
        read: None,
        show: None,
    },
    Key {
        name: "files.links",
        kind: Kind::Map("path of a symbolic link, and its target"),
        default: "none",
        merge: Merge::PerKey,
        doc: "Symbolic links that are made in the image.",
        example: "files.links.\"/etc/resolv.conf\" = \"../run/resolv.conf\"",
        read: None,
        show: None,
    },
    Key {
        name: "variables",
        kind: Kind::Map("name and value"),
        default: "none",
        merge: Merge::PerKey,
        doc: "Values for templates, which see them as `vars.NAME`.",
        example: "variables.colour = \"red\"",
        read: Some(|draft, section, _, _| draft.variables(section)),
        show: Some(|profile| Some(strings(&profile.variables))),
    },
];

fn strings(map: &std::collections::BTreeMap<String, String>) -> Item {
    let mut table = Table::new();
    // An empty table would be a heading over nothing.
    table.set_implicit(true);
    for (key, text) in map {
        table[key] = value(text);
    }
    Item::Table(table)
}

fn archives(archives: &std::collections::BTreeMap<String, Archive>) -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    for (name, archive) in archives {
        let mut keys = Table::new();
        if let Some(url) = &archive.url {
            keys["url"] = value(url);
        }
        if let Some(key) = &archive.key {
            keys["key"] = value(&key.name);
        }
        if let Some(packages) = &archive.packages {
            keys["packages"] = list(packages);
        }
        table[name] = Item::Table(keys);
    }
    Item::Table(table)
}

fn list(texts: &[String]) -> Item {
    value(texts.iter().collect::<Array>())
}

/// A list with a line for each item.
fn lines(items: impl Iterator<Item = Value>) -> Item {
    let mut array: Array = items.collect();
    for item in array.iter_mut() {
        item.decor_mut().set_prefix("\n    ");
    }
    array.set_trailing("\n");
    array.set_trailing_comma(true);
    value(array)
}
