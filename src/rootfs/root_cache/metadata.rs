//! What is kept of a configured root beside its files: what a user namespace
//! could not make, the archives' times, and a hash over all the rest.

use crate::rootfs::unpack::install::Extras;
use crate::tree::{Kind, Metadata, Tree, TreeError, TreePath};
use crate::util::file_error::At as _;
use crate::util::sha256::{self, Hasher};
use appliance_contract::Sha256;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

#[derive(Debug)]
pub struct Record {
    pub state: Sha256,
    pub extras: Extras,
    pub times: HashMap<TreePath, i64>,
}

/// Paths and names are bytes, here in hexadecimal digits.
#[derive(Debug, Serialize, Deserialize)]
struct Text {
    state: Sha256,
    devices: Vec<Device>,
    xattrs: Vec<(String, BTreeMap<String, String>)>,
    times: BTreeMap<String, i64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Device {
    path: String,
    block: bool,
    major: u32,
    minor: u32,
    mode: u16,
    uid: u32,
    gid: u32,
    mtime: i64,
    xattrs: BTreeMap<String, String>,
}

type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

fn digits(xattrs: &Xattrs) -> BTreeMap<String, String> {
    xattrs.iter().map(|(name, value)| (hex::encode(name), hex::encode(value))).collect()
}

fn bytes(digits: &BTreeMap<String, String>) -> Option<Xattrs> {
    digits.iter().map(|(name, value)| Some((hex::decode(name).ok()?, hex::decode(value).ok()?))).collect()
}

fn path(digits: &str) -> Option<TreePath> {
    TreePath::parse(hex::decode(digits).ok()?).ok()
}

impl Record {
    /// A SHA-256, a line's end, and what it is of.
    pub fn render(&self) -> Vec<u8> {
        let devices = self.extras.devices.iter().filter_map(|(path, metadata, kind)| {
            let (block, major, minor) = match *kind {
                Kind::BlockDevice { major, minor } => (true, major, minor),
                Kind::CharacterDevice { major, minor } => (false, major, minor),
                _ => return None,
            };
            let Metadata { mode, uid, gid, mtime, ref xattrs } = *metadata;
            let path = hex::encode(path.to_bytes());
            Some(Device { path, block, major, minor, mode, uid, gid, mtime, xattrs: digits(xattrs) })
        });
        let xattrs = self.extras.xattrs.iter().map(|(path, xattrs)| (hex::encode(path.to_bytes()), digits(xattrs)));
        let text = Text {
            state: self.state,
            devices: devices.collect(),
            xattrs: xattrs.collect(),
            times: self.times.iter().map(|(path, time)| (hex::encode(path.to_bytes()), *time)).collect(),
        };
        // It is strings and numbers, which all have a JSON form.
        let text = serde_json::to_vec(&text).unwrap_or_default();
        let mut out = sha256::of(&text).to_string().into_bytes();
        out.push(b'\n');
        out.extend(text);
        out
    }

