//! What wakes the choice. The messages' contents do not matter: each is a reason to look again.

use crate::system::sys;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

/// NETLINK_ROUTE and its group of links, linux/rtnetlink.h.
const ROUTE: i32 = 0;
const ROUTE_LINKS: u32 = 1;
/// NETLINK_KOBJECT_UEVENT, and the group to which udev tells each device that it has processed (libudev's
/// `udev_monitor_new_from_netlink`, name `udev`).
const DEVICES: i32 = 15;
const DEVICES_PROCESSED: u32 = 2;

/// A link appears, goes or changes: its carrier, its name, its bridge.
#[derive(Debug)]
pub struct Links(File);

impl Links {
    /// Subscribes to changes of network interfaces.
    pub fn open() -> io::Result<Self> {
        sys::netlink(ROUTE, ROUTE_LINKS).map(Self)
    }

    /// Until something happens, or for `bound`.
    pub fn wait(&mut self, bound: Duration) -> io::Result<()> {
        sleep(&[self.0.as_fd()], Some(bound))?;
        drain(&mut self.0)
    }
}

/// All that can change the choice.
#[derive(Debug)]
pub struct Events {
    links: Links,
    devices: File,
    queue: Inotify,
}

impl Events {
    /// `udev` is udev's folder, in which the file `queue` is removed when nothing is left to do.
    pub fn open(udev: &Path) -> io::Result<Self> {
        let queue = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        queue.add_watch(udev, AddWatchFlags::IN_DELETE)?;
        Ok(Self { links: Links::open()?, devices: sys::netlink(DEVICES, DEVICES_PROCESSED)?, queue })
    }

    /// Until something happens, or for `bound`.
    pub fn wait(&mut self, bound: Option<Duration>) -> io::Result<()> {
        sleep(&[self.links.0.as_fd(), self.devices.as_fd(), self.queue.as_fd()], bound)?;
        drain(&mut self.links.0)?;
        drain(&mut self.devices)?;
        match self.queue.read_events() {
            Ok(_) | Err(nix::Error::EAGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn sleep(sources: &[BorrowedFd<'_>], bound: Option<Duration>) -> io::Result<()> {
    let mut sources: Vec<PollFd<'_>> = sources.iter().map(|source| PollFd::new(*source, PollFlags::POLLIN)).collect();
    // Rounded up: a millisecond too early would be a turn that changes nothing.
    let bound = bound.map(|bound| bound + Duration::from_millis(1));
    let timeout = bound.map_or(PollTimeout::NONE, |bound| bound.try_into().unwrap_or(PollTimeout::MAX));
    match poll(&mut sources, timeout) {
        Ok(_) | Err(nix::Error::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Takes all messages away.
fn drain(socket: &mut File) -> io::Result<()> {
    // A message that is longer loses its end, which nobody reads.
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Messages were lost: a reason to look again, as each of them is.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_end_of_udevs_queue_wakes() {
        let folder = tempfile::tempdir().unwrap();
        let queue = folder.path().join("queue");
        std::fs::write(&queue, "").unwrap();
        let mut events = Events::open(folder.path()).unwrap();
        let begun = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                std::fs::remove_file(&queue).unwrap();
            });
            // Other messages of this machine may come first.
            while queue.exists() {
                events.wait(Some(Duration::from_secs(20))).unwrap();
            }
        });
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_bound_ends_the_wait() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = Events::open(folder.path()).unwrap();
        events.wait(Some(Duration::from_millis(10))).unwrap();
        Links::open().unwrap().wait(Duration::from_millis(10)).unwrap();
        assert!(Events::open(&folder.path().join("gone")).is_err());
    }
}
