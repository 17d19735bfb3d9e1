//! From a locked profile to the tree of its image: unpacks and configures packages, applies the overlay, normalises.

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
pub use root_cache::{are_cached, prefetch_tools, tools};
pub use speculate::SpeculationHooks;
pub use unpack::package_files::Files;
pub use work_dir::WorkDir;

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

/// The inputs of an image's root.
#[derive(Debug)]
pub struct Request<'a> {
    /// The image's definition.
    pub profile: &'a Profile,
    /// The packages to configure.
    pub lock: &'a Lock,
    /// The package files, verified.
    pub files: &'a Files,
    /// Ids in other locks, for users and groups that are not in this lock.
    pub others: &'a Ids,
    /// Hooks that start speculative work while packages are configured; `&()` starts none.
    pub hooks: &'a dyn SpeculationHooks,
}

/// A root with all packages configured. Of the profile's own files it has only those that declare users.
#[derive(Debug)]
pub struct Configured {
    /// The ids of the lock, and those that the packages added.
    pub ids: Ids,
    installer: Installer,
    lower: Option<LowerTree>,
    epoch: i64,
    work: WorkDir,
}

/// The tree of a whole image, including `/boot` and `/usr/lib/modules`. The output writer removes what belongs on the
/// medium.
#[derive(Debug)]
pub struct Assembled {
    /// The whole image.
    pub tree: Tree,
    /// The manifest as it is in the tree, without the root's hash and the medium's files.
    pub manifest: Manifest,
    /// Seconds since 1970: no time in the tree is later.
    pub epoch: i64,
    /// Contains the files that the tree refers to; must live as long as the tree.
    pub work: WorkDir,
}

/// Unpacks and configures the lock's packages in `work`. Must run in the user namespace
/// ([`crate::sandbox::enter_user_namespace`]).
pub fn configure(request: &Request<'_>, work: WorkDir, progress: &dyn Progress) -> Result<Configured, AssembleError> {
    let Request { profile, lock, files, others, hooks } = *request;
    let epoch = profile.source_date_epoch.unwrap_or(lock.date);
    let root = work.subdirectory("root")?;
    fs::set_permissions(&root, Permissions::from_mode(0o755)).at("setting the mode of", &root)?;
    let mut installer = Installer::new(&root);
    if lock.packages.is_empty() {
        // A root of tar sets alone is used as it is.
        return Ok(Configured { ids: lock.ids.clone(), installer, lower: None, epoch, work });
    }
    let sources = Sources { packages: &lock.packages, files, epoch, hooks, prune: &profile.prune };
    let lower = root_cache::install(&mut installer, &sources, &work, progress)?;
    overlay::declare_users(&mut installer, profile, epoch, &work.subdirectory("declared")?)?;
    let ids = ids::settle(&root, &lock.ids, others)?;
    Ok(Configured { ids, installer, lower, epoch, work })
}

impl Configured {
    /// Runs a program in the root, on this process's terminal, without network. Its changes are deleted with the
    /// build's work directory.
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

    /// Applies the profile's sets, overlay and services to the root and makes the image's tree. `lock` is the one that
    /// the root was configured from, with [`Configured::ids`]; `version` includes the build number.
    pub fn assemble(self, profile: &Profile, lock: &Lock, version: &str) -> Result<Assembled, AssembleError> {
        let Self { mut installer, lower, epoch, work, .. } = self;
        let root = installer.root.path().to_owned();
        let staged = work.subdirectory("overlaid")?;
        overlay::unpack_sets(&mut installer, &profile.sets, &staged)?;
        if lock.packages.is_empty() {
            overlay::declare_users(&mut installer, profile, epoch, &work.subdirectory("declared")?)?;
        }
        overlay::apply_overlays(&mut installer, profile, version, epoch, &staged)?;
        services::apply(&root, &profile.services, epoch)?;
        let mut tree = match lower {
            Some(lower) => lower.with_changes()?,
            None => Tree::from_directory(&root)?,
        };
        normalise::add_extras(&mut tree, std::mem::take(&mut installer.extras))?;
        let manifest = finish::manifest::manifest(profile, lock, version, epoch)?;
        finish_tree(&mut tree, profile, &manifest, epoch)?;
        normalise::settle_times(&mut tree, &installer.times, epoch);
        Ok(Assembled { tree, manifest, epoch, work })
    }
}

/// The changes to the tree after the last program has run in the root.
fn finish_tree(tree: &mut Tree, profile: &Profile, manifest: &Manifest, epoch: i64) -> Result<(), AssembleError> {
    accounts::settle(tree, epoch)?;
    let pruned = prune::prune(tree, &profile.prune)?;
    if !profile.agent {
        // Without the agent the sets stay as they are.
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

/// Adds the templates of guests' domain configs and QEMU arguments, unless the profile's files contain them.
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
