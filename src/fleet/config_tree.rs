//! A node's config as a tree: the marker, `local/` and `global/`.

use super::{FleetError, GLOBAL, GUESTS, NODES, guests};
use crate::tree::{Kind, Metadata, Node, Tree, TreePath};
use crate::util::bounded_read::read_optional_text;
use crate::util::file_error::{At as _, FileError};
use appliance_contract::local_etc::{Bounds, Excess, Meter};
use appliance_contract::marker::{self, Marker, NodeName, Role};
use appliance_contract::modes::{self, Modes};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Files and directories of version control in a checkout.
const NOT_CONFIG: &[&str] = &[".git", ".svn", ".hg", ".gitignore", ".gitattributes"];

/// The config of one node or guest.
#[derive(Debug)]
pub struct ConfigTree {
    /// The name of the node or guest.
    pub node: NodeName,
    /// The files of its config partition.
    pub tree: Tree,
}

impl ConfigTree {
    /// Reads node `name` of the fleet in `fleet`, with the configs of its guests. All files belong to root. Files get
    /// mode 644 or 755, directories 755, private ssh host keys 600. The file `modes` overrides owners and modes.
    pub fn read(fleet: &Path, name: &str, time: i64) -> Result<Self, FleetError> {
        let (mut config, folder) = Self::read_as(Role::Host, fleet, name, time)?;
        guests::put(fleet, &folder, &mut config.tree, time)?;
        Ok(config)
    }

    /// Reads guest `name`, for a config disk of its own.
    pub fn read_guest(fleet: &Path, name: &str, time: i64) -> Result<Self, FleetError> {
        Self::read_as(Role::Guest, fleet, name, time).map(|(config, _)| config)
    }

    fn read_as(role: Role, fleet: &Path, name: &str, time: i64) -> Result<(Self, PathBuf), FleetError> {
        let node: NodeName = name.parse()?;
        if !is_directory(&fleet.join(NODES))? {
            return Err(FleetError::NoFleet { folder: fleet.to_owned() });
        }
        let nodes = fleet.join(match role {
            Role::Host => NODES,
            Role::Guest => GUESTS,
        });
        let folder = nodes.join(name);
        if !is_directory(&folder)? {
            return Err(FleetError::NoNode { name: name.to_owned(), hint: nearest(&nodes, name), folder: nodes });
        }
        let directory = || Node::directory(Metadata::new(0o755).with_mtime(time));
        let mut tree = Tree::new(Metadata::new(0o755).with_mtime(time));
        let marker = marker_text(&folder, &node, role)?;
        let place = |path: &str| TreePath::parse(path).map_err(crate::tree::TreeError::from);
        tree.insert(&place(marker::FILE_NAME)?, Node::file(Metadata::new(0o644).with_mtime(time), marker.into()))?;
        Source::open(folder.clone(), time)?.put(&mut tree, "local", &[marker::FILE_NAME])?;
        tree.insert(&place("global")?, directory())?;
        let global = fleet.join(GLOBAL);
        if global.is_dir() {
            let mut source = Source { tree: Tree::from_directory(&global)?, folder: global, time, modes: None };
            source.read_modes()?;
            source.copy_into(&mut tree, "global", &[])?;
        }
        Ok((Self { node, tree }, folder))
    }
}

/// A directory of the checkout to copy into the config.
pub(super) struct Source {
    folder: PathBuf,
    tree: Tree,
    time: i64,
    modes: Option<Modes>,
}

impl Source {
    /// Opens a machine's directory. Reads its `modes`, and checks its `etc` against the agent's limits.
    pub fn open(folder: PathBuf, time: i64) -> Result<Self, FleetError> {
        let mut source = Self { tree: Tree::from_directory(&folder)?, folder, time, modes: None };
        source.read_modes()?;
        source.check_etc()?;
        Ok(source)
    }

    /// Copies everything except the names in `without` into the new directory `below`.
    pub fn put(&self, target: &mut Tree, below: &str, without: &[&str]) -> Result<(), FleetError> {
        let place = TreePath::parse(below).map_err(crate::tree::TreeError::from)?;
        target.insert(&place, Node::directory(Metadata::new(0o755).with_mtime(self.time)))?;
        self.copy_into(target, below, without)
    }

    fn read_modes(&mut self) -> Result<(), FleetError> {
        let path = self.folder.join(modes::FILE_NAME);
        let Some(text) = read_optional_text(&path).at("reading", &path)? else { return Ok(()) };
        let modes = Modes::parse(&text).map_err(|source| FleetError::Modes { path: path.clone(), source })?;
        for entry in modes.entries() {
            let there = TreePath::parse(entry.path()).is_ok_and(|path| self.tree.lookup(&path).is_some());
            if !there {
                return Err(FleetError::ModesEntry { path, entry: entry.path().to_owned() });
            }
        }
        self.modes = Some(modes);
        Ok(())
    }

