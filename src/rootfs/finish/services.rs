//! Units that the profile enables, disables and masks, by the image's own systemctl.

use crate::profile::Services;
use crate::rootfs::dpkg::scripts::run_in;
use crate::rootfs::error::AssembleError;
use appliance_contract::nearest::nearest;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Where systemd looks for units, as the image's links resolve (systemd.unit(5)).
const FOLDERS: [&str; 3] = ["etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system"];
const SUFFIXES: [&str; 10] =
    [".service", ".socket", ".target", ".timer", ".mount", ".path", ".slice", ".automount", ".swap", ".device"];

pub fn apply(root: &Path, services: &Services, epoch: i64) -> Result<(), AssembleError> {
    let known = units(root);
    // Masking comes last: a masked unit can no longer be disabled.
    for (key, verb, wanted) in [
        ("disable", "disable", &services.disable),
        ("enable", "enable", &services.enable),
        ("mask", "mask", &services.mask),
    ] {
        if wanted.is_empty() {
            continue;
        }
        if !root.join("usr/bin/systemctl").exists() {
            return Err(AssembleError::NoSystemctl { key });
        }
        let wanted = wanted.iter().map(|name| unit(name, &known)).collect::<Result<Vec<_>, _>>()?;
        let mut arguments = vec!["--root=/", "--quiet", verb];
        arguments.extend(wanted.iter().map(String::as_str));
        run_in(root, epoch, "/usr/bin/systemctl", &arguments)?;
    }
    Ok(())
}

fn units(root: &Path) -> BTreeSet<String> {
    FOLDERS
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).into_iter().flatten().flatten())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| SUFFIXES.iter().any(|suffix| name.ends_with(suffix)))
        .collect()
}

/// The full name of a unit that is there.
fn unit(name: &str, known: &BTreeSet<String>) -> Result<String, AssembleError> {
    let full =
        if SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) { name.to_owned() } else { format!("{name}.service") };
    // getty@tty1.service is made of getty@.service.
    let template =
        full.split_once('@').and_then(|(before, after)| Some(format!("{before}@.{}", after.rsplit_once('.')?.1)));
    if known.contains(&full) || template.is_some_and(|template| known.contains(&template)) {
        return Ok(full);
    }
    let nearest = nearest(&full, &known.iter().map(String::as_str).collect::<Vec<_>>());
    let hint = nearest.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    Err(AssembleError::UnknownUnit { unit: full, hint })
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::causes::WithCauses as _;

    #[test]
    fn completes_names_and_proposes_the_nearest() {
        let known: BTreeSet<String> =
            ["ssh.service", "getty@.service", "apt-daily.timer"].into_iter().map(str::to_owned).collect();
        assert_eq!(unit("ssh", &known).unwrap(), "ssh.service");
        assert_eq!(unit("getty@ttyS0.service", &known).unwrap(), "getty@ttyS0.service");
        let error = unit("apt-dayli.timer", &known).unwrap_err();
        assert!(error.with_causes().ends_with("did you mean apt-daily.timer?"), "{error}");
        let error = unit("something-else-entirely", &known).unwrap_err();
        assert!(matches!(error, AssembleError::UnknownUnit { hint, .. } if hint.is_empty()));
    }
}
