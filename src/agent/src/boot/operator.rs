//! What happens when a step fails: a shell on every console (while the devices
//! are watched), waiting, or a reboot.
//!
//! Whoever holds the console holds the machine; nothing secret has been opened
//! at this point. `wait` and `reboot` never give a shell.

use super::Boot;
use crate::system::machine::{Places, ProcessId, Shell};
use appliance_contract::kernel_args::OnMissing;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(10);
const BEFORE_REBOOT: Duration = Duration::from_secs(10);
/// How often the shells and the devices are looked at while a shell is open.
const WATCH: Duration = Duration::from_millis(250);
/// A shell that ends sooner, and not with status 0, was left by nobody: it could not run.
const BROKEN: Duration = Duration::from_millis(700);

/// Returns when it is worth trying again.
pub fn on_missing(boot: &mut Boot<'_>, shell: Shell, watch: &mut dyn FnMut(&mut Boot<'_>)) {
    match boot.args.on_missing {
        OnMissing::Shell => {
            let what = match shell {
                Shell::Image => "a shell of the image",
                Shell::BuiltIn => "the agent's own shell (help tells its commands)",
            };
            boot.console.say(format!("{what} is open on this console; leave it (exit) to look again"));
            shells(boot, shell, watch);
            boot.console.say("looking again");
        }
        OnMissing::Wait => {
            boot.console.say(format!("looking again in {} s, or when a device appears", WAIT.as_secs()));
            let begun = boot.machine.uptime();
            while boot.machine.uptime().saturating_sub(begun) < WAIT {
                if boot.poll() {
                    return;
                }
                boot.machine.sleep(WATCH);
            }
        }
        OnMissing::Reboot => {
            boot.console.say(format!("rebooting in {} s (appliance.on-missing=reboot)", BEFORE_REBOOT.as_secs()));
            boot.machine.sleep(BEFORE_REBOOT);
            let error = boot.machine.reboot();
            boot.console.say(format!("rebooting: {error}"));
        }
    }
}

/// `appliance.action=rescue`: a shell with the root mounted and nothing else done.
pub fn rescue(boot: &mut Boot<'_>) {
    if boot.args.on_missing != OnMissing::Shell {
        boot.console.say("rescue: the image turns the shell off (appliance.on-missing); booting as usual");
        return;
    }
    boot.console.say("rescue: a shell of the image is open on this console; leave it (exit) to go on with the boot");
    shells(boot, Shell::Image, &mut |boot| {
        boot.poll();
    });
}

/// Opens a shell on every console and returns when one of them is left.
fn shells(boot: &mut Boot<'_>, shell: Shell, watch: &mut dyn FnMut(&mut Boot<'_>)) {
    let bound = if shell == Shell::Image { bind(boot) } else { Vec::new() };
    let started = boot.machine.uptime();
    let mut running: Vec<ProcessId> = Vec::new();
    for terminal in boot.console.terminals() {
        match boot.machine.start_shell(shell, terminal) {
            Ok(process) => running.push(process),
            Err(error) => boot.console.say(format!("starting a shell on /dev/{terminal}: {error}")),
        }
    }
    let mut left_by_operator = false;
    while !running.is_empty() {
        let ended = boot.machine.reap();
        let early = boot.machine.uptime().saturating_sub(started) < BROKEN;
        let (gone, left): (Vec<_>, Vec<_>) =
            running.iter().partition(|&process| ended.iter().any(|ended| ended.process == *process));
        running = left;
        if ended.iter().any(|ended| gone.contains(&ended.process) && (ended.clean || !early)) {
            left_by_operator = true;
            break;
        }
        watch(boot);
        boot.machine.sleep(WATCH);
    }
    if !left_by_operator {
        // No console takes a shell: not a reason to spin.
        boot.machine.sleep(WAIT);
    }
    for process in running {
        boot.machine.end(process);
    }
    for target in bound.iter().rev() {
        // A shell's left-over process may hold it; it is let go then.
        let _ = boot.machine.unmount(target);
    }
}

/// Makes the kernel's trees show inside the image, for its programs.
pub fn bind(boot: &Boot<'_>) -> Vec<PathBuf> {
    let Places { proc, sys, dev, run, sysroot, config, .. } = &boot.places;
    let mut bound = Vec::new();
    for (from, name) in [(proc, "proc"), (sys, "sys"), (dev, "dev"), (run, "run"), (config, "config")] {
        let target = sysroot.join(name);
        match boot.machine.bind(from, &target) {
            Ok(()) => bound.push(target),
            // The image may have no /config; the shell works without.
            Err(error) if name != "config" => {
                boot.console.say(format!("binding {} to {}: {error}", from.display(), target.display()));
            }
            Err(_) => {}
        }
    }
    // Somewhere to mount a stick and to write.
    let target = sysroot.join("tmp");
    if fs::symlink_metadata(&target).is_ok() && boot.mount_memory(&target, "50%").is_ok() {
        bound.push(target);
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::tests::World;

    #[test]
    fn a_shell_opens_on_every_console_and_leaving_one_ends_the_others() {
        let world = World::new();
        let index = world.index(&[]);
        let mut boot = world.boot(&index);
        world.shells_end_after(Duration::from_secs(3));
        let mut watched = 0;
        on_missing(&mut boot, Shell::BuiltIn, &mut |_| watched += 1);
        assert!(watched > 5, "{watched}");
        assert_eq!(world.log(), ["shell BuiltIn on ttyS0", "shell BuiltIn on tty0", "end 2"]);
    }

    #[test]
    fn wait_and_reboot_never_give_a_shell() {
        for choice in [OnMissing::Wait, OnMissing::Reboot] {
            let world = World::new();
            let index = world.index(&[]);
            let mut boot = world.boot(&index);
            boot.args.on_missing = choice;
            on_missing(&mut boot, Shell::Image, &mut |_| {});
            rescue(&mut boot);
            assert!(!world.log().iter().any(|line| line.starts_with("shell")), "{:?}", world.log());
            assert_eq!(world.log().contains(&"reboot".to_owned()), choice == OnMissing::Reboot);
        }
    }

    #[test]
    fn a_console_that_takes_no_shell_does_not_end_the_others() {
        let world = World::new();
        let index = world.index(&[]);
        let mut boot = world.boot(&index);
        world.shells_fail();
        let before = boot.machine.uptime();
        on_missing(&mut boot, Shell::BuiltIn, &mut |_| {});
        assert!(boot.machine.uptime() - before >= WAIT, "must not spin");
    }

    #[test]
    fn a_shell_that_is_left_at_once_is_left_all_the_same() {
        let world = World::new();
        let index = world.index(&[]);
        let mut boot = world.boot(&index);
        world.shells_end_after(Duration::ZERO);
        on_missing(&mut boot, Shell::BuiltIn, &mut |_| {});
        assert!(boot.machine.uptime() < WATCH, "{:?}", boot.machine.uptime());
    }
}
