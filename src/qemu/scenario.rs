//! A boot scenario: a TOML file with the machine, its media, the text to type, and the text that must or must not
//! appear on the console.

use super::machine::PROCESSOR;
use super::{Bus, Firmware};
use crate::util::file_error::{At as _, FileError};
use appliance_contract::Schema;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A boot test: a machine, its drives, and what must appear on its console.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// The file's schema version; [`Schema`] refuses any other.
    pub schema: Schema,
    /// What it tests, in one line.
    pub summary: String,
    /// File name of another image to boot, in the directory of the one under test.
    #[serde(default)]
    pub image: Option<PathBuf>,
    /// Name of a guest image that the one under test includes. It is started as a host starts it, with its root as the
    /// first virtio disk.
    #[serde(default)]
    pub guest_image: Option<String>,
    /// Starts the medium's kernel without a boot loader, with the arguments of its plain Linux entry followed by these.
    #[serde(default)]
    pub kernel_arguments: Option<String>,
    /// The machine's firmware.
    #[serde(default)]
    pub firmware: Firmware,
    /// How the image is attached.
    #[serde(rename = "as")]
    pub attached: Bus,
    /// The machine's memory, in MiB.
    #[serde(default = "default_memory")]
    pub memory_mib: u32,
    /// The emulated processor in the syntax of QEMU's `-cpu`.
    #[serde(default = "default_processor")]
    pub processor: String,
    /// Seconds from power-on to the last step.
    pub bound: u64,
    /// Text that means failure, in addition to the text that always does (a panic).
    #[serde(default)]
    pub fail: Vec<String>,
    /// The scenario expects a panic.
    #[serde(default)]
    pub expects_panic: bool,
    /// Drives in addition to the image.
    #[serde(default, rename = "drive")]
    pub drives: Vec<ScenarioDrive>,
    /// Its network cards, by default one with a cable.
    #[serde(default = "one_card")]
    pub network: Vec<ScenarioCard>,
    /// A node whose config is in a partition after the image, on the medium itself.
    #[serde(default)]
    pub config_on_medium: Option<String>,
    /// Bits of the medium that are flipped.
    #[serde(default, rename = "damage")]
    pub damage: Vec<Damage>,
    /// Bytes that are cut off at the medium's end.
    #[serde(default)]
    pub truncate: u64,
    /// The steps, in order.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

fn default_processor() -> String {
    PROCESSOR.to_owned()
}

fn default_memory() -> u32 {
    2048
}

/// A network card. Its network has a DHCP server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScenarioCard {
    /// QEMU's id of the card: letters, digits and hyphens.
    pub name: String,
    /// Whether its cable is plugged in from the start.
    #[serde(default = "yes")]
    pub cable: bool,
}

fn yes() -> bool {
    true
}

fn one_card() -> Vec<ScenarioCard> {
    vec![ScenarioCard { name: "net0".to_owned(), cable: true }]
}

/// A drive in addition to the medium, made for the run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScenarioDrive {
    /// QEMU's id of the drive: letters, digits and hyphens.
    pub name: String,
    /// How it is attached.
    pub bus: Bus,
    /// The node whose config partition is on it.
    #[serde(default)]
    pub node: Option<String>,
    /// The guest whose own config partition is on it.
    #[serde(default)]
    pub guest: Option<String>,
    /// A node's store: guest images NAME-VERSION from the directory of the image under test, in an ext4 file system on
    /// the whole drive.
    #[serde(default)]
    pub store: Option<Vec<String>>,
    /// Its contents instead of a config partition.
    #[serde(default)]
    pub holds: Option<DriveContent>,
    /// Label of its file system or swap space.
    #[serde(default)]
    pub label: Option<String>,
    /// Size in MiB of a drive with `holds`.
    #[serde(default = "default_size")]
    pub size_mib: u32,
    /// Text of a marker that replaces the node's own.
    #[serde(default)]
    pub marker: Option<String>,
    /// Size in bytes of a filler file in `local/etc`, in addition to the node's own files.
    #[serde(default)]
    pub etc_filler: Option<usize>,
    /// The journal of its ext4 file system has a pending change. The drive is writable, and the scenario fails if it is
    /// written.
    #[serde(default)]
    pub dirty_journal: bool,
    /// The format of the node's config.
    #[serde(default)]
    pub format: ConfigFormat,
    /// Number of the config partition; those before it are empty.
    #[serde(default = "first")]
    pub partition: u32,
    /// A step plugs it in; it is not there from the start.
    #[serde(default)]
    pub late: bool,
    /// The firmware tries to boot from it before the medium.
    #[serde(default)]
    pub first: bool,
}

