//! The boot entries as data; the menu and the manifest are both made of them.

use crate::profile::{Boot, Hypervisor, Protocol};
use appliance_contract::Sha256;
use appliance_contract::kernel_args::{Action, ConfigChoice, DEFAULT_TIMEOUT, KernelArgs, OnMissing, RootSource};
use appliance_contract::{manifest, marker::Role, medium};
use serde_json::{Value, json};

/// Where the microcode archive lies on a medium.
pub const MICROCODE: &str = "/boot/microcode.cpio";

/// The boot entries of a medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries {
    /// In the order of the menu; the first is the default.
    pub entries: Vec<Entry>,
    /// Why an entry that the profile asks for is not there.
    pub warnings: Vec<String>,
}

/// A line of the boot menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name for GRUB's `default` and for the manifest.
    pub id: &'static str,
    /// What the menu shows.
    pub title: String,
    /// The key that starts it from the menu; c and e are GRUB's own there.
    pub hotkey: char,
    /// What the loader does, in order.
    pub steps: Vec<Step>,
    /// What the kernel of the image (not Xen) is told.
    pub kernel_arguments: String,
}

/// A command of the boot loader: what to load, and the words after its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// GRUB's command.
    pub verb: &'static str,
    /// Files on the medium that the command loads.
    pub paths: Vec<String>,
    /// The words after the paths.
    pub arguments: Vec<String>,
}

impl Step {
    fn new(verb: &'static str, path: &str, arguments: Vec<String>) -> Self {
        Self { verb, paths: vec![path.to_owned()], arguments }
    }
}

/// What entries are made from.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// How the profile boots.
    pub boot: &'a Boot,
    /// The profile's name and version, for titles.
    pub name: &'a str,
    /// See `name`.
    pub version: &'a str,
    /// Whether the image is of a host or of a guest.
    pub role: Role,
    /// `None` for a system without the agent.
    pub root: Option<(RootSource, Sha256)>,
    /// The kernel's path on the medium.
    pub kernel: &'a str,
    /// Whether the image has Xen.
    pub has_xen: bool,
    /// Whether the medium has [`MICROCODE`].
    pub has_microcode: bool,
}

impl Entries {
    /// The entries that the profile asks for and the image can start.
    pub fn new(request: &Request<'_>) -> Self {
        match &request.root {
            Some((source, hash)) => appliance(request, source, *hash),
            None => foreign(request),
        }
    }

    /// The entry that starts when nobody chooses: the first.
    pub fn default_id(&self) -> &'static str {
        self.entries.first().map_or("", |entry| entry.id)
    }

    /// The same where Secure Boot refuses multiboot2.
    pub fn default_without_multiboot2(&self) -> &'static str {
        self.entries.iter().find(|entry| !entry.needs_multiboot2()).map_or("", |entry| entry.id)
    }

    /// The entries as the manifest lists them.
    pub fn manifest(&self) -> Vec<manifest::BootEntry> {
        let entry = |entry: &Entry| manifest::BootEntry {
            id: entry.id.to_owned(),
            title: entry.title.clone(),
            kernel_arguments: entry.kernel_arguments.clone(),
        };
        self.entries.iter().map(entry).collect()
    }

    /// What the menu's template sees.
    pub fn context(&self) -> Vec<Value> {
        let entry = |entry: &Entry| {
            json!({
                "id": entry.id,
                "title": quoted(&entry.title),
                "hotkey": entry.hotkey.to_string(),
                "multiboot2": entry.needs_multiboot2(),
                "commands": entry.steps.iter().map(Step::line).collect::<Vec<_>>(),
            })
        };
        self.entries.iter().map(entry).collect()
    }
}

impl Entry {
    /// Whether GRUB needs its Multiboot2 module for it.
    pub fn needs_multiboot2(&self) -> bool {
        self.steps.iter().any(|step| step.verb == "multiboot2")
    }
}

impl Step {
    fn line(&self) -> String {
        let words = self.paths.iter().map(String::as_str).chain(self.arguments.iter().map(String::as_str));
        std::iter::once(self.verb.to_owned()).chain(words.map(word)).collect::<Vec<_>>().join(" ")
    }
}

fn linux(request: &Request<'_>, arguments: Vec<String>, initramfs: bool) -> Vec<Step> {
    let mut steps = vec![Step::new("linux", request.kernel, arguments)];
    if initramfs {
        let mut initrd = Step::new("initrd", medium::INITRAMFS, Vec::new());
        if request.has_microcode {
            // The kernel looks for microcode in the first archive alone.
            initrd.paths.insert(0, MICROCODE.to_owned());
        }
        steps.push(initrd);
    }
    steps
}

fn xen(request: &Request<'_>, arguments: Vec<String>, initramfs: bool) -> Vec<Step> {
    let mut steps = vec![
        Step::new("multiboot2", medium::XEN, xen_arguments(request)),
        Step::new("module2", request.kernel, arguments),
    ];
    if initramfs {
        steps.push(Step::new("module2", medium::INITRAMFS, Vec::new()));
    }
    if request.has_microcode {
        // Last: Xen gives dom0 the first module after the kernel as its initramfs.
        steps.push(Step::new("module2", MICROCODE, Vec::new()));
    }
    steps
}

