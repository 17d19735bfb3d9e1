//! PID 1: sets up the world, boots, and becomes systemd.

use crate::boot::console::Console;
use crate::boot::shell;
use crate::boot::{self, Boot, Kernel};
use crate::system::linux::{self, Linux};
use crate::system::machine::{Machine, Places};
use appliance_contract::initramfs::{self, ModuleIndex};
use appliance_contract::kernel_args::{KernelArgs, OnMissing, RootSource};
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Long enough to read what went wrong.
const BEFORE_REBOOT: Duration = Duration::from_secs(30);

/// What PID 1 does. It never returns while the machine can go on: the kernel panics when PID 1 ends.
pub fn run() -> ExitCode {
    let places = Places::below(Path::new("/"));
    let machine = Linux::new(places.clone());
    let mounted = boot::mount_all(&machine, &places);
    linux::use_console(&places);
    let console = Console::open(&places.sys, &places.dev);
    set_panic_hook();
    if let Err(error) = mounted {
        return give_up(&machine, &console, &error.to_string());
    }
    let command_line = read(&places.proc.join("cmdline"));
    console.say(format!("agent {} of the initramfs", env!("CARGO_PKG_VERSION")));
    let log_level = quiet_kernel(&places, &command_line);
    let kernel = Kernel::read(&command_line);
    let index = match read_index(&places) {
        Ok(index) => index,
        Err(error) => {
            console.say(format!("drivers: {error}; only what is built into the kernel works"));
            ModuleIndex::default()
        }
    };
    match kernel.args {
        Ok(args) => boot::boot(&mut Boot::new(&machine, places.clone(), &console, args, &index)),
        Err(error) => {
            console.say(format!("kernel arguments: {error}"));
            let mut boot = Boot::new(&machine, places.clone(), &console, no_args(kernel.on_missing), &index);
            boot::ask_operator(&mut boot);
            return give_up(&machine, &console, "the kernel's arguments can only be mended in the boot menu");
        }
    }
    if let Some(level) = log_level {
        // Moved by now with the rest of /proc.
        let _ = fs::write(places.sysroot.join("proc/sys/kernel/printk"), level);
    }
    boot::empty_initramfs(Path::new("/"));
    let error = linux::switch_root(&places.sysroot, "/sbin/init");
    if let Some(damage) = boot::damage(&machine) {
        console.say(boot::RootError::Damaged(damage).to_string());
    }
    give_up(&machine, &console, &format!("starting /sbin/init of the image: {error}"))
}

/// The built-in shell, started by PID 1 on a console.
pub fn run_shell() -> ExitCode {
    let places = Places::below(Path::new("/"));
    let machine = Linux::new(places.clone());
    let console = Console::open(&places.sys, &places.dev);
    let kernel = Kernel::read(&read(&places.proc.join("cmdline")));
    let index = read_index(&places).unwrap_or_default();
    let args = kernel.args.unwrap_or_else(|_| no_args(kernel.on_missing));
    shell::run(&mut Boot::new(&machine, places, &console, args, &index));
    ExitCode::SUCCESS
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn read_index(places: &Places) -> Result<ModuleIndex, String> {
    let path = places.initramfs.join(initramfs::INDEX.trim_start_matches('/'));
    let text = fs::read_to_string(&path).map_err(|error| format!("reading {}: {error}", path.display()))?;
    ModuleIndex::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// For a shell when the arguments themselves are wrong: nothing to open.
fn no_args(on_missing: OnMissing) -> KernelArgs {
    KernelArgs {
        root: RootSource::Device { name: String::new() },
        root_hash: None,
        action: appliance_contract::kernel_args::Action::Boot,
        config: appliance_contract::kernel_args::ConfigChoice::Auto,
        timeout: appliance_contract::kernel_args::DEFAULT_TIMEOUT,
        on_missing,
        role: appliance_contract::marker::Role::Host,
    }
}

/// Keeps the kernel's messages below errors off the console, where they would
/// fall into the agent's lines; they stay in the log. Returns what it was.
fn quiet_kernel(places: &Places, command_line: &str) -> Option<String> {
    if command_line.split_ascii_whitespace().any(|word| matches!(word, "debug" | "ignore_loglevel")) {
        return None;
    }
    let path = places.proc.join("sys/kernel/printk");
    let before = fs::read_to_string(&path).ok()?;
    fs::write(&path, "4").ok()?;
    before.split_ascii_whitespace().next().map(str::to_owned)
}

/// A fault of the agent itself must not end PID 1 at once: the message would scroll away in the kernel's panic.
fn set_panic_hook() {
    std::panic::set_hook(Box::new(|fault| {
        let places = Places::below(Path::new("/"));
        let console = Console::open(&places.sys, &places.dev);
        console.say(format!("internal error: {fault}"));
        if std::process::id() == 1 {
            give_up(&Linux::new(places), &console, "the boot cannot go on");
        }
    }));
}

fn give_up(machine: &Linux, console: &Console, reason: &str) -> ExitCode {
    console.say(format!("{reason}; rebooting in {} s", BEFORE_REBOOT.as_secs()));
    machine.sleep(BEFORE_REBOOT);
    console.say(format!("rebooting: {}", machine.reboot()));
    ExitCode::FAILURE
}
