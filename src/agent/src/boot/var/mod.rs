//! Step 8, var: `/var`. The image's own under a layer of memory, or a
//! disk: the one that `/etc/fstab` names, or the partition of the standard type
//! beside the config partition.
//!
//! A disk that cannot be had fails the step: a database that starts on nothing
//! loses what it is given. With `nofail` in fstab the node is degraded instead.

use super::config::Config;
use super::lookout::Watch;
use super::var_disk::{self, Problem};
use super::{Boot, BootError, failed, identity};
use crate::system::fstab::{self, Entry};
use crate::system::machine::{Mount, MountFlags};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// What `/var` lies on, for the record.
#[derive(Debug, PartialEq, Eq)]
pub struct Var {
    /// `image` or a device.
    pub on: String,
    /// Why it lies in memory, where the config wants a disk.
    pub degraded: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("{problem}; {mend}")]
pub struct VarError {
    problem: Problem,
    mend: &'static str,
}

const MEND_LINE: &str = "nofail among the options in /etc/fstab boots with /var in memory instead";
const MEND_PARTITION: &str = "it is taken for its partition type; a line for /var in /etc/fstab decides instead";

pub fn mount(boot: &mut Boot<'_>, config: &Config) -> Result<(Var, String), BootError> {
    let wanted = wanted(boot)?;
    if let Some(entry) = &wanted
        && entry.is_memory()
    {
        cover_unit(boot)?;
        return in_memory(boot, None);
    }
    match var_disk::open(boot, config, wanted.as_ref()) {
        Ok(None) => in_memory(boot, None),
        Ok(Some(disk)) => Ok((Var { on: disk.device, degraded: None }, disk.line)),
        Err(problem) if wanted.as_ref().is_some_and(Entry::no_fail) => {
            close(boot);
            let reason = problem.to_string();
            boot.warn(format!(
                "/var: {reason}; it lies in memory for this boot, as its line in /etc/fstab says nofail"
            ));
            cover_unit(boot)?;
            in_memory(boot, Some(reason))
        }
        Err(problem) => {
            if let Problem::Missing { .. } = &problem {
                boot.console.say(format!("var: looked at:\n  {}", boot.seen.join("\n  ")));
            } else {
                // Trying may have changed it: what is there now is no news.
                boot.seen.clear();
            }
            let mend = if wanted.is_some() { MEND_LINE } else { MEND_PARTITION };
            Err(VarError { problem, mend }.into())
        }
    }
}

/// Undoes what a failed [`mount`] left.
pub fn close(boot: &mut Boot<'_>) {
    // Not mounted is as good.
    let _ = boot.machine.unmount(&var_disk::beside(boot));
}

/// For the time a shell is open: says when a disk is there that would do.
pub fn watcher(config: &Config) -> impl FnMut(&mut Boot<'_>) {
    let mut watch = Watch::default();
    move |boot| {
        let Some(now) = watch.change(boot) else { return };
        if let Ok(wanted) = wanted(boot)
            && let Some((block, look)) = var_disk::find(&now, config, wanted.as_ref())
            && let Some(found) = look.file_system()
        {
            let device = &block.name;
            boot.console
                .say(format!("var: /dev/{device} ({}) is there now; leave the shell (exit) to try it", found.kind));
        }
    }
}

/// The line of the `/etc/fstab` that the running system will see.
fn wanted(boot: &mut Boot<'_>) -> Result<Option<Entry>, BootError> {
    let own = identity::layer(boot).join("fstab");
    let path = if fs::symlink_metadata(&own).is_ok() { own } else { boot.places.sysroot.join("etc/fstab") };
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed("reading", &path)(error)),
    };
    let mut entries = fstab::entries(&text, "/var");
    if entries.len() > 1 {
        let (count, first) = (entries.len(), &entries[0].source);
        boot.warn(format!("/etc/fstab has {count} lines for /var; the first, {first}, counts"));
    }
    entries.truncate(1);
    Ok(entries.pop())
}

fn in_memory(boot: &mut Boot<'_>, degraded: Option<String>) -> Result<(Var, String), BootError> {
    let target = boot.places.sysroot.join("var");
    overlay(boot, "var", &[&target], &target)?;
    let line = "the image's, with a layer of memory: changes are gone at the next boot".into();
    Ok((Var { on: "image".into(), degraded }, line))
}

/// Lays memory, mounted at `/run/appliance/NAME`, over `lower` at `target`; the
/// topmost of `lower` stands first.
pub fn overlay(boot: &mut Boot<'_>, name: &str, lower: &[&Path], target: &Path) -> Result<(), BootError> {
    boot.load_named(&["overlay"]);
    let folder = boot.places.ours().join(name);
    if !is_mounted_memory(boot, &folder) {
        fs::create_dir_all(&folder).map_err(failed("making the folder", &folder))?;
        boot.mount_memory(&folder, "50%").map_err(failed("mounting memory at", &folder))?;
    }
    let (upper, work) = (folder.join("memory"), folder.join("work"));
    for path in [&upper, &work] {
        fs::create_dir_all(path).map_err(failed("making the folder", path))?;
    }
    // The union's root shows the uppermost folder's mode and owner.
    let stat = fs::metadata(target).map_err(failed("looking at", target))?;
    boot.machine.set_owner(&upper, stat.uid(), stat.gid()).map_err(failed("setting the owner of", &upper))?;
    fs::set_permissions(&upper, fs::Permissions::from_mode(stat.mode() & 0o7777))
        .map_err(failed("setting the mode of", &upper))?;
    let lower: Vec<String> = lower.iter().map(|path| path.display().to_string()).collect();
    let options = format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), upper.display(), work.display());
    let mount = Mount { source: "appliance", target, kind: "overlay", flags: MountFlags::default(), options: &options };
    boot.machine.mount(&mount).map_err(failed("laying memory over", target))
}

/// The layer of `/etc` has its memory mounted already, for the config's files.
fn is_mounted_memory(boot: &Boot<'_>, folder: &Path) -> bool {
    folder == boot.places.ours().join("etc")
}

/// The unit that systemd makes from fstab waits for the missing device; one in
/// `/run` stands before it and describes what is there.
fn cover_unit(boot: &Boot<'_>) -> Result<(), BootError> {
    let folder = boot.places.run.join("systemd/system");
    fs::create_dir_all(&folder).map_err(failed("making the folder", &folder))?;
    let path = folder.join("var.mount");
    let text = "[Unit]\nDescription=/var in memory\n\n[Mount]\nWhat=appliance\nWhere=/var\nType=overlay\n";
    fs::write(&path, text).map_err(failed("writing", &path))
}

#[cfg(test)]
mod tests;
