//! The firmware of a virtual machine, and where distributions put it.

use super::QemuError;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What the machine starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// QEMU's own SeaBIOS.
    #[default]
    Bios,
    /// OVMF without Secure Boot.
    Uefi,
    /// UEFI that runs only what a key of the usual vendors signed.
    SecureBoot,
}

/// The two flash images of UEFI: the code, shared, and the variables, a machine's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flash {
    /// The code, which no machine changes.
    pub code: PathBuf,
    /// The variables as shipped; a machine works on a copy.
    pub variables: PathBuf,
}

/// Where Debian and Ubuntu, Fedora, and Arch put OVMF, newest layout first.
const UEFI: &[(&str, &str)] = &[
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
];

/// The same with Microsoft's keys enrolled.
const SECURE_BOOT: &[(&str, &str)] = &[
    ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"),
    ("/usr/share/OVMF/OVMF_CODE.secboot.fd", "/usr/share/OVMF/OVMF_VARS.ms.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd"),
];

impl Firmware {
    /// The flash images of this firmware; `None` for BIOS, which QEMU brings itself.
    pub fn flash(self) -> Result<Option<Flash>, QemuError> {
        let (what, places) = match self {
            Self::Bios => return Ok(None),
            Self::Uefi => ("UEFI", UEFI),
            Self::SecureBoot => ("Secure Boot UEFI", SECURE_BOOT),
        };
        let found = places.iter().find(|(code, variables)| Path::new(code).is_file() && Path::new(variables).is_file());
        let Some((code, variables)) = found else {
            let looked = places.iter().map(|(code, _)| *code).collect::<Vec<_>>().join(", ");
            return Err(QemuError::NoFirmware { what, looked });
        };
        Ok(Some(Flash { code: code.into(), variables: variables.into() }))
    }
}
