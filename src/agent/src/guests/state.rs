//! What the node remembers of a guest's image across reboots: which version an
//! operator chose, which was last good, and what became of updates.
//!
//! Kept in `/var/lib/appliance/guests/NAME.json`, written atomically.

use crate::system::world::World;
use crate::system::{atomic_file, files};
use appliance_contract::Schema;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

/// Where the files lie.
pub const FOLDER: &str = "/var/lib/appliance/guests";
/// The story is for people: its beginning may be forgotten.
const LONGEST_STORY: usize = 50;

/// What is remembered of one guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The format's version.
    pub schema: Schema,
    /// Set by `update NAME VERSION` and `rollback`; without it the newest is taken.
    #[serde(default)]
    pub chosen: Option<String>,
    /// The last version that got ready.
    #[serde(default)]
    pub good: Option<String>,
    /// The good one before that, which `rollback` goes back to.
    #[serde(default)]
    pub before: Option<String>,
    /// Versions that were tried and did not get ready.
    #[serde(default)]
    pub failed: Vec<String>,
    /// What happened, the oldest first.
    #[serde(default)]
    pub story: Vec<Event>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Seconds since 1970, as the node's clock had it.
    pub at: u64,
    /// What happened.
    pub text: String,
}

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum StateError {
    #[error("{doing} {path}: {error}", path = path.display())]
    Io { doing: &'static str, path: PathBuf, error: io::Error },
    #[error(
        "{path} is not what this version writes: {error}; remove it to let the guest start from the newest image",
        path = path.display()
    )]
    Invalid { path: PathBuf, error: serde_json::Error },
}

impl State {
    /// Of a guest that nothing was ever chosen for: the default.
    pub fn load(world: &World<'_>, guest: &str) -> Result<Self, StateError> {
        let path = path(world, guest);
        match files::read_text(&path, files::MAX_SIZE) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| StateError::Invalid { path, error }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(StateError::Io { doing: "reading", path, error }),
        }
    }

    /// Writes the state atomically.
    pub fn save(&self, world: &World<'_>, guest: &str) -> Result<(), StateError> {
        let path = path(world, guest);
        let text = serde_json::to_string_pretty(self).map_err(io::Error::from);
        text.and_then(|text| atomic_file::write(&path, (text + "\n").as_bytes())).map_err(|error| StateError::Io {
            doing: "writing",
            path,
            error,
        })
    }

    fn tell(&mut self, at: u64, text: String) {
        self.story.push(Event { at, text });
        let surplus = self.story.len().saturating_sub(LONGEST_STORY);
        self.story.drain(..surplus);
    }

    /// An operator wants `version`, or the newest from now on.
    pub fn update(&mut self, version: Option<&str>, at: u64) {
        self.chosen = version.map(str::to_owned);
        match version {
            Some(version) => {
                self.failed.retain(|failed| failed != version);
                self.tell(at, format!("an operator chose version {version}"));
            }
            None => {
                self.failed.clear();
                self.tell(at, "an operator chose the newest version".to_owned());
            }
        }
    }

    /// An operator wants the good version before the last good one; that one is given.
    pub fn rollback(&mut self, at: u64) -> Option<String> {
        let before = self.before.clone()?;
        let from = self.good.replace(before.clone());
        self.chosen = Some(before.clone());
        self.tell(at, format!("an operator went back to version {before} from {}", from.as_deref().unwrap_or("none")));
        self.before = from;
        Some(before)
    }

    /// Whether `version` is yet to show that it gets ready, and which one stands in for it when it does not.
    pub fn stand_in_for(&self, version: &str) -> Option<&str> {
        self.good.as_deref().filter(|good| *good != version)
    }

    /// `version` got ready. Whether anything changed.
    pub fn got_ready(&mut self, version: &str, at: u64) -> bool {
        if self.good.as_deref() == Some(version) {
            return false;
        }
        if let Some(good) = self.good.replace(version.to_owned()) {
            self.before = Some(good);
        }
        self.failed.retain(|failed| failed != version);
        self.tell(at, format!("version {version} got ready"));
        true
    }

    /// `version` did not get ready: the last good one is taken from now on.
    pub fn go_back(&mut self, version: &str, reason: &str, at: u64) {
        let Some(good) = self.stand_in_for(version).map(str::to_owned) else { return };
        if !self.failed.iter().any(|failed| failed == version) {
            self.failed.push(version.to_owned());
        }
        self.tell(at, format!("version {version} {reason}: went back to version {good}"));
        self.chosen = Some(good);
    }
}

fn path(world: &World<'_>, guest: &str) -> PathBuf {
    world.at(format!("{FOLDER}/{guest}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::tests::Node;

    #[test]
    fn an_update_that_gets_ready_can_be_taken_back_and_forth() {
        let mut state = State::default();
        assert!(state.got_ready("1", 10));
        assert_eq!(state.stand_in_for("1"), None);
        state.update(Some("2"), 20);
        assert_eq!(state.stand_in_for("2"), Some("1"));
        assert!(state.got_ready("2", 30));
        assert!(!state.got_ready("2", 31));
        assert_eq!(state.rollback(40).as_deref(), Some("1"));
        assert_eq!(state.chosen.as_deref(), Some("1"));
        assert_eq!(state.stand_in_for("1"), None);
        assert_eq!(state.rollback(50).as_deref(), Some("2"));
        assert_eq!(state.story.last().unwrap().text, "an operator went back to version 2 from 1");
    }

    #[test]
    fn an_update_that_does_not_get_ready_goes_back_by_itself() {
        let mut state = State::default();
        state.got_ready("1", 10);
        state.update(None, 20);
        state.go_back("2", "was not ready within 300 s", 320);
        assert_eq!((state.chosen.as_deref(), state.failed.as_slice()), (Some("1"), ["2".to_owned()].as_slice()));
        assert_eq!(state.story.last().unwrap().text, "version 2 was not ready within 300 s: went back to version 1");
        // Asked for once more, it gets its chance.
        state.update(Some("2"), 400);
        assert!(state.failed.is_empty());
    }

    #[test]
    fn the_first_version_has_nothing_to_go_back_to() {
        let mut state = State::default();
        state.go_back("1", "was not ready", 5);
        assert_eq!(state, State::default());
        assert_eq!(state.rollback(6), None);
    }

    #[test]
    fn is_kept_and_a_foreign_file_is_refused() {
        let node = Node::new();
        let world = node.world();
        assert_eq!(State::load(&world, "web").unwrap(), State::default());
        let mut state = State::default();
        for version in 0..80 {
            state.update(Some(&version.to_string()), version);
        }
        assert_eq!(state.story.len(), LONGEST_STORY);
        state.save(&world, "web").unwrap();
        assert_eq!(State::load(&world, "web").unwrap(), state);
        assert!(!node.at("/var/lib/appliance/guests/web.new").exists());
        for text in ["{\"schema\": 2}", "x"] {
            node.file("/var/lib/appliance/guests/web.json", text.as_bytes());
            let error = State::load(&world, "web").unwrap_err().to_string();
            assert!(error.contains("remove it to let the guest start"), "{error}");
        }
    }
}