    /// Refuses an `etc` that the agent would refuse on the node.
    fn check_etc(&self) -> Result<(), FleetError> {
        let below_etc = || {
            let config = self.tree.walk().filter(|(path, _)| !is_version_control(path));
            config.filter_map(|(path, id)| {
                let is_etc = path.names().next() == Some(b"etc");
                let depth = path.names().count().checked_sub(1).filter(|depth| is_etc && *depth > 0)?;
                Some((path, id, depth))
            })
        };
        let bounds = Bounds::default();
        let beyond = |excess, path: PathBuf| match excess {
            Excess::Bytes(found) => FleetError::TooLarge { path, found, expected: bounds.bytes },
            Excess::Entries => FleetError::TooMany { path, found: below_etc().count(), expected: bounds.entries },
            Excess::Depth => FleetError::TooDeep { path, expected: bounds.depth },
        };
        let etc = || self.folder.join("etc");
        let mut meter = Meter::new(bounds);
        for (path, id, depth) in below_etc() {
            let counted = match &self.tree.node(id).kind {
                Kind::Directory(_) => meter.directory(depth),
                Kind::File(content) => meter.file(content.len()),
                _ => meter.file(0),
            };
            counted.map_err(|excess| match excess {
                Excess::Depth => beyond(excess, self.folder.join(path.to_string().trim_start_matches('/'))),
                _ => beyond(excess, etc()),
            })?;
        }
        meter.finish().map_err(|excess| beyond(excess, etc()))
    }

    fn copy_into(&self, target: &mut Tree, below: &str, without: &[&str]) -> Result<(), FleetError> {
        for (path, id) in self.tree.walk() {
            let Some(first) = path.names().next() else { continue };
            let left_out = |names: &[&str]| names.iter().any(|name| name.as_bytes() == first);
            if is_version_control(&path) || left_out(without) {
                continue;
            }
            let source = self.tree.node(id);
            if !matches!(source.kind, Kind::Directory(_) | Kind::File(_) | Kind::Symlink(_)) {
                let path = self.folder.join(path.to_string().trim_start_matches('/'));
                return Err(FleetError::NotConfig { path, found: source.kind.name() });
            }
            let node = Node { metadata: self.metadata(&path, source), kind: without_entries(&source.kind) };
            let place = TreePath::parse([below.as_bytes(), &path.to_bytes()].concat());
            target.insert(&place.map_err(crate::tree::TreeError::from)?, node)?;
        }
        Ok(())
    }

    fn metadata(&self, path: &TreePath, node: &Node) -> Metadata {
        let executable = node.metadata.mode & 0o100 != 0;
        let key = path.name().is_some_and(|name| name.starts_with(b"ssh_host_") && name.ends_with(b"_key"));
        let mode = match node.kind {
            Kind::Directory(_) => 0o755,
            Kind::Symlink(_) => 0o777,
            _ if key => 0o600,
            _ if executable => 0o755,
            _ => 0o644,
        };
        let mut metadata = Metadata::new(mode).with_mtime(self.time);
        let relative = path.to_string();
        let entry = self.modes.as_ref().and_then(|modes| modes.get(relative.trim_start_matches('/')));
        if let Some(entry) = entry {
            if let (Some(mode), false) = (entry.mode, matches!(node.kind, Kind::Symlink(_))) {
                // The parser limits it to 7777.
                metadata.mode = (mode & 0o7777) as u16;
            }
            // Names of users are the image's: the agent resolves them on the node, from the same file.
            metadata.uid = entry.user.parse().unwrap_or(0);
            metadata.gid = entry.group.as_deref().and_then(|group| group.parse().ok()).unwrap_or(0);
        }
        metadata
    }
}

fn is_version_control(path: &TreePath) -> bool {
    path.names().any(|name| NOT_CONFIG.iter().any(|other| other.as_bytes() == name))
}

/// A copy of the node's kind. A directory is copied without its entries, which are inserted one by one.
fn without_entries(kind: &Kind) -> Kind {
    match kind {
        Kind::Directory(_) => Kind::Directory(std::collections::BTreeMap::new()),
        other => other.clone(),
    }
}

/// Whether `path` is a directory; an error if the system does not tell.
fn is_directory(path: &Path) -> Result<bool, FleetError> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.is_dir()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(source) => Err(FileError::new("reading", path, source).into()),
    }
}

