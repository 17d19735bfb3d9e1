//! `appliance status` for people.

use super::guest_text;
use super::node_status::{Status, Verity};
use super::time_text::span;

pub fn render(status: &Status) -> String {
    let boot = &status.boot;
    let mut page = Page::default();
    page.line("image", format!("{} {}", boot.image.name, boot.image.version));
    page.line("kernel", kernel(status));
    let mut root = format!("{} on {}", boot.root.source, boot.root.device);
    if boot.root.offset != 0 {
        root += &format!(" from byte {}", boot.root.offset);
    }
    if let Some(mount) = &status.root {
        root += &format!("; {}, {}", mount.file_system, if mount.read_only { "read-only" } else { "WRITABLE" });
    }
    page.line("root", root);
    page.line("verity", verity(status));
    match &boot.config {
        Some(config) => {
            let mut names = vec![config.file_system.clone()];
            names.extend(config.uuid.iter().map(|uuid| format!("UUID {uuid}")));
            names.extend(config.label.iter().map(|label| format!("label {label}")));
            page.line("config", format!("{} ({})", config.device, names.join(", ")));
            let generation = config.generation.as_ref().map(|text| format!(", generation {text}"));
            page.line("node", format!("{}{}", config.node, generation.unwrap_or_default()));
            page.list("also there", config.others.iter().map(|other| format!("{other}, of the same node")));
        }
        None => page.line("config", "none".to_owned()),
    }
    page.line("machine-id", boot.machine_id.clone());
    page.line("/etc", etc(status));
    page.list("/etc links", boot.etc.global_links.iter().cloned());
    page.list("left out", boot.etc.dropped.iter().map(|item| format!("{}: {}", item.device, item.reason)));
    page.line("/var", var(status));
    page.list("refused", boot.refused.iter().map(|item| format!("{}: {}", item.device, item.reason)));
    page.list("trouble", status.trouble.iter().cloned());
    if !status.guests.is_empty() {
        page.list("guests", guest_text::table(&status.guests).lines().map(str::to_owned));
    }
    let steps = boot.steps.iter();
    page.list(
        "boot",
        steps.map(|step| format!("{:>8} s  {:>7} s  {}", seconds(step.started_ms), seconds(step.took_ms), step.name)),
    );
    if boot.warnings.is_empty() {
        page.line("warnings", "none".to_owned());
    } else {
        page.list("warnings", boot.warnings.iter().cloned());
    }
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, key: &str, value: String) {
        self.text += &format!("{key:<12}{value}\n");
    }

    /// The key stands beside the first of several lines; nothing stands for none.
    fn list(&mut self, key: &str, values: impl Iterator<Item = String>) {
        for (number, value) in values.enumerate() {
            self.line(if number == 0 { key } else { "" }, value);
        }
    }
}

fn kernel(status: &Status) -> String {
    let mut text = format!("Linux {}", status.kernel.as_deref().unwrap_or("unknown"));
    if let Some(hypervisor) = &status.hypervisor {
        text += &format!(" under {hypervisor}");
    }
    if let Some(up) = status.uptime_s {
        text += &format!(", up {}", span(up));
    }
    text
}

fn verity(status: &Status) -> String {
    let hash = status.boot.root.root_hash.map_or(String::new(), |hash| hash.to_string());
    match &status.verity {
        Verity::Unverified => "not verified (appliance.roothash=none)".to_owned(),
        Verity::Verified => format!("verified, hash {hash}"),
        Verity::Corrupted => format!("CORRUPTED: a block was met that hash {hash} does not cover"),
        Verity::Unknown { reason } => format!("verified at boot, hash {hash}; its state now is unknown: {reason}"),
    }
}

fn etc(status: &Status) -> String {
    let etc = &status.boot.etc;
    let changes = match status.changes_in_memory {
        Some(0) => "nothing changed since in memory".to_owned(),
        Some(count) => format!("{count} changed since in memory (appliance etc diff)"),
        None => "changes in memory are for root to see".to_owned(),
    };
    format!("{} files, {} bytes from the config; {changes}", etc.files, etc.bytes)
}

fn var(status: &Status) -> String {
    let mut text = status.boot.var.clone();
    if let Some(mount) = &status.var {
        text += &format!(" ({}, {})", mount.file_system, mount.source);
    }
    if let Some(reason) = &status.boot.var_degraded {
        text += &format!("; DEGRADED: in memory because {reason}");
    }
    text
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}
