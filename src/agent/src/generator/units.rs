//! Guests → unit files. The template unit in the image holds what is the same
//! for all; a drop-in each says the rest.

use crate::formats::unit_file;
use crate::guests::definitions::{Checked, Guest};
use crate::guests::hypervisor::Hypervisor;
use crate::guests::unit;
use appliance_contract::guest::{self, Accel, GuestConfig, ManagedBy, Mode};
use appliance_contract::medium;

const TEMPLATE: &str = "/usr/lib/systemd/system/appliance-guest@.service";
const TARGET: &str = "appliance-guests.target";
/// What the runtime needs, beyond the guest's own bound, to force a guest and clean up.
const AFTER_STOP_TIMEOUT: u32 = 30;
/// A reason quotes what it found, which may be as long as the file.
const LONGEST_REASON: usize = 500;

/// A file to make below the generator's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFile {
    /// Relative to the generator's directory.
    pub path: String,
    /// Text or link.
    pub content: Content,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A regular file with this text.
    Text(String),
    /// A symlink to this path.
    Link(&'static str),
}

/// The units of all guests, in the order given.
pub fn plan(checked: &[Checked], booted: Hypervisor) -> Vec<UnitFile> {
    let mut files = Vec::new();
    for one in checked {
        let unit = unit::name(&one.folder);
        let (text, started) = match &one.outcome {
            Ok(guest) => {
                let config = &guest.config;
                (drop_in(guest, booted), config.autostart && config.managed_by == ManagedBy::Systemd)
            }
            // Always started, so that the boot's list of failed units shows it.
            Err(reason) => (refusal(&one.folder.to_string_lossy(), reason), true),
        };
        files.push(UnitFile { path: format!("{unit}.d/50-guest.conf"), content: Content::Text(text) });
        if started {
            files.push(UnitFile { path: format!("{TARGET}.wants/{unit}"), content: Content::Link(TEMPLATE) });
        }
    }
    files
}

fn drop_in(guest: &Guest, booted: Hypervisor) -> String {
    let Guest { name, config } = guest;
    let description = format!("Guest {name}: {}, {}", config.image, config.memory);
    let mut unit = vec!["[Unit]".to_owned(), format!("Description={}", unit_file::text(&description))];
    unit.extend(config.after.iter().map(|other| format!("After=appliance-guest@{other}.service")));
    let mut service = vec!["[Service]".to_owned()];
    match config.mode {
        _ if config.managed_by == ManagedBy::Cluster => {
            service.extend(["Type=exec", "Restart=no"].map(str::to_owned));
        }
        Mode::Respawn => {
            // After 5 failures in 10 minutes it rests.
            unit.extend(["StartLimitIntervalSec=600", "StartLimitBurst=5"].map(str::to_owned));
            unit.push("OnFailure=appliance-guest-rests@%i.service".to_owned());
            // 1, 2, 5, 12, 26 and then always 60 s. The mode keeps OnFailure= for when it rests.
            let restart =
                ["Restart=always", "RestartMode=direct", "RestartSec=1", "RestartSteps=5", "RestartMaxDelaySec=60"];
            service.push("Type=exec".to_owned());
            service.extend(restart.map(str::to_owned));
        }
        // One that has finished counts as active, so that nothing starts it again.
        Mode::Once => service.extend(["Type=exec", "Restart=no", "RemainAfterExit=yes"].map(str::to_owned)),
        Mode::Wait => {
            service.extend(["Type=notify", "Restart=no", "RemainAfterExit=yes"].map(str::to_owned));
            // Room for one that was updated, is not ready, and starts again with the version before.
            let start = 2 * config.ready_timeout.get() + config.stop_timeout.get() + AFTER_STOP_TIMEOUT;
            service.push(format!("TimeoutStartSec={start}"));
        }
    }
    service.push(format!("TimeoutStopSec={}", config.stop_timeout.get() + AFTER_STOP_TIMEOUT));
    service.extend(limits(config, booted));
    format!("{}\n\n{}\n", unit.join("\n"), service.join("\n"))
}

/// What the unit's processes may take of the host. Under Xen the guest's memory
/// and processors are not the host's; under KVM they are QEMU's.
fn limits(config: &GuestConfig, booted: Hypervisor) -> Vec<String> {
    let xen = match config.hypervisor {
        guest::Hypervisor::Auto => booted == Hypervisor::Xen,
        guest::Hypervisor::Xen => true,
        guest::Hypervisor::Kvm => false,
    };
    if xen {
        return vec!["MemoryMax=256M".to_owned(), "TasksMax=64".to_owned()];
    }
    let memory = config.memory.mebibytes();
    // Page tables and devices; translated code, of which QEMU keeps up to 1 GiB.
    let translated = if config.accel == Accel::Tcg { 1024 } else { 0 };
    let processors = u32::from(config.vcpus.get());
    vec![
        format!("MemoryMax={}M", memory + memory / 8 + 256 + translated),
        // QEMU has up to 64 threads for input and output.
        format!("TasksMax={}", processors + 128),
        format!("CPUQuota={}%", (processors + 1) * 100),
    ]
}

/// A unit that does nothing but fail with the reason.
fn refusal(folder: &str, reason: &str) -> String {
    // It goes to consoles.
    let mut reason = reason.replace(char::is_control, " ");
    if let Some((end, _)) = reason.char_indices().nth(LONGEST_REASON) {
        reason.truncate(end);
        reason.push('…');
    }
    let command = ["guest", "refuse", folder, &reason].map(unit_file::word).join(" ");
    format!(
        "[Unit]\nDescription={}\n\n[Service]\nType=oneshot\nRestart=no\nExecStart=\nExecStart={} {command}\n",
        unit_file::text(&format!("Guest {folder}, which is not started")),
        medium::IN_IMAGE_COMMAND
    )
}
