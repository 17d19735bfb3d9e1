//! `enable` and `mask` of the marker as links below `/etc/systemd/system`.

use super::Planner;
use crate::etc_plan::install::{Install, UnitName};
use std::collections::BTreeSet;

const SYSTEM: &str = "systemd/system";
/// Where units lie in an image, after `/etc` (systemd.unit(5), "Unit File Load Path").
const IMAGE_FOLDERS: [&str; 3] = ["etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system"];
/// Units that `Also=` may pull in, together.
const MAX_UNITS: usize = 256;

pub fn mask(planner: &mut Planner<'_>, name: &str) {
    match UnitName::parse(name) {
        Some(unit) => planner.link(&format!("{SYSTEM}/{}", unit.full), "/dev/null", "mask"),
        None => planner.refuse(&format!("mask {name}"), "it is not a unit's name"),
    }
}

pub fn enable(planner: &mut Planner<'_>, name: &str) {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![name.to_owned()];
    while let Some(name) = waiting.pop() {
        if seen.len() == MAX_UNITS {
            return planner.refuse(&format!("enable {name}"), "too many units name each other in Also=");
        }
        if seen.insert(name.clone()) {
            match enable_one(planner, &name) {
                Ok(also) => waiting.extend(also),
                Err(reason) => planner.refuse(&format!("enable {name}"), &reason),
            }
        }
    }
}

/// Makes the links of one unit; gives the names in its `Also=`.
fn enable_one(planner: &mut Planner<'_>, name: &str) -> Result<Vec<String>, String> {
    let unit = UnitName::parse(name).ok_or("it is not a unit's name")?;
    let (path, text) = find(planner, &unit)?;
    let install = Install::parse(&text);
    if !install.present {
        return Err(format!("{path} has no [Install] section, so there is nothing to enable"));
    }
    let unit = match (&install.default_instance, unit.is_template()) {
        (Some(instance), true) => unit.with_instance(instance),
        (None, true) => return Err(format!("{path} is a template: name an instance, like {name} with a word after @")),
        (_, false) => unit,
    };
    let expand = |text: &String| {
        unit.expand(text).and_then(|text| UnitName::parse(&text)).ok_or_else(|| {
            format!("{path} names {text:?} in [Install], which is not a unit's name or has a specifier not known here")
        })
    };
    for (kind, target) in &install.by {
        let target = expand(target)?.full;
        planner.link(&format!("{SYSTEM}/{target}.{kind}/{}", unit.full), &path, "enable");
    }
    for alias in &install.alias {
        planner.link(&format!("{SYSTEM}/{}", expand(alias)?.full), &path, "enable");
    }
    Ok(install.also)
}

/// The unit's file as the running system will see it, and its text.
fn find(planner: &Planner<'_>, unit: &UnitName) -> Result<(String, String), String> {
    for name in [Some(unit.full.clone()), unit.template()].into_iter().flatten() {
        let local = format!("etc/{SYSTEM}/{name}");
        if let Some(text) = planner.inputs.local.read(&local) {
            return Ok((format!("/{local}"), text));
        }
        for folder in IMAGE_FOLDERS {
            let path = format!("{folder}/{name}");
            if planner.inputs.image.link(&path).as_deref() == Some("/dev/null") {
                return Err(format!("it is masked in the image (/{path}); `links` in the marker can say otherwise"));
            }
            if let Some(text) = planner.inputs.image.read(&path) {
                return Ok((format!("/{path}"), text));
            }
        }
    }
    Err("there is no such unit in the image or the config".to_owned())
}
