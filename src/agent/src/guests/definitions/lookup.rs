//! The guests that the host's config lists.

use crate::guests::definitions::{self, Checked, Guest};
use crate::system::world::World;
use appliance_contract::guest;
use std::io;
use std::path::PathBuf;

/// Why a guest cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum ConfigError {
    #[error("there is no guest {name}: {path} is not there{}", known(.guests))]
    Unknown { name: String, path: String, guests: Vec<String> },
    #[error("{0}")]
    Refused(String),
    #[error("reading {path}: {error}")]
    Unreadable { path: &'static str, error: io::Error },
}

fn known(guests: &[String]) -> String {
    // A folder may be called whatever it likes, and this goes to a terminal.
    let guests = guests.join(", ").replace(char::is_control, "?");
    if guests.is_empty() { String::new() } else { format!("; the config lists {guests}") }
}

/// All that the config says of guests, in the order of their names.
pub fn all(world: &World<'_>) -> io::Result<Vec<Checked>> {
    Ok(definitions::check_all(&definitions::read(&world.at(guest::DIRECTORY))?))
}

/// The names of all folders that describe a guest, in order.
pub fn names(world: &World<'_>) -> Vec<String> {
    let all = all(world).unwrap_or_default();
    all.iter().map(|one| one.folder.to_string_lossy().into_owned()).collect()
}

fn path_of(name: &str, file: &str) -> String {
    format!("{}/{name}/{file}", guest::DIRECTORY)
}

/// The folder that the guest is served as its config.
pub fn folder(world: &World<'_>, name: &str) -> PathBuf {
    world.at(path_of(name, guest::CONFIG))
}

/// The guest of that name, where its guest.toml can be taken.
pub fn load(world: &World<'_>, name: &str) -> Result<Guest, ConfigError> {
    let all = all(world).map_err(|error| ConfigError::Unreadable { path: guest::DIRECTORY, error })?;
    match all.into_iter().find(|one| one.folder == *name) {
        Some(one) => one.outcome.map_err(ConfigError::Refused),
        None => {
            let path = path_of(name, guest::FILE_NAME);
            Err(ConfigError::Unknown { name: name.to_owned(), path, guests: names(world) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::tests::Node;

    #[test]
    fn a_guest_is_read_and_a_fault_names_its_file() {
        let node = Node::new();
        let world = node.world();
        node.file("/config/local/domUs/web/guest.toml", b"schema = 1\nimage = \"guest\"\nmemory = \"64M\"\n");
        node.file("/config/local/domUs/bad/guest.toml", b"schema = 1\nmemmory = 1\n");
        node.file("/config/local/domUs/notes/readme", b"");
        assert_eq!(names(&world), ["bad", "web"]);
        assert_eq!(load(&world, "web").unwrap().config.memory.mebibytes(), 64);
        let error = load(&world, "bad").unwrap_err().to_string();
        assert!(error.starts_with("/config/local/domUs/bad/guest.toml: line 2: "), "{error}");
        let error = load(&world, "none").unwrap_err().to_string();
        assert!(error.ends_with("is not there; the config lists bad, web"), "{error}");
        assert!(load(&world, "../web").is_err());
    }
}
