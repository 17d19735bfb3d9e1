//! Parsers of a profile's strings. Each parser's error says what is expected.

use appliance_contract::Sha256;

pub(super) fn name(text: &str) -> Result<String, &'static str> {
    let good = text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if good { Ok(text.to_owned()) } else { Err("lower-case letters, digits and hyphens, 64 at most") }
}

/// A version has no hyphen, because the build number follows one in an image's name.
pub(super) fn version(text: &str) -> Result<String, &'static str> {
    let good = text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+_~".contains(&byte));
    if good { Ok(text.to_owned()) } else { Err("letters, digits and any of . + _ ~, such as 2026.11.1") }
}

/// An ISO 9660 volume identifier of d-characters (ECMA-119 7.4.1, 8.4.7).
pub(super) fn volume_label(text: &str) -> Result<String, &'static str> {
    let good = (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if good { Ok(text.to_owned()) } else { Err("1 to 32 upper-case letters, digits and underscores") }
}

/// The volume label of a profile without the key.
pub(super) fn default_label(name: &str, version: &str) -> String {
    let mut label: String = format!("{name}_{version}")
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' })
        .collect();
    label.truncate(32);
    label
}

/// The name of a suite, archive or component, in the characters that Debian's names consist of.
pub(super) fn word(text: &str) -> Result<String, &'static str> {
    let good = !text.is_empty()
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_+~".contains(&byte));
    if good { Ok(text.to_owned()) } else { Err("letters, digits and any of . - _ + ~") }
}

/// A component: the security archive's were once of several words.
pub(super) fn component(text: &str) -> Result<String, &'static str> {
    let good = text.split('/').all(|part| word(part).is_ok());
    if good { Ok(text.to_owned()) } else { Err("letters, digits and any of . - _ + ~ /") }
}

/// A suite as sources.list(5) names it: words between slashes, or with a slash at its end a directory of a flat archive,
/// which `/`, `./`, `dir/` and `./dir/` are forms of.
pub(super) fn suite(text: &str) -> Result<String, &'static str> {
    let part = |part: &&str| {
        !matches!(*part, "" | "." | "..")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_+~:".contains(&byte))
    };
    let name = match text.strip_suffix('/') {
        None => text.split('/').all(|found| part(&found)).then(|| text.to_owned()),
        Some(directory) => {
            let parts: Vec<&str> = directory.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
            parts.iter().all(part).then(|| format!("{}/", parts.join("/")))
        }
    };
    name.ok_or("a suite such as trixie or stable/updates, or a directory of a flat archive such as / or deb/")
}

/// A pattern over names of packages: `*` and `?` stand for parts of one.
pub(super) fn package_pattern(text: &str) -> Result<String, &'static str> {
    let good = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.*?".contains(&byte));
    if good { Ok(text.to_owned()) } else { Err("a package's name, where * and ? may stand for parts of it") }
}

/// A package's name (Debian policy 5.6.1), optionally followed by `=` and a version.
pub(super) fn package(text: &str) -> Result<(String, Option<String>), &'static str> {
    let (name, version) = match text.split_once('=') {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    };
    let good_name = name.len() >= 2
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte));
    let good_version = version.is_none_or(|version| {
        version.starts_with(|first: char| first.is_ascii_digit())
            && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-~:".contains(&byte))
    });
    if good_name && good_version {
        Ok((name.to_owned(), version.map(str::to_owned)))
    } else {
        Err("a package's name, or NAME=VERSION")
    }
}

/// The package that contains a firmware: `bnx2` is in `firmware-bnx2`.
pub(super) fn firmware(text: &str) -> Result<(String, Option<String>), &'static str> {
    if text.starts_with("firmware-") || text.ends_with("-microcode") {
        package(text)
    } else {
        package(&format!("firmware-{text}"))
    }
}

/// A word of a kernel command line that GRUB needs no quoting for.
fn argument(text: &str) -> Result<String, &'static str> {
    let good =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'`$\\;&|<>{}#".contains(&byte));
    if good { Ok(text.to_owned()) } else { Err("one argument without spaces and shell characters") }
}

