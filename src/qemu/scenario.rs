//! A boot scenario: a TOML file that says which machine, which media, what to
//! type and what must, or must not, come on the console.

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
    /// What it shows, in one line.
    pub summary: String,
    /// Name of another image, beside the one under test, that this scenario boots: `{image}` stands for the latter.
    #[serde(default)]
    pub image: Option<PathBuf>,
    /// A guest image that the one under test holds: it is started as a host does, its root the first virtio disk.
    #[serde(default)]
    pub guest_image: Option<String>,
    /// Starts the medium's kernel without a boot loader, with the arguments of its plain Linux entry and these behind.
    #[serde(default)]
    pub kernel_arguments: Option<String>,
    /// What the machine starts from.
    #[serde(default)]
    pub firmware: Firmware,
    /// How the image is attached.
    #[serde(rename = "as")]
    pub attached: Bus,
    /// The machine's memory, in MiB.
    #[serde(default = "default_memory")]
    pub memory_mib: u32,
    /// The emulated processor, as QEMU's `-cpu` takes it.
    #[serde(default = "default_processor")]
    pub processor: String,
    /// Seconds from power-on to the last step.
    pub bound: u64,
    /// Text that means failure, besides what always does (a panic).
    #[serde(default)]
    pub fail: Vec<String>,
    /// A panic is what this scenario waits for.
    #[serde(default)]
    pub expects_panic: bool,
    /// Drives beside the image.
    #[serde(default, rename = "drive")]
    pub drives: Vec<ScenarioDrive>,
    /// Its network cards; one with a cable where nothing is said.
    #[serde(default = "one_card")]
    pub network: Vec<ScenarioCard>,
    /// A node whose config lies in a partition behind the image, on the medium itself.
    #[serde(default)]
    pub config_on_medium: Option<String>,
    /// Bits of the medium that are wrong.
    #[serde(default, rename = "damage")]
    pub damage: Vec<Damage>,
    /// Bytes that the medium lacks at its end.
    #[serde(default)]
    pub truncate: u64,
    /// What is waited for and done, in this order.
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
    /// Whether its cable is in from the start.
    #[serde(default = "yes")]
    pub cable: bool,
}

fn yes() -> bool {
    true
}

fn one_card() -> Vec<ScenarioCard> {
    vec![ScenarioCard { name: "net0".to_owned(), cable: true }]
}

/// A drive beside the medium, made for the run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScenarioDrive {
    /// QEMU's id of the drive: letters, digits and hyphens.
    pub name: String,
    /// How it is attached.
    pub bus: Bus,
    /// The node whose config partition it holds.
    #[serde(default)]
    pub node: Option<String>,
    /// The guest whose own config partition it holds.
    #[serde(default)]
    pub guest: Option<String>,
    /// Guest images beside the one under test, as NAME-VERSION, in an ext4 file system on the whole drive: a node's store.
    #[serde(default)]
    pub store: Option<Vec<String>>,
    /// What it holds instead of a config partition.
    #[serde(default)]
    pub holds: Option<Holds>,
    /// Of the file system or swap space that it holds.
    #[serde(default)]
    pub label: Option<String>,
    /// How large that is.
    #[serde(default = "default_size")]
    pub size_mib: u32,
    /// Text of a marker in the place of the node's own.
    #[serde(default)]
    pub marker: Option<String>,
    /// Bytes that `local/etc` holds besides the node's own files.
    #[serde(default)]
    pub etc_filler: Option<usize>,
    /// The ext4's journal holds a change that was not carried out. The drive can be written, and must not have been.
    #[serde(default)]
    pub dirty_journal: bool,
    /// The format of the node's config.
    #[serde(default)]
    pub format: ConfigFormat,
    /// Number of the config partition; those before it are empty.
    #[serde(default = "first")]
    pub partition: u32,
    /// Plugged in by a step, not from the start.
    #[serde(default)]
    pub late: bool,
    /// The firmware tries to boot from it before the medium.
    #[serde(default)]
    pub first: bool,
}

/// What is no config partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// Zeros.
    Nothing,
    /// An empty file system.
    Ext4,
    /// A swap space.
    Swap,
    /// The signature of LUKS, and nothing behind it.
    Luks,
    /// The signature of NTFS, and nothing behind it.
    Ntfs,
    /// The signature of ext4, and nothing behind it that makes sense.
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
    /// Where in it, as a share of its length.
    pub percent: u8,
}

/// In the place of a damaged file's path: the EFI system partition, which is none.
pub const ESP: &str = "esp";

/// One thing to do or to wait for, in order.
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
    /// Puts the cable of a network card in.
    Plug {
        /// The card's name.
        plug: String,
    },
    /// The text has not come so far.
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
    /// Waits until the machine is off or wants to restart, and starts it with what its drives hold by then.
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
    /// It is not in a scenario's form.
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
        /// Which ones, and why.
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

    /// The images that it needs besides the one under test; they lie in the same folder.
    pub fn other_images(&self) -> impl Iterator<Item = &Path> {
        let stores = self.drives.iter().flat_map(|drive| drive.store.iter().flatten());
        self.image.as_deref().into_iter().chain(stores.map(Path::new))
    }

    /// Whether what boots is the image as it is.
    pub fn is_unchanged(&self) -> bool {
        self.damage.is_empty() && self.truncate == 0 && self.config_on_medium.is_none()
    }

    /// What TOML's types cannot say.
    fn check(&self) -> Result<(), String> {
        if !self.steps.iter().any(|step| matches!(step, Step::Expect { .. })) {
            return Err("no step expects anything: such a scenario could not fail".to_owned());
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
            return Err("truncate: expected no config-on-medium, which lies at the end".to_owned());
        }
        for drive in &self.drives {
            if !plain(&drive.name) || drive.name == "medium" {
                return Err(format!("drive name {:?}: expected letters, digits and hyphens, not medium", drive.name));
            }
            let contents = [drive.node.is_some(), drive.guest.is_some(), drive.store.is_some(), drive.holds.is_some()];
            if contents.iter().filter(|there| **there).count() != 1 {
                return Err(format!("drive {}: expected one of node, guest, store and holds", drive.name));
            }
            let can_have_label = matches!(drive.holds, Some(Holds::Ext4 | Holds::Swap));
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
            (format!("truncate = 8\nconfig-on-medium = \"n\"\n{expect}"), "which lies at the end"),
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
