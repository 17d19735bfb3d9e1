//! The kernel arguments that the agent reads, all named `appliance.*`.

use crate::Sha256;
use crate::marker::Role;
use std::fmt;
use std::time::Duration;

/// Seconds that the agent goes on looking for devices when the command line says nothing.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// All that the kernel command line tells the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelArgs {
    /// Where the root image is.
    pub root: RootSource,
    /// The verity root hash; `None` only where the entry says `appliance.roothash=none`.
    pub root_hash: Option<Sha256>,
    /// What to do.
    pub action: Action,
    /// Which config partition to take.
    pub config: ConfigChoice,
    /// How long to look for devices.
    pub timeout: Duration,
    /// What to do when a step fails.
    pub on_missing: OnMissing,
    /// What the machine is.
    pub role: Role,
}

/// Where the root image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSource {
    /// A file on the ISO 9660 volume with this UUID.
    Medium {
        /// The volume's UUID.
        uuid: String,
        /// The file's path.
        path: String,
    },
    /// A file on the file system with this UUID.
    File {
        /// The file system's UUID.
        uuid: String,
        /// The file's path.
        path: String,
    },
    /// A whole block device, by its kernel name without `/dev/`.
    Device {
        /// The device's name below `/dev`.
        name: String,
    },
    /// A file on a web server.
    Http {
        /// The file's URL.
        url: String,
    },
}

/// What the agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Boots the system.
    Boot,
    /// Checks every byte of the medium.
    Check,
    /// Opens a shell.
    Rescue,
}

/// Which config partition the agent takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChoice {
    /// The one whose marker fits.
    Auto,
    /// The one on this device.
    Path(String),
    /// The one with this UUID.
    Uuid(String),
    /// The one with this label.
    Label(String),
}

/// What the agent does when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMissing {
    /// Opens a shell, and tries again after it.
    Shell,
    /// Waits for devices, and tries again.
    Wait,
    /// Reboots.
    Reboot,
}

/// An argument that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("kernel argument {key}: found {found:?}, expected {expected}")]
pub struct KernelArgsError {
    /// The argument's name.
    pub key: String,
    /// Its value.
    pub found: String,
    /// What it should be.
    pub expected: &'static str,
}

const PREFIX: &str = "appliance.";
/// Comes before the root hash in a command line.
pub const ROOT_HASH: &str = "appliance.roothash=";
/// Comes before the choice of [`OnMissing`] in a command line.
pub const ON_MISSING: &str = "appliance.on-missing=";

impl KernelArgs {
    /// Reads `/proc/cmdline`. Arguments of other programs are passed over; of
    /// ours, an unknown key or value is an error, and a later one wins.
    pub fn parse(command_line: &str) -> Result<Self, KernelArgsError> {
        let mut root = None;
        let mut root_hash = None;
        let mut args = Self {
            root: RootSource::Device { name: String::new() },
            root_hash: None,
            action: Action::Boot,
            config: ConfigChoice::Auto,
            timeout: DEFAULT_TIMEOUT,
            on_missing: OnMissing::Shell,
            role: Role::Host,
        };
        for word in command_line.split_ascii_whitespace() {
            let Some(rest) = word.strip_prefix(PREFIX) else { continue };
            let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
            let fail = |expected| KernelArgsError { key: format!("{PREFIX}{key}"), found: value.to_owned(), expected };
            match key {
                "root" => root = Some(RootSource::parse(value).ok_or_else(|| fail(RootSource::EXPECTED))?),
                "roothash" => {
                    root_hash = Some(parse_hash(value).ok_or_else(|| fail("64 hexadecimal digits, or none"))?)
                }
                "action" => {
                    args.action = match value {
                        "boot" => Action::Boot,
                        "check" => Action::Check,
                        "rescue" => Action::Rescue,
                        _ => return Err(fail("boot, check or rescue")),
                    }
                }
                "config" => {
                    args.config = ConfigChoice::parse(value).ok_or_else(|| fail("auto, a path, UUID=… or LABEL=…"))?
                }
                "timeout" => {
                    let seconds = value.parse::<u32>().map_err(|_| fail("a number of seconds"))?;
                    args.timeout = Duration::from_secs(seconds.into());
                }
                "on-missing" => {
                    args.on_missing = match value {
                        "shell" => OnMissing::Shell,
                        "wait" => OnMissing::Wait,
                        "reboot" => OnMissing::Reboot,
                        _ => return Err(fail("shell, wait or reboot")),
                    }
                }
                "role" => args.role = value.parse().map_err(|_| fail("host or guest"))?,
                _ => {
                    return Err(fail(
                        "one of root, roothash, action, config, timeout, on-missing, role after appliance.",
                    ));
                }
            }
        }
        let missing =
            |key: &str, expected| KernelArgsError { key: format!("{PREFIX}{key}"), found: String::new(), expected };
        args.root = root.ok_or_else(|| missing("root", RootSource::EXPECTED))?;
        args.root_hash = root_hash.ok_or_else(|| missing("roothash", "64 hexadecimal digits, or none"))?;
        Ok(args)
    }
}

