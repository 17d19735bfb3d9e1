//! From a locked profile to the tree of its image: unpack, configure, lay files
//! over, normalise.

#![warn(missing_docs)]

mod dpkg;
mod error;
mod finish;
mod root_cache;
mod speculate;
mod unpack;
mod work_dir;

pub use error::AssembleError;
pub use finish::manifest::manifest;
pub use finish::overlay::open_set;
pub use root_cache::{are_kept, tools, tools_ahead};
pub use speculate::Ahead;
pub use unpack::package_files::Files;
pub use work_dir::WorkFolder;

use crate::embedded;
use crate::packages::{Ids, Lock};
use crate::profile::Profile;
use crate::progress::Progress;
use crate::sandbox::{self, Command, Exit};
use crate::templates;
use crate::tree::Tree;
use crate::util::file_error::At as _;
use appliance_contract::manifest::Manifest;
use appliance_contract::marker::Role;
use appliance_contract::medium;
use finish::{accounts, ids, normalise, overlay, prune, services, tree_edit};
use root_cache::LowerTree;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use unpack::Sources;
use unpack::install::Installer;

/// What an image's root is configured from.
#[derive(Debug)]
pub struct Request<'a> {
    /// The image's definition.
    pub profile: &'a Profile,
    /// The packages to configure.
    pub lock: &'a Lock,
    /// The package files, verified.
    pub files: &'a Files,
    /// Ids that other locks give, for users and groups that this one does not know.
    pub others: &'a Ids,
    /// Who may work ahead while packages are configured; `&()` does not.
    pub ahead: &'a dyn Ahead,
}

/// A root with all packages configured, and nothing of the profile's own but its users.
#[derive(Debug)]
pub struct Configured {
    /// Those of the lock, with what the packages brought beside them.
    pub ids: Ids,
    installer: Installer,
    below: Option<LowerTree>,
    epoch: i64,
    work: WorkFolder,
}

/// A whole image in a tree. `/boot` and `/usr/lib/modules` are in it; what goes
/// to the medium instead, its writer takes out.
#[derive(Debug)]
pub struct Assembled {
    /// All of the image.
    pub tree: Tree,
    /// As it stands in the tree, without the root's hash and the medium's files.
    pub manifest: Manifest,
    /// Seconds since 1970, the newest time in the tree.
    pub epoch: i64,
    /// Holds the contents that the tree names: to be kept as long as the tree.
    pub work: WorkFolder,
}

/// Unpacks and configures the lock's packages in `work`, inside the user namespace
/// that [`crate::sandbox::enter_user_namespace`] makes.
pub fn configure(
    request: &Request<'_>,
    work: WorkFolder,
    progress: &dyn Progress,
) -> Result<Configured, AssembleError> {
    let Request { profile, lock, files, others, ahead } = *request;
    let epoch = profile.source_date_epoch.unwrap_or(lock.date);
    let root = work.folder("root")?;
    fs::set_permissions(&root, Permissions::from_mode(0o755)).at("setting the mode of", &root)?;
    let mut installer = Installer::new(&root);
    if lock.packages.is_empty() {
        // What sets bring is taken as it is.
        return Ok(Configured { ids: lock.ids.clone(), installer, below: None, epoch, work });
    }
    let sources = Sources { packages: &lock.packages, files, epoch, ahead, prune: &profile.prune };
    let below = root_cache::install(&mut installer, &sources, &work, progress)?;
    overlay::declare_users(&mut installer, profile, epoch, &work.folder("declared")?)?;
    let ids = ids::settle(&root, &lock.ids, others)?;
    Ok(Configured { ids, installer, below, epoch, work })
}

impl Configured {
    /// Runs a program in the root, on this process's terminal, without network. What it changes is gone with the build's
    /// work directory.
    pub fn run_attached(&self, program: &OsStr, arguments: &[OsString]) -> Result<Exit, AssembleError> {
        let mut command = Command::new(self.installer.root.path(), program).source_date_epoch(self.epoch);
        command.arguments = arguments.to_vec();
        if let Some(terminal) = std::env::var_os("TERM") {
            command = command.variable("TERM", terminal);
        }
        Ok(sandbox::run_attached(&command)?)
    }

    /// Whether the root has this file.
    pub fn has(&self, path: &str) -> bool {
        self.installer.root.path().join(path).exists()
    }

    /// Lays the profile's own over the root and makes it an image. `lock` is the one
    /// that the root was configured from, with [`Configured::ids`]; `version` has the build number.
    pub fn assemble(self, profile: &Profile, lock: &Lock, version: &str) -> Result<Assembled, AssembleError> {
        let Self { mut installer, below, epoch, work, .. } = self;
        let root = installer.root.path().to_owned();
        let staged = work.folder("overlaid")?;
        overlay::unpack_sets(&mut installer, &profile.sets, &staged)?;
        if lock.packages.is_empty() {
            overlay::declare_users(&mut installer, profile, epoch, &work.folder("declared")?)?;
        }
        overlay::apply_overlays(&mut installer, profile, version, epoch, &staged)?;
        services::apply(&root, &profile.services, epoch)?;
        let mut tree = match below {
            Some(below) => below.with_changes()?,
            None => Tree::from_folder(&root)?,
        };
        normalise::add_extras(&mut tree, std::mem::take(&mut installer.extras))?;
        let manifest = finish::manifest::manifest(profile, lock, version, epoch)?;
        finish_tree(&mut tree, profile, &manifest, epoch)?;
        normalise::settle_times(&mut tree, &installer.times, epoch);
        Ok(Assembled { tree, manifest, epoch, work })
    }
}

/// What is done to the tree once no program will run in it any more.
fn finish_tree(tree: &mut Tree, profile: &Profile, manifest: &Manifest, epoch: i64) -> Result<(), AssembleError> {
    accounts::settle(tree, epoch)?;
    let pruned = prune::prune(tree, &profile.prune)?;
    if !profile.agent {
        // Not ours to boot: the sets are taken as they are.
        return Ok(());
    }
    normalise::clean(tree);
    normalise::drop_log_acls(tree)?;
    normalise::move_database(tree, epoch)?;
    normalise::fit_for_reading_only(tree, epoch)?;
    normalise::name_image(tree, &profile.name, &manifest.version, epoch)?;
    tree_edit::put_file(tree, medium::IN_IMAGE_COMMAND, embedded::COMMAND, 0o755, epoch)?;
    tree_edit::put_file(tree, medium::IN_IMAGE_MANIFEST, serde_json::to_vec_pretty(manifest)?, 0o644, epoch)?;
    if profile.kind == Role::Host {
        guest_templates(tree, epoch)?;
    }
    let lines: Vec<u8> = pruned.iter().flat_map(|path| [path.to_bytes().as_slice(), b"\n"].concat()).collect();
    tree_edit::put_file(tree, medium::IN_IMAGE_PRUNED, lines, 0o644, epoch)
}

/// What a host renders its guests' domain configs and QEMU's arguments from, where a profile's files bring none.
fn guest_templates(tree: &mut Tree, epoch: i64) -> Result<(), AssembleError> {
    for name in ["xl.cfg.hbs", "qemu-args.hbs"] {
        let place = format!("{}/templates/{name}", medium::IN_IMAGE);
        if tree_edit::find(tree, &place).is_none() {
            let source = templates::source(name)?;
            tree_edit::put_file(tree, &place, source.into_bytes(), 0o644, epoch)?;
        }
    }
    Ok(())
}