fn appliance(request: &Request<'_>, root: &RootSource, hash: Sha256) -> Entries {
    let Request { boot, name, version, .. } = request;
    let arguments = |action, consoles: Vec<String>| {
        let args = KernelArgs {
            root: root.clone(),
            root_hash: Some(hash),
            action,
            config: ConfigChoice::Auto,
            timeout: DEFAULT_TIMEOUT,
            on_missing: boot.on_missing,
            role: request.role,
        };
        let mut words: Vec<String> = args.to_string().split(' ').map(str::to_owned).collect();
        words.push("ro".to_owned());
        words.extend(consoles);
        words.extend(boot.kernel_arguments.iter().cloned());
        words
    };
    let entry = |id, title: String, hotkey, steps: Vec<Step>, arguments: &[String]| Entry {
        id,
        title,
        hotkey,
        steps,
        kernel_arguments: arguments.join(" "),
    };
    let plain = || linux_consoles(boot);
    let mut entries = Vec::new();
    let mut warnings = Vec::new();
    for hypervisor in &boot.hypervisors {
        match hypervisor {
            Hypervisor::Xen if request.has_xen => {
                let words = arguments(Action::Boot, dom0_consoles(boot));
                let steps = xen(request, words.clone(), true);
                entries.push(entry("xen", format!("{name} {version} Xen host"), 'x', steps, &words));
            }
            Hypervisor::Xen => warnings.push(
                "boot.hypervisors names xen, but the image holds no /boot/xen-*.gz: the menu goes without; \
                 add a xen-hypervisor package"
                    .to_owned(),
            ),
            Hypervisor::Kvm => {
                let words = arguments(Action::Boot, plain());
                let steps = linux(request, words.clone(), true);
                entries.push(entry("kvm", format!("{name} {version} KVM host"), 'k', steps, &words));
            }
        }
    }
    if entries.is_empty() {
        let words = arguments(Action::Boot, plain());
        entries.push(entry("linux", format!("{name} {version}"), 'l', linux(request, words.clone(), true), &words));
    }
    let words = arguments(Action::Check, plain());
    entries.push(entry("check", "Check this medium".into(), 'm', linux(request, words.clone(), true), &words));
    // A profile that turns the shell off does not offer one in the menu either.
    if boot.on_missing == OnMissing::Shell {
        let words = arguments(Action::Rescue, plain());
        entries.push(entry("rescue", "Rescue shell".into(), 'r', linux(request, words.clone(), true), &words));
    }
    Entries { entries, warnings }
}

/// A system that is not ours: its own kernel, by its own protocol, with the profile's arguments alone.
fn foreign(request: &Request<'_>) -> Entries {
    let boot = request.boot;
    let own = boot.kernel_arguments.clone();
    let with = |consoles: Vec<String>| consoles.into_iter().chain(own.iter().cloned()).collect::<Vec<_>>();
    let (words, steps) = match boot.protocol {
        Protocol::Linux => {
            let words = with(linux_consoles(boot));
            (words.clone(), linux(request, words, false))
        }
        Protocol::Multiboot => (own.clone(), vec![Step::new("multiboot", request.kernel, own)]),
        Protocol::Multiboot2 => (own.clone(), vec![Step::new("multiboot2", request.kernel, own)]),
        Protocol::Xen => {
            let words = with(Vec::new());
            (words.clone(), xen(request, words, false))
        }
    };
    let title = format!("{} {}", request.name, request.version);
    let entry = Entry { id: "system", title, hotkey: 's', steps, kernel_arguments: words.join(" ") };
    Entries { entries: vec![entry], warnings: Vec::new() }
}

fn linux_consoles(boot: &Boot) -> Vec<String> {
    boot.consoles.iter().map(|console| format!("console={console}")).collect()
}

/// In dom0 a serial port is Xen's, which offers it as hvc0.
fn dom0_consoles(boot: &Boot) -> Vec<String> {
    let mut consoles = vec!["earlyprintk=xen".to_owned()];
    for console in &boot.consoles {
        let own = if serial_port(console).is_some() { "console=hvc0".into() } else { format!("console={console}") };
        if !consoles.contains(&own) {
            consoles.push(own);
        }
    }
    consoles
}

fn xen_arguments(request: &Request<'_>) -> Vec<String> {
    let boot = request.boot;
    let mut words = Vec::new();
    let mut names = Vec::new();
    for (number, speed) in boot.consoles.iter().filter_map(|console| serial_port(console)) {
        // Xen counts ports from 1 and knows two.
        if number < 2 {
            words.push(format!("com{}={speed},8n1", number + 1));
            names.push(format!("com{}", number + 1));
        }
    }
    names.push("vga".to_owned());
    words.push(format!("console={}", names.join(",")));
    if request.has_microcode {
        words.push("ucode=scan".to_owned());
    }
    words.extend(boot.xen_arguments.iter().cloned());
    words
}

/// Number and speed of a console that is a serial port: `ttyS0,115200`.
pub fn serial_port(console: &str) -> Option<(u32, u32)> {
    let (name, options) = console.split_once(',').unwrap_or((console, ""));
    let number = name.strip_prefix("ttyS")?.parse().ok()?;
    let digits: String = options.chars().take_while(char::is_ascii_digit).collect();
    // 9600 is the kernel's own value where none is given (Documentation/admin-guide/serial-console.rst).
    Some((number, digits.parse().unwrap_or(9600)))
}

/// A word of GRUB's shell (GRUB manual, 6.1), quoted where it has to be.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-_./,:=@%^~".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    quoted(text)
}

/// In single quotes nothing but the quote itself has a meaning.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