fn parse_hash(text: &str) -> Option<Option<Sha256>> {
    if text == "none" { Some(None) } else { text.parse().ok().map(Some) }
}

impl RootSource {
    const EXPECTED: &str = "medium:UUID[:/PATH], file:UUID:/PATH, dev:NAME or http:URL";

    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "medium" => {
                let (uuid, path) = rest.split_once(':').unwrap_or((rest, crate::medium::ROOT_IMAGE));
                (!uuid.is_empty() && path.starts_with('/'))
                    .then(|| Self::Medium { uuid: uuid.into(), path: path.into() })
            }
            "file" => {
                let (uuid, path) = rest.split_once(':')?;
                (!uuid.is_empty() && path.starts_with('/')).then(|| Self::File { uuid: uuid.into(), path: path.into() })
            }
            "dev" => (!rest.is_empty() && !rest.contains(".."))
                .then(|| Self::Device { name: rest.trim_start_matches("/dev/").into() }),
            "http" => (!rest.is_empty()).then(|| Self::Http { url: rest.into() }),
            _ => None,
        }
    }
}

impl fmt::Display for RootSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Medium { uuid, path } if path == crate::medium::ROOT_IMAGE => write!(f, "medium:{uuid}"),
            Self::Medium { uuid, path } => write!(f, "medium:{uuid}:{path}"),
            Self::File { uuid, path } => write!(f, "file:{uuid}:{path}"),
            Self::Device { name } => write!(f, "dev:{name}"),
            Self::Http { url } => write!(f, "http:{url}"),
        }
    }
}

impl ConfigChoice {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once('=') {
            Some(("UUID", uuid)) if !uuid.is_empty() => Some(Self::Uuid(uuid.into())),
            Some(("LABEL", label)) if !label.is_empty() => Some(Self::Label(label.into())),
            None if text == "auto" => Some(Self::Auto),
            None if text.starts_with("/dev/") => Some(Self::Path(text.into())),
            _ => None,
        }
    }
}

impl fmt::Display for KernelArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}root={} {PREFIX}roothash=", self.root)?;
        match self.root_hash {
            Some(hash) => write!(f, "{hash}")?,
            None => f.write_str("none")?,
        }
        match self.action {
            Action::Boot => {}
            Action::Check => write!(f, " {PREFIX}action=check")?,
            Action::Rescue => write!(f, " {PREFIX}action=rescue")?,
        }
        match &self.config {
            ConfigChoice::Auto => {}
            ConfigChoice::Path(path) => write!(f, " {PREFIX}config={path}")?,
            ConfigChoice::Uuid(uuid) => write!(f, " {PREFIX}config=UUID={uuid}")?,
            ConfigChoice::Label(label) => write!(f, " {PREFIX}config=LABEL={label}")?,
        }
        if self.timeout != DEFAULT_TIMEOUT {
            write!(f, " {PREFIX}timeout={}", self.timeout.as_secs())?;
        }
        match self.on_missing {
            OnMissing::Shell => {}
            OnMissing::Wait => write!(f, " {PREFIX}on-missing=wait")?,
            OnMissing::Reboot => write!(f, " {PREFIX}on-missing=reboot")?,
        }
        if self.role == Role::Guest {
            write!(f, " {PREFIX}role=guest")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> String {
        "ab".repeat(32)
    }

    #[test]
    fn parses_what_it_renders() {
        let line = format!(
            "console=ttyS0 appliance.root=medium:2026-11-01-00-00-00-00 appliance.roothash={} appliance.action=check \
             appliance.config=UUID=12 appliance.timeout=5 appliance.on-missing=reboot appliance.role=guest quiet",
            hash()
        );
        let args = KernelArgs::parse(&line).unwrap();
        assert_eq!(KernelArgs::parse(&args.to_string()), Ok(args.clone()));
        assert_eq!(
            args.root,
            RootSource::Medium { uuid: "2026-11-01-00-00-00-00".into(), path: "/appliance/root.squashfs".into() }
        );
        assert_eq!((args.action, args.on_missing, args.role), (Action::Check, OnMissing::Reboot, Role::Guest));
    }

    #[test]
    fn names_the_argument_that_is_wrong() {
        for (line, key) in [
            ("appliance.roothash=none", "appliance.root"),
            ("appliance.root=dev:vda", "appliance.roothash"),
            ("appliance.root=disk:vda appliance.roothash=none", "appliance.root"),
            ("appliance.root=dev:vda appliance.roothash=abc", "appliance.roothash"),
            ("appliance.root=dev:vda appliance.roothash=none appliance.timeout=x", "appliance.timeout"),
            ("appliance.root=dev:vda appliance.roothash=none appliance.acton=boot", "appliance.acton"),
        ] {
            assert_eq!(KernelArgs::parse(line).unwrap_err().key, key, "{line}");
        }
    }
}