/// The machine's own marker, after a check, or a default one with its name.
pub(super) fn marker_text(folder: &Path, node: &NodeName, role: Role) -> Result<String, FleetError> {
    let path = folder.join(marker::FILE_NAME);
    let Some(text) = read_optional_text(&path).at("reading", &path)? else {
        return Ok(format!("schema = 1\nrole = \"{role}\"\nnode = \"{node}\"\nglobal-links = [\"/etc/hosts\"]\n"));
    };
    if text.len() as u64 > marker::MAX_SIZE {
        return Err(FleetError::MarkerSize { path, found: text.len() as u64, expected: marker::MAX_SIZE });
    }
    let marker =
        Marker::parse(&text).map_err(|source| FleetError::Marker { path: path.clone(), source: Box::new(source) })?;
    let mismatch =
        |key, found: String, expected: String| FleetError::MarkerMismatch { path: path.clone(), key, found, expected };
    if marker.node != *node {
        return Err(mismatch("node", marker.node.to_string(), node.to_string()));
    }
    if marker.role != role {
        return Err(mismatch("role", marker.role.to_string(), role.to_string()));
    }
    Ok(text)
}

fn nearest(nodes: &Path, name: &str) -> String {
    let names = std::fs::read_dir(nodes).into_iter().flatten().flatten();
    let names: Vec<String> = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    match appliance_contract::nearest::nearest(name, &names.iter().map(String::as_str).collect::<Vec<_>>()) {
        Some(other) => format!("; did you mean {other:?}?"),
        _ if names.is_empty() => "; it has no nodes yet".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::causes::WithCauses as _;
    use appliance_contract::local_etc::{MAX_BYTES, MAX_DEPTH, MAX_ENTRIES};
    use std::fs;

    fn fleet() -> tempfile::TempDir {
        let fleet = tempfile::tempdir().unwrap();
        let etc = fleet.path().join("pservers/web1/etc/ssh");
        fs::create_dir_all(&etc).unwrap();
        fs::create_dir_all(fleet.path().join("global")).unwrap();
        fs::create_dir_all(fleet.path().join("pservers/web1/.git")).unwrap();
        fs::write(etc.join("ssh_host_ed25519_key"), "private").unwrap();
        fs::write(etc.join("ssh_host_ed25519_key.pub"), "public").unwrap();
        fs::write(fleet.path().join("pservers/web1/etc/secret"), "x").unwrap();
        fs::write(fleet.path().join("global/hosts"), "127.0.0.1 localhost\n").unwrap();
        fleet
    }

    #[test]
    fn a_marker_that_a_node_would_not_read_is_refused() {
        let fleet = fleet();
        let path = fleet.path().join("pservers/web1/appliance.toml");
        let read = || ConfigTree::read(fleet.path(), "web1", 0).map(drop).map_err(|error| error.with_causes());
        let text = "schema = 1\nrole = \"host\"\nnode = \"web1\"\n";
        let comment = |length: usize| format!("{text}#{}\n", "x".repeat(length - text.len() - 2));
        fs::write(&path, comment(65_536)).unwrap();
        assert_eq!(read(), Ok(()));
        fs::write(&path, comment(65_537)).unwrap();
        let error = read().unwrap_err();
        assert!(error.contains("appliance.toml has 65537 bytes, expected at most 65536"), "{error}");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("nowhere.toml", &path).unwrap();
        let error = read().unwrap_err();
        assert!(error.contains("appliance.toml: No such file"), "{error}");
    }

    fn get<'a>(config: &'a ConfigTree, path: &str) -> Option<&'a Node> {
        config.tree.get(&TreePath::parse(path).unwrap())
    }

    #[test]
    fn owners_become_root_and_modes_follow_the_file() {
        let fleet = fleet();
        fs::write(fleet.path().join("pservers/web1/modes"), "etc/secret 7:8 0640\n").unwrap();
        let config = ConfigTree::read(fleet.path(), "web1", 9).unwrap();
        let mode = |path| get(&config, path).map(|node| (node.metadata.mode, node.metadata.uid, node.metadata.gid));
        assert_eq!(mode("local/etc/ssh/ssh_host_ed25519_key"), Some((0o600, 0, 0)));
        assert_eq!(mode("local/etc/ssh/ssh_host_ed25519_key.pub"), Some((0o644, 0, 0)));
        assert_eq!(mode("local/etc/secret"), Some((0o640, 7, 8)));
        assert_eq!(mode("local/etc"), Some((0o755, 0, 0)));
        assert!(get(&config, "global/hosts").is_some());
        assert!(get(&config, "local/.git").is_none());
        assert!(get(&config, "appliance.toml").is_some());
        assert!(config.tree.walk().all(|(_, id)| config.tree.node(id).metadata.mtime == 9));
    }

    #[test]
    fn a_guests_own_config_has_its_role_and_no_other_is_taken() {
        let fleet = fleet();
        fs::create_dir_all(fleet.path().join("vservers/db/etc")).unwrap();
        let config = ConfigTree::read_guest(fleet.path(), "db", 0).unwrap();
        let Some(Kind::File(marker)) = get(&config, "appliance.toml").map(|node| &node.kind) else { panic!("none") };
        let marker = Marker::parse(&String::from_utf8(marker.read().unwrap()).unwrap()).unwrap();
        assert_eq!((marker.role, marker.node.as_str()), (Role::Guest, "db"));
        assert!(get(&config, "global/hosts").is_some());
        let path = fleet.path().join("vservers/db/appliance.toml");
        fs::write(path, "schema = 1\nrole = \"host\"\nnode = \"db\"\n").unwrap();
        let error = ConfigTree::read_guest(fleet.path(), "db", 0).unwrap_err().with_causes();
        assert!(error.contains("role = \"host\", expected \"guest\""), "{error}");
    }

    #[test]
    fn bad_input_is_named() {
        let fleet = fleet();
        let error = |name: &str| ConfigTree::read(fleet.path(), name, 0).unwrap_err().with_causes();
        assert!(error("web2").contains("did you mean \"web1\"?"));
        assert!(error("../x").contains("not a host name"));
        let folder = fleet.path().join("pservers/web1");
        fs::write(folder.join("modes"), "etc/scret root 0600\n").unwrap();
        assert!(error("web1").contains("\"etc/scret\", which does not exist"));
        fs::remove_file(folder.join("modes")).unwrap();
        fs::write(folder.join("appliance.toml"), "schema = 1\nrole = \"host\"\nnode = \"web9\"\n").unwrap();
        assert!(error("web1").contains("node = \"web9\", expected \"web1\""));
        let none = tempfile::tempdir().unwrap();
        assert!(ConfigTree::read(none.path(), "web1", 0).unwrap_err().with_causes().contains("applbuild init"));
    }

    #[test]
    fn what_no_repository_holds_is_refused_by_name() {
        use nix::sys::stat::Mode;
        let fleet = fleet();
        for folder in ["pservers/web1/etc", "global"] {
            let pipe = fleet.path().join(folder).join("pipe");
            nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
            let error = ConfigTree::read(fleet.path(), "web1", 0).unwrap_err().with_causes();
            assert!(error.contains(&format!("{folder}/pipe is a fifo")), "{error}");
            fs::remove_file(pipe).unwrap();
        }
        let socket = fleet.path().join("pservers/web1/etc/socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = ConfigTree::read(fleet.path(), "web1", 0).unwrap_err().with_causes();
        assert!(error.contains("etc/socket is a socket"), "{error}");
        fs::rename(socket, fleet.path().join("pservers/web1/.git/socket")).unwrap();
        assert!(ConfigTree::read(fleet.path(), "web1", 0).is_ok());
    }

    #[test]
    fn an_etc_beyond_the_agents_bounds_is_refused_before_it_ships() {
        let fleet = fleet();
        let etc = fleet.path().join("pservers/web1/etc");
        let read = || ConfigTree::read(fleet.path(), "web1", 0);
        let big = fs::File::create(etc.join("big")).unwrap();
        big.set_len(MAX_BYTES + 1).unwrap();
        assert!(matches!(read(), Err(FleetError::TooLarge { expected: MAX_BYTES, .. })), "{:?}", read().err());
        fs::remove_file(etc.join("big")).unwrap();

        let mut deep = etc.clone();
        deep.extend((0..MAX_DEPTH).map(|_| "d"));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), "").unwrap();
        assert!(read().is_ok(), "{:?}", read().err());
        fs::create_dir(deep.join("d")).unwrap();
        let error = read().unwrap_err().with_causes();
        assert!(error.contains("/d/d is nested deeper than 40 directories"), "{error}");
        fs::remove_dir_all(etc.join("d")).unwrap();

        let there = read().unwrap().tree.walk().filter(|(path, _)| path.to_string().starts_with("/local/etc/")).count();
        fs::create_dir(etc.join("many")).unwrap();
        for number in there + 1..MAX_ENTRIES {
            fs::write(etc.join(format!("many/{number}")), "").unwrap();
        }
        // Files of version control are not copied.
        fs::create_dir(etc.join("many/.svn")).unwrap();
        assert!(read().is_ok(), "{:?}", read().err());
        fs::write(etc.join("many/more"), "").unwrap();
        let error = read().unwrap_err();
        assert!(matches!(error, FleetError::TooMany { found: 20_001, .. }), "{error}");
    }
}