/// Contents of a drive without a config partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriveContent {
    /// Zeros.
    Nothing,
    /// An empty file system.
    Ext4,
    /// Swap space.
    Swap,
    /// Only the signature of LUKS.
    Luks,
    /// Only the signature of NTFS.
    Ntfs,
    /// The signature of ext4 in a damaged superblock.
    DamagedExt4,
}

fn default_size() -> u32 {
    16
}

fn first() -> u32 {
    1
}

pub use crate::fleet::ConfigFormat;

/// A bit of the image that is flipped.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Damage {
    /// Path of the file on the medium, or [`ESP`].
    pub file: String,
    /// The position in the file, in percent of its length.
    pub percent: u8,
}

/// Stands for the EFI system partition instead of a file's path.
pub const ESP: &str = "esp";

/// A step: an action or an expectation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", untagged)]
pub enum Step {
    /// Waits for a text after the last one found.
    Expect {
        /// The text.
        expect: String,
    },
    /// Types a text; `\n` is the Enter key.
    Send {
        /// The text.
        send: String,
    },
    /// Plugs a late drive in.
    Attach {
        /// The drive's name.
        attach: String,
    },
    /// Plugs the cable of a network card in.
    Plug {
        /// The card's name.
        plug: String,
    },
    /// Checks that the text has not appeared so far.
    Absent {
        /// The text.
        absent: String,
    },
    /// Waits until the machine is off.
    Off {
        /// Always `true`.
        #[serde(rename = "power-off")]
        power_off: bool,
    },
    /// Waits until the machine powers off or reboots, and starts it again with the same drives.
    Restart {
        /// Always `true`.
        restart: bool,
    },
}

/// Why a scenario's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Reading or writing a file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not a valid scenario.
    #[error("in {path}", path = path.display())]
    Parse {
        /// The scenario's file.
        path: PathBuf,
        /// The parser's error.
        source: Box<toml::de::Error>,
    },
    /// Its values contradict each other.
    #[error("in {path}: {reason}", path = path.display())]
    Invalid {
        /// The scenario's file.
        path: PathBuf,
        /// Which values, and why.
        reason: String,
    },
}

