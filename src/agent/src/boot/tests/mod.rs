//! A made-up machine: trees in a temporary folder, a clock that only sleeping
//! moves (and asking it, where a test wants that), and a kernel that writes down what it is asked.

mod flow;
mod steps;

use super::Boot;
use super::console::Console;
use crate::system::machine::{Ended, Machine, Mount, Places, ProcessId, Shell};
use crate::system::sys::Target;
use appliance_contract::initramfs::{Module, ModuleIndex};
use appliance_contract::kernel_args::KernelArgs;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

type Event = Box<dyn Fn(&World)>;

pub struct World {
    folder: tempfile::TempDir,
    console: Console,
    now: Cell<Duration>,
    tick: Cell<Duration>,
    log: RefCell<Vec<String>>,
    read_only: RefCell<BTreeSet<PathBuf>>,
    /// What mounting a device shows, or the error's text.
    volumes: RefCell<BTreeMap<String, Result<PathBuf, String>>>,
    shells_end: Cell<Duration>,
    shells: Cell<i32>,
    shells_fail: Cell<bool>,
    events: RefCell<Vec<(Duration, Event)>>,
    /// What every program that is run ends with.
    pub ends_with: RefCell<(i32, String)>,
    pub status: RefCell<String>,
    pub kernel_log: RefCell<Vec<String>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::below(folder.path());
        for path in [&places.proc, &places.sys, &places.dev, &places.ours(), &places.sysroot, &places.config] {
            fs::create_dir_all(path).unwrap();
        }
        Self {
            folder,
            console: Console::kept(),
            now: Cell::default(),
            tick: Cell::default(),
            log: RefCell::default(),
            read_only: RefCell::default(),
            volumes: RefCell::default(),
            shells_end: Cell::new(Duration::from_secs(1)),
            shells: Cell::new(0),
            shells_fail: Cell::new(false),
            events: RefCell::default(),
            ends_with: RefCell::default(),
            status: RefCell::new("V".into()),
            kernel_log: RefCell::default(),
        }
    }

    pub fn places(&self) -> Places {
        Places::below(self.folder.path())
    }

    pub fn said(&self) -> Vec<String> {
        self.console.said()
    }

    pub fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    fn note(&self, text: String) {
        let root = format!("{}/", self.folder.path().display());
        self.log.borrow_mut().push(text.replace(&root, "/"));
    }

    pub fn shells_end_after(&self, time: Duration) {
        self.shells_end.set(time);
    }

    /// Shells cannot run: they end at once, and not with status 0.
    pub fn shells_fail(&self) {
        self.shells_end.set(Duration::ZERO);
        self.shells_fail.set(true);
    }

    /// Time passes whenever the clock is asked, as on a machine where looking takes its time.
    pub fn clock_ticks(&self, tick: Duration) {
        self.tick.set(tick);
    }

    /// Does something once the clock has passed `time`.
    pub fn at(&self, time: Duration, event: impl Fn(&Self) + 'static) {
        self.events.borrow_mut().push((time, Box::new(event)));
    }

    /// Modules with one alias each, all in the initramfs.
    pub fn index(&self, modules: &[(&str, &str)]) -> ModuleIndex {
        let mut index = ModuleIndex::default();
        for (name, alias) in modules {
            let module = Module { file: Some(format!("/{name}.ko")), needs: Vec::new() };
            index.modules.insert((*name).to_owned(), module);
            index.aliases.push(((*alias).to_owned(), (*name).to_owned()));
        }
        index
    }

    pub fn boot<'a>(&'a self, index: &'a ModuleIndex) -> Boot<'a> {
        let args = KernelArgs::parse("appliance.root=dev:vda appliance.roothash=none").unwrap();
        Boot::new(self, self.places(), &self.console, args, index)
    }

    /// A disk whose bytes are `content`, with empty partitions.
    pub fn disk(&self, name: &str, partitions: &[&str], content: &[u8]) {
        let places = self.places();
        let disk = places.sys.join("block").join(name);
        let class = places.sys.join("class/block");
        fs::create_dir_all(&class).unwrap();
        put(&disk.join("size"), &format!("{}\n", content.len() / 512));
        symlink(&disk, class.join(name)).unwrap();
        self.content(name, content);
        for partition in partitions {
            let folder = disk.join(partition);
            let number = partition.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap();
            put(&folder.join("partition"), &format!("{number}\n"));
            put(&folder.join("size"), "0\n");
            symlink(&folder, class.join(partition)).unwrap();
            self.content(partition, b"");
        }
    }

    pub fn content(&self, name: &str, content: &[u8]) {
        let node = self.places().dev.join(name.replace('!', "/"));
        fs::create_dir_all(node.parent().unwrap()).unwrap();
        fs::write(node, content).unwrap();
    }

    /// Puts an ext4 with these files on a device.
    pub fn ext4(&self, name: &str, files: &[(&str, &str)]) {
        self.labelled_ext4(name, "", files);
    }

    pub fn labelled_ext4(&self, name: &str, label: &str, files: &[(&str, &str)]) {
        let mut bytes = vec![0; 4096];
        bytes[1024 + 0x78..][..label.len()].copy_from_slice(label.as_bytes());
        bytes[1024 + 56..1024 + 58].copy_from_slice(&0xef53u16.to_le_bytes());
        self.content(name, &bytes);
        let tree = self.volume(name);
        fs::create_dir_all(&tree).unwrap();
        for (path, text) in files {
            put(&tree.join(path), text);
        }
        self.volumes.borrow_mut().insert(name.to_owned(), Ok(tree));
    }

    /// The files on a device.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.folder.path().join("volumes").join(name)
    }

    pub fn broken_volume(&self, name: &str, error: &str) {
        self.volumes.borrow_mut().insert(name.to_owned(), Err(error.to_owned()));
    }

    pub fn is_set_read_only(&self, name: &str) -> bool {
        self.read_only.borrow().contains(&self.places().dev.join(name))
    }
}

