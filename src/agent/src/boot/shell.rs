//! The agent's own shell, for when there is no root image to take one from.

use super::console::printable;
use crate::boot::{Boot, describe_blocks, look_for_config};
use std::fs;
use std::io::{self, BufRead, Write};

const HELP: &str = "\
help                 this list
devices              block devices, and what a look at each finds
config               look for the config partition, and say why each candidate is refused
ls [FOLDER]          names in a folder
cat FILE             a file's text
mount list           what is mounted
dmesg                the kernel's last messages
modprobe NAME        load a driver that the initramfs holds
retry, exit          leave the shell: the boot looks again
reboot, poweroff     end here";

/// Lines of the kernel's log that `dmesg` prints.
const TAIL: usize = 60;

/// Reads commands until the operator leaves.
pub fn run(boot: &mut Boot<'_>) {
    let mut lines = io::stdin().lock().lines();
    loop {
        print!("appliance: shell> ");
        let _ = io::stdout().flush();
        let Some(Ok(line)) = lines.next() else { return };
        let words: Vec<&str> = line.split_whitespace().collect();
        match command(boot, &words) {
            Outcome::Said(text) => println!("{text}"),
            Outcome::Nothing => {}
            Outcome::Leave => return,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Said(String),
    Nothing,
    Leave,
}

fn command(boot: &mut Boot<'_>, words: &[&str]) -> Outcome {
    let text = match *words {
        [] => return Outcome::Nothing,
        ["help"] => HELP.to_owned(),
        ["retry" | "exit"] => return Outcome::Leave,
        ["devices"] => describe_blocks(&boot.places).join("\n"),
        ["config"] => match look_for_config(boot, None) {
            Ok(found) => found.decision.lines(&found.candidates).join("\n"),
            Err(error) => error.to_string(),
        },
        ["ls"] => list("/"),
        ["ls", folder] => list(folder),
        ["cat", file] => match fs::read(file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).lines().map(printable).collect::<Vec<_>>().join("\n"),
            Err(error) => format!("{file}: {error}"),
        },
        ["mount"] | ["mount", "list"] => fs::read_to_string(boot.places.proc.join("mounts")).unwrap_or_default(),
        ["dmesg"] => {
            let log = boot.machine.kernel_log();
            log[log.len().saturating_sub(TAIL)..].iter().map(|line| printable(line)).collect::<Vec<_>>().join("\n")
        }
        ["modprobe", name] => {
            if boot.index.modules.get(name).is_none_or(|module| module.file.is_none()) {
                format!("{name}: not among the initramfs's {} modules", boot.index.modules.len())
            } else {
                boot.load_named(&[name]);
                format!("{name}: loaded")
            }
        }
        ["reboot"] => boot.machine.reboot().to_string(),
        ["poweroff"] => boot.machine.power_off().to_string(),
        [unknown, ..] => format!("{unknown}: not a command of this shell, help tells those that are"),
    };
    Outcome::Said(text)
}

fn list(folder: &str) -> String {
    match fs::read_dir(folder) {
        Ok(entries) => {
            let mut names: Vec<String> =
                entries.flatten().map(|entry| printable(&entry.file_name().to_string_lossy())).collect();
            names.sort();
            names.join("\n")
        }
        Err(error) => format!("{folder}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::tests::World;

    #[test]
    fn leaves_on_exit_and_on_retry_and_explains_the_rest() {
        let world = World::new();
        let index = world.index(&[("ahci", "pci:x")]);
        let mut boot = world.boot(&index);
        assert_eq!(command(&mut boot, &["exit"]), Outcome::Leave);
        assert_eq!(command(&mut boot, &["retry"]), Outcome::Leave);
        assert_eq!(command(&mut boot, &[]), Outcome::Nothing);
        let said = |outcome| match outcome {
            Outcome::Said(text) => text,
            other => format!("{other:?}"),
        };
        assert!(said(command(&mut boot, &["rm", "-rf"])).contains("not a command"));
        assert!(said(command(&mut boot, &["modprobe", "zfs"])).contains("not among"));
        assert_eq!(said(command(&mut boot, &["modprobe", "ahci"])), "ahci: loaded");
        assert_eq!(world.log(), ["module ahci.ko"]);
        assert!(said(command(&mut boot, &["config"])).contains("no block device was found"));
    }
}