    /// `None` where it is damaged.
    pub fn parse(bytes_of_file: &[u8]) -> Option<Self> {
        let (sum, text) = bytes_of_file.split_at_checked(65)?;
        if sum[..64] != *sha256::of(text).to_string().as_bytes() {
            return None;
        }
        let text: Text = serde_json::from_slice(text).ok()?;
        let devices = text.devices.iter().map(|device| {
            let Device { block, major, minor, mode, uid, gid, mtime, .. } = *device;
            let kind = if block { Kind::BlockDevice { major, minor } } else { Kind::CharacterDevice { major, minor } };
            Some((path(&device.path)?, Metadata { mode, uid, gid, mtime, xattrs: bytes(&device.xattrs)? }, kind))
        });
        let xattrs = text.xattrs.iter().map(|(at, xattrs)| Some((path(at)?, bytes(xattrs)?)));
        let times = text.times.iter().map(|(at, time)| Some((path(at)?, *time)));
        let extras = Extras { devices: devices.collect::<Option<_>>()?, xattrs: xattrs.collect::<Option<_>>()? };
        Some(Self { state: text.state, extras, times: times.collect::<Option<_>>()? })
    }
}

/// One hash for every name, byte and mode of a tree, and for which names are one file.
pub fn state(tree: &Tree) -> Result<Sha256, TreeError> {
    let mut hash = Hasher::default();
    let mut first = HashMap::new();
    for (place, (path, id)) in tree.walk().enumerate() {
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        add(&path.to_bytes());
        add(&(*first.entry(id).or_insert(place) as u64).to_le_bytes());
        let node = tree.node(id);
        let Metadata { mode, uid, gid, mtime, xattrs } = &node.metadata;
        add(&[&mode.to_le_bytes()[..], &uid.to_le_bytes(), &gid.to_le_bytes(), &mtime.to_le_bytes()].concat());
        add(&(xattrs.len() as u64).to_le_bytes());
        for (name, value) in xattrs {
            add(name);
            add(value);
        }
        add(node.kind.name().as_bytes());
        match &node.kind {
            Kind::File(content) => {
                let known = content.fingerprint().at("reading", path.to_string())?;
                add(&known.digest());
            }
            Kind::Symlink(target) => add(target),
            Kind::CharacterDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                add(&[major.to_le_bytes(), minor.to_le_bytes()].concat());
            }
            Kind::Directory(_) | Kind::Fifo | Kind::Socket => {}
        }
    }
    Ok(hash.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Node;

    fn at(text: &str) -> TreePath {
        TreePath::parse(text).unwrap()
    }

    #[test]
    fn what_is_kept_is_read_again_and_damage_is_seen() {
        let mut metadata = Metadata::new(0o640).with_owner(3, 4).with_mtime(5);
        metadata.xattrs.insert(b"user.x\xff".to_vec(), vec![0, 1]);
        let record = Record {
            state: [7; 32].into(),
            extras: Extras {
                devices: vec![(at("/dev/x"), metadata.clone(), Kind::BlockDevice { major: 8, minor: 1 })],
                xattrs: vec![(at("/y"), metadata.xattrs.clone())],
            },
            times: HashMap::from([(TreePath::parse(b"/odd\xfe").unwrap(), 9)]),
        };
        let bytes = record.render();
        let again = Record::parse(&bytes).unwrap();
        assert_eq!(format!("{record:?}"), format!("{again:?}"));
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            // The line's end is in no hash, and says nothing.
            assert!(place == 64 || Record::parse(&damaged).is_none(), "{place}");
            assert!(Record::parse(&bytes[..place]).is_none());
        }
    }

    #[test]
    fn every_fact_of_a_tree_counts() {
        let tree = |change: &dyn Fn(&mut Tree)| {
            let mut tree = Tree::new(Metadata::new(0o755));
            for path in ["a", "b"] {
                tree.insert(&at(path), Node::file(Metadata::new(0o644), b"x".to_vec().into())).unwrap();
            }
            change(&mut tree);
            state(&tree).unwrap()
        };
        let same = tree(&|_| {});
        assert_eq!(same, tree(&|_| {}));
        let file = |tree: &mut Tree, bytes: &[u8]| {
            tree.insert(&at("a"), Node::file(Metadata::new(0o644), bytes.to_vec().into()))
        };
        for other in [
            tree(&|tree| drop(file(tree, b"y"))),
            tree(&|tree| tree.link(&at("b"), tree.lookup(&at("a")).unwrap()).unwrap()),
            tree(&|tree| tree.node_mut(Tree::ROOT).metadata.mode = 0o700),
            tree(&|tree| tree.node_mut(Tree::ROOT).metadata.mtime = 1),
            tree(&|tree| drop(tree.node_mut(Tree::ROOT).metadata.xattrs.insert(b"user.a".to_vec(), vec![]))),
            tree(&|tree| tree.remove(&at("b")).unwrap()),
        ] {
            assert_ne!(same, other);
        }
    }
}