impl Machine for World {
    fn uptime(&self) -> Duration {
        self.now.set(self.now.get() + self.tick.get());
        self.now.get()
    }

    fn sleep(&self, time: Duration) {
        self.now.set(self.now.get() + time);
        let (due, rest) = self.events.take().into_iter().partition(|(at, _)| *at <= self.now.get());
        self.events.replace(rest);
        let due: Vec<(Duration, Event)> = due;
        for (_, event) in due {
            event(self);
        }
    }

    fn mount(&self, mount: &Mount<'_>) -> io::Result<()> {
        let Mount { source, target, kind, flags, options } = mount;
        let mode = if flags.read_only { "ro" } else { "rw" };
        self.note(format!("mount {kind} {source} {} {mode} {options}", target.display()));
        let name = Path::new(source).strip_prefix(&self.places().dev).ok().and_then(Path::to_str);
        match name.and_then(|name| self.volumes.borrow().get(name).cloned()) {
            Some(Ok(tree)) => {
                let for_var = *target == self.places().ours().join("var-disk");
                assert!(for_var || flags.read_only && self.is_set_read_only(name.unwrap()), "a look must not write");
                fs::remove_dir(target).unwrap();
                symlink(tree, target)
            }
            Some(Err(error)) => Err(io::Error::other(error)),
            None => Ok(()),
        }
    }

    fn bind(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(format!("bind {} {}", from.display(), to.display()));
        Ok(())
    }

    fn move_mount(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(format!("move {} {}", from.display(), to.display()));
        Ok(())
    }

    fn unmount(&self, target: &Path) -> io::Result<()> {
        if fs::symlink_metadata(target)?.is_symlink() {
            fs::remove_file(target)?;
            fs::create_dir(target)?;
        }
        Ok(())
    }

    /// Tests run as an ordinary user too.
    fn set_owner(&self, _path: &Path, _uid: u32, _gid: u32) -> io::Result<()> {
        Ok(())
    }

    fn is_read_only(&self, device: &Path) -> io::Result<bool> {
        Ok(self.read_only.borrow().contains(device))
    }

    fn set_read_only(&self, device: &Path, on: bool) -> io::Result<()> {
        if on {
            self.read_only.borrow_mut().insert(device.to_owned());
        } else {
            self.read_only.borrow_mut().remove(device);
        }
        Ok(())
    }

    fn load_module(&self, file: &Path) -> io::Result<()> {
        self.note(format!("module {}", file.file_name().unwrap().display()));
        Ok(())
    }

    fn attach_loop(&self, backing: &Path, offset: u64, length: u64) -> io::Result<PathBuf> {
        self.note(format!("loop {} {offset} {length}", backing.display()));
        Ok(self.places().dev.join("loop0"))
    }

    fn release_loop(&self, _device: &Path) {}

    fn create_mapped(&self, name: &str, target: &Target) -> io::Result<PathBuf> {
        self.note(format!("map {name} {}", target.parameters));
        Ok(self.places().dev.join("dm-0"))
    }

    fn remove_mapped(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn mapped_status(&self, _name: &str) -> io::Result<String> {
        Ok(self.status.borrow().clone())
    }

    fn kernel_log(&self) -> Vec<String> {
        self.kernel_log.borrow().clone()
    }

    fn start_shell(&self, shell: Shell, terminal: &str) -> io::Result<ProcessId> {
        self.note(format!("shell {shell:?} on {terminal}"));
        self.shells.set(self.shells.get() + 1);
        self.shells_end.set(self.shells_end.get().max(self.now.get()));
        Ok(self.shells.get())
    }

    /// The first shell ends first; where shells end at once, all do.
    fn reap(&self) -> Vec<Ended> {
        if self.now.get() < self.shells_end.get() {
            return Vec::new();
        }
        let last = if self.shells_end.get().is_zero() { self.shells.get() } else { 1 };
        (1..=last).map(|process| Ended { process, clean: !self.shells_fail.get() }).collect()
    }

    fn end(&self, process: ProcessId) {
        self.note(format!("end {process}"));
    }

    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<(i32, String)> {
        self.note(format!("run {program} {}", arguments.join(" ")));
        Ok(self.ends_with.borrow().clone())
    }

    fn wait_for_enter(&self, _terminals: &[String]) {
        self.note("wait for Enter".into());
    }

    fn sync(&self) {}

    fn reboot(&self) -> io::Error {
        self.note("reboot".into());
        io::Error::other("made up")
    }

    fn power_off(&self) -> io::Error {
        self.note("power off".into());
        io::Error::other("made up")
    }
}
