//! What the agent says: one line a message, each begun with `appliance:`, on
//! every console that the kernel was given.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The consoles of the machine: the kernel's, and all others that it writes to.
#[derive(Debug)]
pub struct Console {
    outputs: RefCell<Vec<Output>>,
    /// Names below `/dev`, the kernel's `/dev/console` last.
    terminals: Vec<String>,
    /// What was said, for tests.
    said: Option<RefCell<Vec<String>>>,
}

#[derive(Debug)]
struct Output {
    path: PathBuf,
    file: File,
}

/// The consoles in use, as `/sys/class/tty/console/active` lists them: the one
/// that is `/dev/console` stands last.
pub fn active(sys: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(sys.join("class/tty/console/active")).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

impl Console {
    /// Opens every active console; one that cannot be opened is left out.
    pub fn open(sys: &Path, dev: &Path) -> Self {
        let mut terminals = active(sys);
        let mut outputs: Vec<Output> = terminals.iter().filter_map(|name| open(dev.join(name))).collect();
        if outputs.is_empty() {
            outputs.extend(open(dev.join("console")));
            terminals = vec!["console".to_owned()];
        }
        Self { outputs: RefCell::new(outputs), terminals, said: None }
    }

    /// One that keeps its lines instead of printing them.
    pub fn kept() -> Self {
        Self {
            outputs: RefCell::default(),
            terminals: vec!["ttyS0".into(), "tty0".into()],
            said: Some(RefCell::default()),
        }
    }

    /// Names below `/dev`, one for each console that takes a shell.
    pub fn terminals(&self) -> &[String] {
        &self.terminals
    }

    /// Prints each line of `text`. A console that fails must not stop the boot.
    pub fn say(&self, text: impl AsRef<str>) {
        for line in text.as_ref().lines() {
            let bytes = format!("appliance: {}\n", printable(line));
            for output in self.outputs.borrow_mut().iter_mut() {
                output.write(bytes.as_bytes());
            }
            if let Some(said) = &self.said {
                said.borrow_mut().push(line.to_owned());
            }
        }
    }

    /// What was printed so far, for tests.
    pub fn said(&self) -> Vec<String> {
        self.said.as_ref().map(|said| said.borrow().clone()).unwrap_or_default()
    }
}

impl Output {
    /// A terminal whose shell has ended is hung up, and every file open on it fails from then on: it is opened anew.
    fn write(&mut self, bytes: &[u8]) {
        if self.file.write_all(bytes).is_err()
            && let Some(mut anew) = open(self.path.clone())
            && anew.file.write_all(bytes).is_ok()
        {
            *self = anew;
        }
    }
}

fn open(path: PathBuf) -> Option<Output> {
    // Opening a serial line without carrier must not block the boot; writing may, or lines would be lost.
    let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().write(true).custom_flags(flags.bits()).open(&path).ok()?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty())).ok()?;
    Some(Output { path, file })
}

/// A label or a marker comes from a disk: it must not send control sequences to the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_begins_with_the_name_and_reaches_every_console() {
        let folder = tempfile::tempdir().unwrap();
        let (sys, dev) = (folder.path().join("sys"), folder.path().join("dev"));
        std::fs::create_dir_all(sys.join("class/tty/console")).unwrap();
        std::fs::create_dir_all(&dev).unwrap();
        std::fs::write(sys.join("class/tty/console/active"), "tty0 ttyS0\n").unwrap();
        for name in ["tty0", "ttyS0"] {
            std::fs::write(dev.join(name), "").unwrap();
        }
        let console = Console::open(&sys, &dev);
        console.say("one\ntwo\x1b[2J");
        for name in ["tty0", "ttyS0"] {
            let text = std::fs::read_to_string(dev.join(name)).unwrap();
            assert_eq!(text, "appliance: one\nappliance: two?[2J\n");
        }
        assert_eq!(console.terminals(), ["tty0", "ttyS0"]);
    }

    #[test]
    fn a_terminal_that_was_hung_up_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ttyS0");
        std::fs::write(&path, "").unwrap();
        // Open for reading alone: writing to it fails, as to a terminal after its hang-up.
        let mut output = Output { file: File::open(&path).unwrap(), path: path.clone() };
        output.write(b"still here");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "still here");
    }

    #[test]
    fn falls_back_to_the_one_console() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("console"), "").unwrap();
        let console = Console::open(folder.path(), folder.path());
        console.say("here");
        assert_eq!(std::fs::read_to_string(folder.path().join("console")).unwrap(), "appliance: here\n");
    }
}
