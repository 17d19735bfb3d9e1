//! Whether a virtual machine can have KVM.

use super::keeper;
use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Who runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor's own virtualisation.
    Kvm,
    /// QEMU's translator, in software.
    Tcg,
}

/// An accelerator, and why this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The one that was chosen.
    pub accelerator: Accelerator,
    /// Why, in a few words.
    pub reason: String,
}

/// A boot sector that counts down from 2^25, writes 0x10 to the debug-exit port 0xf4 and halts:
/// `mov ecx, 0x2000000; 1: dec ecx; jnz 1b; mov al, 0x10; out 0xf4, al; cli; hlt`.
const SECTOR_CODE: &[u8] = &[0x66, 0xb9, 0, 0, 0, 2, 0x66, 0x49, 0x75, 0xfc, 0xb0, 0x10, 0xe6, 0xf4, 0xfa, 0xf4];
/// QEMU's isa-debug-exit ends the process with `(value << 1) | 1`.
const PROBE_EXIT: i32 = (0x10 << 1) | 1;
/// A processor counts that far in some 20 ms, and starting QEMU takes less than a second. A KVM without the
/// processor's help walks through real mode instruction by instruction: 17 s were measured, and 0.2 s with TCG.
const PROBE_BOUND: Duration = Duration::from_secs(5);

impl Accelerator {
    /// What messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::Tcg => "software emulation (TCG)",
        }
    }
}

impl Chosen {
    /// KVM where it really runs a guest at a processor's speed, else TCG.
    /// `/dev/kvm` can be there and be no use, as in a machine that is itself virtual.
    pub fn probe(qemu: &Path) -> Self {
        let software = |reason: String| Self { accelerator: Accelerator::Tcg, reason };
        let device = Path::new("/dev/kvm");
        if let Err(error) = std::fs::OpenOptions::new().read(true).write(true).open(device) {
            let mend = match error.kind() {
                ErrorKind::PermissionDenied => "; the group kvm may: sudo usermod -aG kvm $USER, then log in again",
                _ => "",
            };
            return software(format!("opening {}: {error}{mend}", device.display()));
        }
        if !virtualises(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()) {
            return software("/dev/kvm is there, but this processor shows neither vmx nor svm".to_owned());
        }
        match kvm_runs(qemu) {
            Ok(Probed::Runs) => Self { accelerator: Accelerator::Kvm, reason: "it ran a boot sector".to_owned() },
            Ok(Probed::Slow) => software(format!("KVM ran no boot sector within {} s", PROBE_BOUND.as_secs())),
            Ok(Probed::Refused(status)) => software(format!("trying KVM, QEMU ended with {status}")),
            Err(error) => software(format!("trying KVM: {error}")),
        }
    }

    /// What the user asked for outright.
    pub fn told(accelerator: Accelerator) -> Self {
        Self { accelerator, reason: "as told".to_owned() }
    }
}

/// Whether `/proc/cpuinfo` shows VT-x or AMD-V.
fn virtualises(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find_map(|line| line.strip_prefix("flags")?.split_once(':'));
    flags.is_some_and(|(_, flags)| flags.split_ascii_whitespace().any(|flag| matches!(flag, "vmx" | "svm")))
}

enum Probed {
    Runs,
    Slow,
    Refused(std::process::ExitStatus),
}

fn kvm_runs(qemu: &Path) -> std::io::Result<Probed> {
    let mut sector = [0; 512];
    sector[..SECTOR_CODE.len()].copy_from_slice(SECTOR_CODE);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    let mut disk = tempfile::NamedTempFile::new()?;
    disk.write_all(&sector)?;
    let mut drive = OsString::from("format=raw,if=ide,snapshot=on,file=");
    drive.push(disk.path());
    let words = "-accel kvm -machine pc -m 16 -display none -nodefaults -no-reboot \
                 -device isa-debug-exit,iobase=0xf4,iosize=1 -drive";
    let mut arguments: Vec<OsString> = words.split_ascii_whitespace().map(OsString::from).collect();
    arguments.push(drive);
    let mut child =
        keeper::command(qemu, &arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let bound = Instant::now() + PROBE_BOUND;
    while Instant::now() < bound {
        if let Some(status) = child.try_wait()? {
            return Ok(if status.code() == Some(PROBE_EXIT) { Probed::Runs } else { Probed::Refused(status) });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    Ok(Probed::Slow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_processor_that_virtualises_counts() {
        assert!(virtualises("processor\t: 0\nflags\t\t: fpu vmx sse\n"));
        assert!(virtualises("flags\t\t: fpu svm\nbugs\t: x\n"));
        assert!(!virtualises("flags\t\t: fpu sse hypervisor vmxx\nvmx flags\t: x\n"));
        assert!(!virtualises(""));
    }
}
