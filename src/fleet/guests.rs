//! Copies the configs of a node's guests from `vservers/` into the node's tree.

use super::config_tree::Source;
use super::{FleetError, GUESTS};
use crate::tree::Tree;
use crate::util::bounded_read::read_optional_text;
use crate::util::file_error::{At as _, FileError};
use appliance_contract::guest::{CONFIG, FILE_NAME, GuestConfig};
use appliance_contract::marker::{NodeName, Role};
use appliance_contract::nearest::nearest;
use std::path::Path;

/// The directory of a node's tree that has a directory for each of its guests.
const FOLDER: &str = "domUs";

/// Copies `vservers/GUEST/` to each guest of the node in `folder` whose guest.toml names it.
pub(super) fn put(fleet: &Path, folder: &Path, tree: &mut Tree, time: i64) -> Result<(), FleetError> {
    let guests = folder.join(FOLDER);
    for name in names(&guests)? {
        let path = guests.join(&name).join(FILE_NAME);
        let Some(text) = read_optional_text(&path).at("reading", &path)? else { continue };
        let config = GuestConfig::parse(&text).map_err(|source| FleetError::Guest { path: path.clone(), source })?;
        let Some(vserver) = config.vserver else { continue };
        let own = guests.join(&name).join(CONFIG);
        if own.exists() {
            return Err(FleetError::TwoConfigs { path, own, vserver: vserver.to_string() });
        }
        let source = vserver_folder(fleet, &path, &vserver)?;
        // The host merges the guest's marker into the one that it writes.
        super::config_tree::marker_text(&source, &vserver, Role::Guest)?;
        Source::open(source, time)?.put(tree, &format!("local/{FOLDER}/{name}/{CONFIG}"), &[])?;
    }
    Ok(())
}

fn vserver_folder(fleet: &Path, path: &Path, vserver: &NodeName) -> Result<std::path::PathBuf, FleetError> {
    let all = fleet.join(GUESTS);
    let folder = all.join(vserver.as_str());
    if folder.is_dir() {
        return Ok(folder);
    }
    let known = names(&all)?;
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let hint = match nearest(vserver.as_str(), &known) {
        Some(near) => format!("; did you mean {near:?}?"),
        None if known.is_empty() => "; it has no guests yet".to_owned(),
        None => format!("; the guests are: {}", known.join(", ")),
    };
    Err(FleetError::NoVserver { path: path.to_owned(), vserver: vserver.to_string(), folder: all, hint })
}

/// The names of the directories in `folder`, sorted; none if it does not exist.
fn names(folder: &Path) -> Result<Vec<String>, FleetError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(FleetError::from(FileError::new("reading", folder.to_owned(), source))),
    };
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::ConfigTree;
    use crate::tree::TreePath;
    use appliance_contract::causes::WithCauses as _;
    use std::fs;

    fn fleet(guest: &str) -> tempfile::TempDir {
        let fleet = tempfile::tempdir().unwrap();
        let root = fleet.path();
        fs::create_dir_all(root.join("pservers/node1/domUs/web")).unwrap();
        fs::create_dir_all(root.join("vservers/web/etc")).unwrap();
        fs::write(root.join("vservers/web/etc/secret"), "x").unwrap();
        fs::write(root.join("vservers/web/modes"), "etc/secret root:root 0600\n").unwrap();
        fs::write(root.join("vservers/web/appliance.toml"), "schema = 1\nrole = \"guest\"\nnode = \"web\"\n").unwrap();
        fs::write(root.join("pservers/node1/domUs/web/guest.toml"), guest).unwrap();
        fleet
    }

    const GUEST: &str = "schema = 1\nimage = \"guest-web\"\nmemory = \"128M\"\n";

    #[test]
    fn a_guest_toml_that_is_no_file_is_refused_at_once() {
        let fleet = fleet(GUEST);
        let path = fleet.path().join("pservers/node1/domUs/web/guest.toml");
        let read = || ConfigTree::read(fleet.path(), "node1", 7).map(drop).unwrap_err().with_causes();
        fs::remove_file(&path).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("pipe"), &path).unwrap();
        assert!(read().contains("guest.toml: No such file"), "{}", read());
        nix::unistd::mkfifo(&elsewhere.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read().contains("guest.toml: found a pipe"), "{}", read());
    }

    #[test]
    fn a_vservers_tree_becomes_the_guests_config_with_its_modes() {
        let fleet = fleet(&format!("{GUEST}vserver = \"web\"\n"));
        let config = ConfigTree::read(fleet.path(), "node1", 7).unwrap();
        let get = |path: &str| config.tree.get(&TreePath::parse(path).unwrap());
        let secret = get("local/domUs/web/config/etc/secret").unwrap();
        assert_eq!((secret.metadata.mode, secret.metadata.uid, secret.metadata.mtime), (0o600, 0, 7));
        assert!(get("local/domUs/web/config/modes").is_some());
        assert!(get("local/domUs/web/guest.toml").is_some());
        assert!(get("local/domUs/web/config/appliance.toml").is_some());
    }

    #[test]
    fn a_guest_without_a_vserver_has_what_lies_beside_it() {
        let fleet = fleet(GUEST);
        let config = ConfigTree::read(fleet.path(), "node1", 0).unwrap();
        assert!(config.tree.get(&TreePath::parse("local/domUs/web/config").unwrap()).is_none());
    }

    #[test]
    fn bad_guests_are_refused_before_they_ship() {
        for (more, said) in [
            ("vserver = \"wep\"\n", "did you mean \"web\"?"),
            ("vserver = \"db.example\"\n", "the guests are: web"),
            ("memroy = \"1G\"\n", "did you mean memory?"),
        ] {
            let fleet = fleet(&format!("{GUEST}{more}"));
            let error = ConfigTree::read(fleet.path(), "node1", 0).unwrap_err().with_causes();
            assert!(error.contains(said) && error.contains("guest.toml"), "{error}: expected {said}");
        }
        let fleet = fleet(&format!("{GUEST}vserver = \"web\"\n"));
        let marker = fleet.path().join("vservers/web/appliance.toml");
        fs::write(&marker, "schema = 1\nrole = \"host\"\nnode = \"web\"\n").unwrap();
        let error = ConfigTree::read(fleet.path(), "node1", 0).unwrap_err().with_causes();
        assert!(error.contains("expected \"guest\""), "{error}");
        fs::remove_file(marker).unwrap();
        fs::create_dir(fleet.path().join("pservers/node1/domUs/web/config")).unwrap();
        let error = ConfigTree::read(fleet.path(), "node1", 0).unwrap_err().with_causes();
        assert!(error.contains("leave one of the two out"), "{error}");
    }
}
