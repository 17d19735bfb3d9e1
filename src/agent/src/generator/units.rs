//! Makes unit files of guests. The template unit in the image has what is the same
//! for all guests; each guest's drop-in has the rest.

use crate::formats::unit_file;
use crate::guests::definitions::{Checked, Guest};
use crate::guests::hypervisor::Hypervisor;
use crate::guests::unit;
use appliance_contract::guest::{self, Accel, GuestConfig, ManagedBy, Mode};
use appliance_contract::medium;

const TEMPLATE: &str = "/usr/lib/systemd/system/appliance-guest@.service";
const TARGET: &str = "appliance-guests.target";
/// Seconds that the supervisor needs, after the guest's own timeout, to kill a guest and clean up.
const AFTER_STOP_TIMEOUT: u32 = 30;
/// Bounds a reason: it quotes what was found, which may be as long as the file.
const LONGEST_REASON: usize = 500;

/// A file to make below the generator's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFile {
    /// Relative to the generator's directory.
    pub path: String,
    /// Text or symlink.
    pub content: Content,
}

/// The content of a path.
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
            // Always started, so that it appears in the boot's list of failed units.
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
            // After 5 failures in 10 minutes it is not restarted any more.
            unit.extend(["StartLimitIntervalSec=600", "StartLimitBurst=5"].map(str::to_owned));
            unit.push("OnFailure=appliance-guest-rests@%i.service".to_owned());
            // Backoff of 1, 2, 5, 12, 26 s, then 60 s. The mode defers OnFailure= until restarts end.
            let restart =
                ["Restart=always", "RestartMode=direct", "RestartSec=1", "RestartSteps=5", "RestartMaxDelaySec=60"];
            service.push("Type=exec".to_owned());
            service.extend(restart.map(str::to_owned));
        }
        // A guest that has finished counts as active, so that nothing starts it again.
        Mode::Once => service.extend(["Type=exec", "Restart=no", "RemainAfterExit=yes"].map(str::to_owned)),
        Mode::Wait => {
            service.extend(["Type=notify", "Restart=no", "RemainAfterExit=yes"].map(str::to_owned));
            // Twice the time: an updated guest that is not ready starts again with the previous version.
            let start = 2 * config.ready_timeout.get() + config.stop_timeout.get() + AFTER_STOP_TIMEOUT;
            service.push(format!("TimeoutStartSec={start}"));
        }
    }
    service.push(format!("TimeoutStopSec={}", config.stop_timeout.get() + AFTER_STOP_TIMEOUT));
    service.extend(limits(config, booted));
    format!("{}\n\n{}\n", unit.join("\n"), service.join("\n"))
}

/// The resource limits of the unit's processes. Under Xen the guest's memory and
/// processors are not part of the host's; under KVM they belong to QEMU.
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
    // Page tables and devices; with emulation also QEMU's translation cache of up to 1 GiB.
    let translated = if config.accel == Accel::Tcg { 1024 } else { 0 };
    let processors = u32::from(config.vcpus.get());
    vec![
        format!("MemoryMax={}M", memory + memory / 8 + 256 + translated),
        // QEMU has up to 64 I/O threads.
        format!("TasksMax={}", processors + 128),
        format!("CPUQuota={}%", (processors + 1) * 100),
    ]
}

/// A unit that only fails with the reason.
fn refusal(folder: &str, reason: &str) -> String {
    // The text is printed on consoles.
    let mut reason = reason.replace(char::is_control, " ");
    if let Some((end, _)) = reason.char_indices().nth(LONGEST_REASON) {
        reason.truncate(end);
        reason.push('…');
    }
    let command = ["guest", "refuse", folder, &reason].map(unit_file::word).join(" ");
    format!(
        "[Unit]\nDescription={}\n\n[Service]\nType=oneshot\nRestart=no\nExecStart=\nExecStart={} {command}\n",
        unit_file::text(&format!("Guest {folder} (not started)")),
        medium::IN_IMAGE_COMMAND
    )
}
