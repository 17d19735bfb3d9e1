use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Who runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor's own virtualisation.
    Kvm,
    /// QEMU's translator, in software.
    Tcg,
}

/// A boot sector that writes 0x10 to the debug-exit port 0xf4 and halts.
const SECTOR_CODE: &[u8] = &[0xb0, 0x10, 0xe6, 0xf4, 0xfa, 0xf4];
/// QEMU's isa-debug-exit ends the process with `(value << 1) | 1`.
const PROBE_EXIT: i32 = (0x10 << 1) | 1;

impl Accelerator {
    /// KVM where it really runs a guest, else TCG. `/dev/kvm` can be there and
    /// still run nothing (a machine that is itself virtual), so a boot sector tells.
    pub fn probe(qemu: &Path) -> Self {
        if Path::new("/dev/kvm").exists() && kvm_runs(qemu).unwrap_or(false) { Self::Kvm } else { Self::Tcg }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::Tcg => "software emulation (TCG)",
        }
    }
}

fn kvm_runs(qemu: &Path) -> std::io::Result<bool> {
    let mut sector = [0; 512];
    sector[..SECTOR_CODE.len()].copy_from_slice(SECTOR_CODE);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    let mut disk = tempfile::NamedTempFile::new()?;
    disk.write_all(&sector)?;
    let mut drive = std::ffi::OsString::from("format=raw,if=ide,snapshot=on,file=");
    drive.push(disk.path());
    let mut child = Command::new(qemu)
        .args(["-accel", "kvm", "-machine", "pc", "-m", "16", "-display", "none", "-nodefaults"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-no-reboot", "-drive"])
        .arg(drive)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let bound = Instant::now() + Duration::from_secs(10);
    while Instant::now() < bound {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code() == Some(PROBE_EXIT));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    Ok(false)
}
