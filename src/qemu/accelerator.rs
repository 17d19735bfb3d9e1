//! Selects KVM or software emulation for a virtual machine.

use super::keeper;
use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The accelerator, which executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// Hardware virtualisation.
    Kvm,
    /// QEMU's Tiny Code Generator: software emulation.
    Tcg,
}

/// The selected accelerator, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedAccelerator {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Why, in a few words.
    pub reason: String,
}

/// A boot sector that counts down from 2^25, writes 0x10 to the debug-exit port 0xf4 and halts:
/// `mov ecx, 0x2000000; 1: dec ecx; jnz 1b; mov al, 0x10; out 0xf4, al; cli; hlt`.
const SECTOR_CODE: &[u8] = &[0x66, 0xb9, 0, 0, 0, 2, 0x66, 0x49, 0x75, 0xfc, 0xb0, 0x10, 0xe6, 0xf4, 0xfa, 0xf4];
/// QEMU's isa-debug-exit ends the process with `(value << 1) | 1`.
const PROBE_EXIT: i32 = (0x10 << 1) | 1;
/// A processor counts that far in about 20 ms, and QEMU starts in less than a second. KVM without hardware support
/// emulates real mode instruction by instruction: 17 s were measured, and 0.2 s with TCG.
const PROBE_BOUND: Duration = Duration::from_secs(5);

impl Accelerator {
    /// The name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::Tcg => "software emulation (TCG)",
        }
    }
}

impl SelectedAccelerator {
    /// Selects KVM if it runs a guest at native speed, otherwise TCG. `/dev/kvm` may exist but be useless, for example
    /// in a virtual machine.
    pub fn probe(qemu: &Path) -> Self {
        let software = |reason: String| Self { accelerator: Accelerator::Tcg, reason };
        let device = Path::new("/dev/kvm");
        if let Err(error) = std::fs::OpenOptions::new().read(true).write(true).open(device) {
            let mend = match error.kind() {
                ErrorKind::PermissionDenied => "; join the group kvm: sudo usermod -aG kvm $USER, then log in again",
                _ => "",
            };
            return software(format!("opening {}: {error}{mend}", device.display()));
        }
        if !virtualises(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()) {
            return software("/dev/kvm exists, but this processor has neither vmx nor svm".to_owned());
        }
        match kvm_runs(qemu) {
            Ok(ProbeResult::Runs) => Self { accelerator: Accelerator::Kvm, reason: "it ran a boot sector".to_owned() },
            Ok(ProbeResult::Slow) => software(format!("KVM ran no boot sector within {} s", PROBE_BOUND.as_secs())),
            Ok(ProbeResult::Refused(status)) => software(format!("trying KVM, QEMU ended with {status}")),
            Err(error) => software(format!("trying KVM: {error}")),
        }
    }

    /// The accelerator that the user requested.
    pub fn requested(accelerator: Accelerator) -> Self {
        Self { accelerator, reason: "as requested".to_owned() }
    }
}

/// Whether `/proc/cpuinfo` lists VT-x or AMD-V.
fn virtualises(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find_map(|line| line.strip_prefix("flags")?.split_once(':'));
    flags.is_some_and(|(_, flags)| flags.split_ascii_whitespace().any(|flag| matches!(flag, "vmx" | "svm")))
}

enum ProbeResult {
    Runs,
    Slow,
    Refused(std::process::ExitStatus),
}

fn kvm_runs(qemu: &Path) -> std::io::Result<ProbeResult> {
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
            return Ok(if status.code() == Some(PROBE_EXIT) {
                ProbeResult::Runs
            } else {
                ProbeResult::Refused(status)
            });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    Ok(ProbeResult::Slow)
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
