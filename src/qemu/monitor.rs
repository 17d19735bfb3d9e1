//! QEMU's control protocol, QMP: one JSON object a line in either direction.

use super::{Bus, Drive, QemuError};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long QEMU may take to open its socket, or to answer.
const BOUND: Duration = Duration::from_secs(60);

/// A connection to QEMU's monitor (QEMU Machine Protocol).
#[derive(Debug)]
pub struct Monitor {
    reader: BufReader<UnixStream>,
}

impl Monitor {
    /// Connects to the monitor at `socket` and leaves negotiation mode.
    pub fn connect(socket: &Path) -> Result<Self, QemuError> {
        let failed = |source| QemuError::MonitorIo { source };
        let bound = Instant::now() + BOUND;
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(source) if Instant::now() > bound => return Err(failed(source)),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        stream.set_read_timeout(Some(BOUND)).map_err(failed)?;
        let mut monitor = Self { reader: BufReader::new(stream) };
        monitor.receive()?;
        monitor.run("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    fn receive(&mut self) -> Result<Value, QemuError> {
        let mut line = String::new();
        self.reader.read_line(&mut line).map_err(|source| QemuError::MonitorIo { source })?;
        serde_json::from_str(&line).map_err(|error| QemuError::MonitorIo { source: error.into() })
    }

    fn run(&mut self, command: &str, arguments: Value) -> Result<Value, QemuError> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.reader.get_mut(), "{request}").map_err(|source| QemuError::MonitorIo { source })?;
        loop {
            let answer = self.receive()?;
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
            if let Some(error) = answer.get("error") {
                return Err(QemuError::Monitor { command: command.to_owned(), answer: error.to_string() });
            }
        }
    }

    /// Plugs `drive` into the running machine. Its bus must be USB, which every machine type can plug.
    pub fn attach(&mut self, drive: &Drive) -> Result<(), QemuError> {
        if drive.bus != Bus::Usb {
            let answer = "only a usb drive can be plugged into a running machine".to_owned();
            return Err(QemuError::Monitor { command: format!("attach {}", drive.name), answer });
        }
        let file = json!({ "driver": "file", "filename": drive.file, "read-only": false });
        self.run("blockdev-add", json!({ "driver": "raw", "node-name": drive.name, "file": file }))?;
        let device = json!({
            "driver": "usb-storage", "bus": "usb.0", "drive": drive.name,
            "id": format!("{}-device", drive.name), "serial": drive.name, "removable": true,
        });
        self.run("device_add", device).map(|_| ())
    }

    /// Puts the cable of a network card in, or takes it out.
    pub fn set_cable(&mut self, card: &str, plugged: bool) -> Result<(), QemuError> {
        self.run("set_link", json!({ "name": card, "up": plugged })).map(|_| ())
    }
}