pub(super) fn kernel_argument(text: &str) -> Result<String, &'static str> {
    let ours = ["root", "roothash", "action", "role"];
    let key = text.split('=').next().unwrap_or(text);
    match key.strip_prefix("appliance.") {
        Some(rest) if ours.contains(&rest) => Err("no appliance.root, roothash, action or role: the build sets them"),
        Some("on-missing") => Err("no appliance.on-missing: use the key boot.on-missing"),
        _ if key == "console" => Err("no console: use the key boot.consoles"),
        _ => argument(text),
    }
}

pub(super) fn xen_argument(text: &str) -> Result<String, &'static str> {
    argument(text)
}

/// A console as Linux names it: `tty0`, `hvc0`, `ttyS0,115200n8`.
pub(super) fn console(text: &str) -> Result<String, &'static str> {
    let (device, options) = text.split_once(',').unwrap_or((text, "115200"));
    let good = device.starts_with("tty") || device.starts_with("hvc");
    let good = good
        && device.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && device.ends_with(|last: char| last.is_ascii_digit())
        && options.starts_with(|first: char| first.is_ascii_digit())
        && options.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if good { Ok(text.to_owned()) } else { Err("a console such as tty0, hvc0 or ttyS0,115200") }
}

const UNIT_KINDS: [&str; 11] = [
    ".service",
    ".socket",
    ".target",
    ".timer",
    ".path",
    ".mount",
    ".automount",
    ".swap",
    ".slice",
    ".device",
    ".scope",
];

pub(super) fn unit(text: &str) -> Result<String, &'static str> {
    let good = text.len() <= 255
        && UNIT_KINDS.iter().any(|kind| text.len() > kind.len() && text.ends_with(kind))
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte));
    if good { Ok(text.to_owned()) } else { Err("a systemd unit with its suffix, such as ssh.service") }
}

/// An absolute path in the image, without `.` and `..`.
pub(super) fn path(text: &str) -> Result<String, &'static str> {
    let good = text
        .strip_prefix('/')
        .is_some_and(|rest| rest.split('/').all(|name| !matches!(name, "" | "." | "..") && name.len() <= 255))
        && !text.contains('\0');
    let expected = "an absolute path without . and .. and without a slash at its end, its names of 255 bytes at most";
    if good { Ok(text.to_owned()) } else { Err(expected) }
}

/// A pattern for absolute paths: `*` and `?` match within a name, `**` matches any number of names.
pub(super) fn pattern(text: &str) -> Result<String, &'static str> {
    path(text).map_err(|_| "an absolute path, optionally with * ? and **")
}

pub(super) fn locale(text: &str) -> Result<String, &'static str> {
    let good = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_@.-".contains(&byte));
    if good { Ok(text.to_owned()) } else { Err("a locale such as de or pt_BR") }
}

/// A module's name, or a directory of the kernel's modules with a slash at its end.
pub(super) fn module(text: &str) -> Result<String, &'static str> {
    let good = !text.is_empty()
        && !text.starts_with('/')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-/".contains(&byte))
        && (text.ends_with('/') || !text.contains('/'));
    if good { Ok(text.to_owned()) } else { Err("a module such as ixgbe, or a directory such as drivers/scsi/") }
}

pub(super) fn mode(text: &str) -> Result<u16, &'static str> {
    match u16::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 && (3..=5).contains(&text.len()) && !text.starts_with('+') => Ok(mode),
        _ => Err("an octal mode such as 0640"),
    }
}

/// A user or group, by name or number (useradd's rule for names).
pub(super) fn account(text: &str) -> Result<String, &'static str> {
    let good = (1..=32).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if good { Ok(text.to_owned()) } else { Err("the name or number of a user or group") }
}

pub(super) fn sha256(text: &str) -> Result<Sha256, &'static str> {
    text.parse().map_err(|_| "64 hexadecimal digits")
}

pub(super) fn url(text: &str) -> Result<String, &'static str> {
    let known = ["http://", "https://", "file:/"].iter().any(|scheme| text.starts_with(scheme));
    let good = known && text.bytes().all(|byte| byte.is_ascii_graphic());
    if good { Ok(text.trim_end_matches('/').to_owned()) } else { Err("a URL that begins with http:, https: or file:") }
}

/// Templates see variables as `vars.NAME`.
pub(super) fn variable(text: &str) -> Result<String, &'static str> {
    let good = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if good { Ok(text.to_owned()) } else { Err("a name of letters, digits, hyphens and underscores") }
}
