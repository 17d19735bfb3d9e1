//! A new fleet: the folders, one node that boots as it is, and checklists.

use super::FleetError;
use crate::util::file_error::At as _;
use include_dir::{Dir, DirEntry, include_dir};
use std::path::Path;

static SKELETON: Dir<'_> = include_dir!("$OUT_DIR/templates/fleet");

/// Lays out a fleet in `folder`, which must be new or empty; returns the files made.
pub fn init(folder: &Path) -> Result<Vec<String>, FleetError> {
    let filled = match std::fs::read_dir(folder) {
        // A folder that version control has just made holds only its own.
        Ok(entries) => {
            entries.flatten().any(|entry| ![".git", ".svn", ".hg"].iter().any(|name| entry.file_name() == *name))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(source) => return Err(FleetError::file("reading", folder)(source)),
    };
    if filled {
        return Err(FleetError::NotEmpty(folder.to_owned()));
    }
    let mut made = Vec::new();
    if let Err(error) = write(&SKELETON, folder, &mut made) {
        // Half a fleet would be refused the next time, as a folder with files.
        for entry in SKELETON.entries() {
            let path = folder.join(entry.path());
            let _ = if entry.as_dir().is_some() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        }
        return Err(error);
    }
    made.sort();
    Ok(made)
}

/// On every serial console, as `/usr/lib/systemd/system/serial-getty@.service` has it but for the login.
const LOGGED_IN: &str = "[Service]\nExecStart=\n\
    ExecStart=-/sbin/agetty --autologin root --noreset --noclear --keep-baud 115200,57600,38400,9600 - ${TERM}\n";

const TRIAL_MOTD: &str = "
This is node1, made up to try the image: root is logged in on this console, and
all that you change is gone when it ends. Nodes of your own have no such login.

    appliance status                what runs here, and from where
    appliance guest list            its guests
    systemctl --failed              should list nothing

Ctrl-A, then x, ends it.

";

/// Lays out a fleet in `folder` to try an image with, by someone who has no key in it yet: its node logs root in on
/// its console.
pub fn init_trial(folder: &Path) -> Result<(), FleetError> {
    init(folder)?;
    let etc = folder.join("pservers/node1/etc");
    let console = etc.join("systemd/system/serial-getty@.service.d");
    std::fs::create_dir_all(&console).at("making", &console)?;
    for (path, text) in [(console.join("login.conf"), LOGGED_IN), (etc.join("motd"), TRIAL_MOTD)] {
        std::fs::write(&path, text).at("writing", &path)?;
    }
    Ok(())
}

fn write(dir: &Dir<'_>, folder: &Path, made: &mut Vec<String>) -> Result<(), FleetError> {
    for entry in dir.entries() {
        let path = folder.join(entry.path());
        let parent = if entry.as_dir().is_some() { path.as_path() } else { path.parent().unwrap_or(folder) };
        std::fs::create_dir_all(parent).at("making", parent)?;
        match entry {
            DirEntry::Dir(below) => write(below, folder, made)?,
            DirEntry::File(file) => {
                std::fs::write(&path, file.contents()).at("writing", &path)?;
                made.push(entry.path().display().to_string());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::ConfigTree;

    #[test]
    fn the_first_node_is_a_config_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let made = init(folder.path()).unwrap();
        assert!(made.iter().any(|path| path == "pservers/node1/appliance.toml"), "{made:?}");
        let config = ConfigTree::read(folder.path(), "node1", 0).unwrap();
        assert_eq!(config.node.as_str(), "node1");
        for folder_name in ["pservers", "vservers", "global", "docs"] {
            assert!(folder.path().join(folder_name).is_dir(), "{folder_name}");
        }
    }

    #[test]
    fn only_the_node_of_a_trial_logs_anyone_in() {
        let folder = tempfile::tempdir().unwrap();
        let (usual, trial) = (folder.path().join("usual"), folder.path().join("trial"));
        init(&usual).unwrap();
        init_trial(&trial).unwrap();
        let path = "local/etc/systemd/system/serial-getty@.service.d/login.conf";
        let logs_in = |fleet: &Path| {
            let tree = ConfigTree::read(fleet, "node1", 0).unwrap().tree;
            tree.walk().any(|(place, _)| place.to_string().trim_start_matches('/') == path)
        };
        assert_eq!((logs_in(&usual), logs_in(&trial)), (false, true));
    }

    #[test]
    fn a_folder_with_files_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".git")).unwrap();
        init(folder.path()).unwrap();
        assert!(matches!(init(folder.path()), Err(FleetError::NotEmpty(_))));
    }
}
