//! A made-up node for the tests of this part.

use crate::system::programs::{Output, Programs, Start};
use crate::system::world::World;
use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// Programs that answer as they were told, and remember how they were called.
#[derive(Debug, Default)]
pub struct Told {
    answers: RefCell<Vec<(String, Output)>>,
    pub calls: RefCell<Vec<String>>,
    started: RefCell<Vec<(String, String)>>,
}

impl Told {
    /// To a call that begins with `call`; the last answer given counts.
    pub fn answer(&self, call: &str, status: i32, stdout: &str) {
        let output = Output { status, stdout: stdout.to_owned(), stderr: String::new() };
        self.answers.borrow_mut().push((call.to_owned(), output));
    }

    /// A program of this machine, without arguments, instead of one that the node would start.
    pub fn start_in_place_of(&self, program: &str, ours: &str) {
        self.started.borrow_mut().push((program.to_owned(), ours.to_owned()));
    }
}

impl Programs for Told {
    fn run(&self, program: &str, arguments: &[&str]) -> io::Result<Output> {
        let call = format!("{program} {}", arguments.join(" ")).trim().to_owned();
        self.calls.borrow_mut().push(call.clone());
        let answers = self.answers.borrow();
        let answer = answers.iter().rev().find(|(begin, _)| call.starts_with(begin.as_str()));
        answer.map(|(_, output)| output.clone()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn start(&self, start: &Start<'_>) -> io::Result<Child> {
        let started = self.started.borrow();
        match started.iter().find(|(program, _)| program == start.program) {
            Some((_, ours)) => Command::new(ours).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn(),
            None => Err(io::Error::other(format!("{} is not started in tests", start.program))),
        }
    }
}

#[derive(Debug)]
pub struct Node {
    folder: TempDir,
    pub programs: Told,
}

const NOW: Duration = Duration::from_secs(1_793_500_000);

fn now() -> SystemTime {
    UNIX_EPOCH + NOW
}

fn no_mapped_device(_: &str) -> io::Result<String> {
    Err(io::ErrorKind::NotFound.into())
}

impl Node {
    pub fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), programs: Told::default() }
    }

    pub fn world(&self) -> World<'_> {
        World { root: self.folder.path(), mapped_status: &no_mapped_device, programs: &self.programs, clock: &now }
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    pub fn file(&self, path: &str, bytes: &[u8]) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
