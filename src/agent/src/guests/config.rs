//! The guests that the host's config lists.

use super::world::World;
use appliance_contract::guest::{self, GuestConfig, GuestName};
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("there is no guest {name}: {path} is not there{}", known(.guests))]
    Unknown { name: String, path: String, guests: Vec<String> },
    #[error("{path}: {reason}")]
    Invalid { path: String, reason: String },
}

fn known(guests: &[String]) -> String {
    if guests.is_empty() { String::new() } else { format!("; the config lists {}", guests.join(", ")) }
}

/// The names of all folders that describe a guest, in order.
pub fn names(world: &World<'_>) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(world.at(guest::DIRECTORY))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join(guest::FILE_NAME).exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn path_of(name: &str, file: &str) -> String {
    format!("{}/{name}/{file}", guest::DIRECTORY)
}

/// The folder that the guest is served as its config.
pub fn folder(world: &World<'_>, name: &str) -> PathBuf {
    world.at(path_of(name, guest::CONFIG))
}

pub fn load(world: &World<'_>, name: &str) -> Result<(GuestName, GuestConfig), ConfigError> {
    let path = path_of(name, guest::FILE_NAME);
    let invalid = |reason: String| ConfigError::Invalid { path: path.clone(), reason };
    let parsed: GuestName =
        name.parse().map_err(|error| invalid(format!("its folder's name: {error}; rename the folder")))?;
    let mut bytes = Vec::new();
    match fs::File::open(world.at(&path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ConfigError::Unknown { name: name.to_owned(), path, guests: names(world) });
        }
        Err(error) => return Err(invalid(error.to_string())),
        Ok(file) => {
            file.take(guest::MAX_SIZE + 1).read_to_end(&mut bytes).map_err(|error| invalid(error.to_string()))?;
        }
    }
    if bytes.len() as u64 > guest::MAX_SIZE {
        return Err(invalid(format!("it is larger than {} bytes", guest::MAX_SIZE)));
    }
    let text = String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8 text".to_owned()))?;
    let config = GuestConfig::parse(&text).map_err(|error| invalid(error.to_string()))?;
    Ok((parsed, config))
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
        assert_eq!(load(&world, "web").unwrap().1.memory.mebibytes(), 64);
        let error = load(&world, "bad").unwrap_err().to_string();
        assert!(error.starts_with("/config/local/domUs/bad/guest.toml: line 2: "), "{error}");
        let error = load(&world, "none").unwrap_err().to_string();
        assert!(error.ends_with("is not there; the config lists bad, web"), "{error}");
        assert!(load(&world, "../web").is_err());
    }
}