impl Scenario {
    /// Reads and checks a scenario's file.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = crate::util::bounded_read::read_user_text(path).at("reading", path)?;
        let scenario: Self = toml::from_str(&text)
            .map_err(|source| ScenarioError::Parse { path: path.to_owned(), source: Box::new(source) })?;
        scenario.check().map_err(|reason| ScenarioError::Invalid { path: path.to_owned(), reason })?;
        Ok(scenario)
    }

    /// The other images that it needs, which are in the directory of the one under test.
    pub fn other_images(&self) -> impl Iterator<Item = &Path> {
        let stores = self.drives.iter().flat_map(|drive| drive.store.iter().flatten());
        self.image.as_deref().into_iter().chain(stores.map(Path::new))
    }

    /// Whether the image is booted unchanged.
    pub fn is_unchanged(&self) -> bool {
        self.damage.is_empty() && self.truncate == 0 && self.config_on_medium.is_none()
    }

    /// Checks what the types cannot express.
    fn check(&self) -> Result<(), String> {
        if !self.steps.iter().any(|step| matches!(step, Step::Expect { .. })) {
            return Err("no step expects any text: such a scenario could not fail".to_owned());
        }
        let on_medium = self.image.is_some() || !self.is_unchanged();
        if self.guest_image.is_some() && (on_medium || self.attached != Bus::Virtio) {
            return Err(
                "guest-image: expected as = \"virtio\", and neither image, damage, truncate nor config-on-medium"
                    .to_owned(),
            );
        }
        if self.kernel_arguments.is_some()
            && (on_medium || self.guest_image.is_some() || self.firmware != Firmware::Bios)
        {
            return Err("kernel-arguments: expected firmware = \"bios\", and neither image, guest-image, damage nor \
                        config-on-medium"
                .to_owned());
        }
        let plain = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if let Some(card) = self.network.iter().find(|card| !plain(&card.name)) {
            return Err(format!("network card name {:?}: expected letters, digits and hyphens", card.name));
        }
        if self.truncate > 0 && self.config_on_medium.is_some() {
            return Err("truncate: expected no config-on-medium, which is at the end".to_owned());
        }
        for drive in &self.drives {
            if !plain(&drive.name) || drive.name == "medium" {
                return Err(format!("drive name {:?}: expected letters, digits and hyphens, not medium", drive.name));
            }
            let contents = [drive.node.is_some(), drive.guest.is_some(), drive.store.is_some(), drive.holds.is_some()];
            if contents.iter().filter(|is_set| **is_set).count() != 1 {
                return Err(format!("drive {}: expected one of node, guest, store and holds", drive.name));
            }
            let can_have_label = matches!(drive.holds, Some(DriveContent::Ext4 | DriveContent::Swap));
            if let Some(label) = drive.label.as_ref().filter(|label| !can_have_label || label.len() > 16) {
                return Err(format!(
                    "drive {}: label {label:?}, expected 16 bytes at most, and ext4 or swap",
                    drive.name
                ));
            }
            if !(16..=1024).contains(&drive.size_mib) {
                return Err(format!("drive {}: size-mib {}, expected 16 to 1024", drive.name, drive.size_mib));
            }
            if drive.dirty_journal && drive.format != ConfigFormat::Ext4 {
                return Err(format!("drive {}: dirty-journal, expected format = \"ext4\"", drive.name));
            }
            if !(1..=16).contains(&drive.partition) {
                return Err(format!("drive {}: partition {}, expected 1 to 16", drive.name, drive.partition));
            }
            let firmware_boots = self.guest_image.is_none() && self.kernel_arguments.is_none();
            if drive.first && (drive.late || !firmware_boots) {
                return Err(format!(
                    "drive {}: first, expected it there from the start, and neither guest-image nor kernel-arguments",
                    drive.name
                ));
            }
            if drive.late && drive.bus != Bus::Usb {
                return Err(format!("drive {}: only a usb drive can come late", drive.name));
            }
        }
        for step in &self.steps {
            if let Step::Attach { attach } = step
                && !self.drives.iter().any(|drive| drive.late && drive.name == *attach)
            {
                return Err(format!("step attach = {attach:?}: no late drive has that name"));
            }
            if let Step::Plug { plug } = step
                && !self.network.iter().any(|card| !card.cable && card.name == *plug)
            {
                return Err(format!("step plug = {plug:?}: no network card without a cable has that name"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::causes::WithCauses as _;

    fn parse(extra: &str) -> Result<Scenario, String> {
        let text = format!("schema = 1\nsummary = \"s\"\nas = \"cd\"\nbound = 60\n{extra}");
        let scenario: Scenario = toml::from_str(&text).map_err(|error| error.with_causes())?;
        scenario.check().map(|()| scenario)
    }

    #[test]
    fn reads_machine_drives_and_steps() {
        let scenario = parse(
            "firmware = \"secure-boot\"\n[[drive]]\nname = \"late\"\nbus = \"usb\"\nnode = \"node1\"\nformat = \"vfat\"\n\
             partition = 3\nlate = true\n[[step]]\nexpect = \"x\"\n[[step]]\nattach = \"late\"\n[[step]]\npower-off = true\n",
        )
        .unwrap();
        assert_eq!((scenario.firmware, scenario.attached), (Firmware::SecureBoot, Bus::Cd));
        assert_eq!(scenario.drives[0].format, ConfigFormat::Vfat);
        assert_eq!(scenario.steps.len(), 3);
    }

    #[test]
    fn network_cards_are_one_unless_said() {
        let expect = "[[step]]\nexpect = \"x\"\n";
        let cards = |text: &str| {
            let scenario = parse(&format!("{text}{expect}")).unwrap();
            scenario.network.into_iter().map(|card| (card.name, card.cable)).collect::<Vec<_>>()
        };
        assert_eq!(cards(""), [("net0".to_owned(), true)]);
        assert_eq!(cards("network = []\n"), []);
        let two = "network = [{ name = \"a\", cable = false }, { name = \"b\" }]\n[[step]]\nplug = \"a\"\n";
        assert_eq!(cards(two), [("a".to_owned(), false), ("b".to_owned(), true)]);
    }

    #[test]
    fn names_the_other_images_that_it_needs() {
        let step = "[[step]]\nexpect = \"x\"\n";
        let none = parse(&format!("[[drive]]\nname = \"c\"\nbus = \"usb\"\nnode = \"n\"\n{step}")).unwrap();
        assert_eq!(none.other_images().count(), 0);
        let drive = "[[drive]]\nname = \"s\"\nbus = \"virtio\"\nstore = [\"web-2\", \"web-3\"]\n";
        let both = parse(&format!("image = \"other.iso\"\n{drive}{step}")).unwrap();
        let wanted = ["other.iso", "web-2", "web-3"].map(Path::new);
        assert_eq!(both.other_images().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn refuses_what_could_not_fail_and_what_could_not_run() {
        let expect = "[[step]]\nexpect = \"x\"\n";
        for (text, said) in [
            ("[[step]]\nsend = \"x\"\n".to_owned(), "could not fail"),
            (format!("{expect}[[step]]\nattach = \"x\"\n"), "no late drive"),
            (format!("{expect}[[step]]\nplug = \"net0\"\n"), "no network card without a cable"),
            (format!("network = [{{ name = \"a,b\" }}]\n{expect}"), "network card name \"a,b\""),
            (format!("[[drive]]\nname = \"a b\"\nbus = \"usb\"\nnode = \"n\"\n{expect}"), "expected letters"),
            (
                format!("[[drive]]\nname = \"a\"\nbus = \"sata\"\nlate = true\nnode = \"n\"\n{expect}"),
                "only a usb drive",
            ),
            (
                format!("[[drive]]\nname = \"a\"\nbus = \"usb\"\n{expect}"),
                "expected one of node, guest, store and holds",
            ),
            (format!("guest-image = \"guest\"\n{expect}"), "expected as = \"virtio\""),
            (
                format!(
                    "[[drive]]\nname = \"a\"\nbus = \"usb\"\nnode = \"n\"\nformat = \"iso\"\ndirty-journal = true\n{expect}"
                ),
                "expected format",
            ),
            (
                format!("[[drive]]\nname = \"a\"\nbus = \"usb\"\nnode = \"n\"\nlate = true\nfirst = true\n{expect}"),
                "expected it there from the start",
            ),
            (format!("truncate = 8\nconfig-on-medium = \"n\"\n{expect}"), "which is at the end"),
            (format!("bond = 3\n{expect}"), "unknown field `bond`"),
            (format!("kernel-arguments = \"x\"\nfirmware = \"uefi\"\n{expect}"), "expected firmware = \"bios\""),
            (
                format!("[[drive]]\nname = \"a\"\nbus = \"usb\"\nholds = \"luks\"\nlabel = \"x\"\n{expect}"),
                "and ext4 or swap",
            ),
            (
                format!("[[drive]]\nname = \"a\"\nbus = \"usb\"\nholds = \"swap\"\nsize-mib = 8\n{expect}"),
                "expected 16 to 1024",
            ),
            ("[[step]]\nexpects = \"x\"\n".to_owned(), "did not match"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
