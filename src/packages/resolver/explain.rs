//! Explains why a set of packages cannot be installed.

use super::universe::{PackageId, Universe};
use crate::packages::dependency::{Dependency, Group};
use crate::profile::Origin;
use std::collections::BTreeSet;

/// The reason for a clause.
#[derive(Debug)]
pub enum Because<'a> {
    Asked { origin: &'a Origin, name: &'a str, id: PackageId },
    Base { id: PackageId },
    Supplied { id: PackageId },
    Depends { of: PackageId, field: &'static str, group: Group<'a> },
    Conflicts { of: PackageId, field: &'static str, dependency: Dependency<'a>, with: PackageId },
}

impl Because<'_> {
    /// The package that the field or request belongs to.
    fn subject(&self) -> PackageId {
        match self {
            Self::Asked { id, .. } | Self::Base { id } | Self::Supplied { id } => *id,
            Self::Depends { of, .. } | Self::Conflicts { of, .. } => *of,
        }
    }
}

/// One sentence per reason, from a request down to the failure.
pub fn chain(universe: &Universe<'_>, reasons: Vec<&Because<'_>>) -> Vec<String> {
    let (roots, mut rest): (Vec<_>, Vec<_>) = reasons
        .into_iter()
        .partition(|reason| matches!(reason, Because::Asked { .. } | Because::Base { .. } | Because::Supplied { .. }));
    // Conflicts last: they are where the branches meet.
    rest.sort_by_key(|reason| matches!(reason, Because::Conflicts { .. }));
    let mut sentences = vec![];
    for root in roots {
        sentences.push(sentence(universe, root));
        let mut stack = vec![root.subject()];
        while let Some(package) = stack.pop() {
            let (mine, others): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|reason| matches!(reason, Because::Depends { of, .. } if *of == package));
            rest = others;
            for reason in mine {
                sentences.push(sentence(universe, reason));
                stack.extend(targets(universe, reason));
            }
        }
    }
    sentences.extend(rest.into_iter().map(|reason| sentence(universe, reason)));
    sentences
}

/// The names of all packages in the reasons, regardless of version.
pub fn involved(universe: &Universe<'_>, reasons: &[&Because<'_>]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for reason in reasons {
        names.insert(universe.name(reason.subject()).to_owned());
        match reason {
            Because::Depends { group, .. } => {
                names.extend(group.alternatives.iter().map(|alternative| alternative.name.to_owned()));
                names.extend(targets(universe, reason).into_iter().map(|id| universe.name(id).to_owned()));
            }
            Because::Conflicts { with, .. } => drop(names.insert(universe.name(*with).to_owned())),
            Because::Asked { .. } | Because::Base { .. } | Because::Supplied { .. } => {}
        }
    }
    names
}

fn targets(universe: &Universe<'_>, reason: &Because<'_>) -> Vec<PackageId> {
    let Because::Depends { group, .. } = reason else { return vec![] };
    group.alternatives.iter().rev().flat_map(|alternative| universe.satisfying(alternative)).collect()
}

fn sentence(universe: &Universe<'_>, reason: &Because<'_>) -> String {
    let shown = |id: PackageId| format!("{} {}", universe.name(id), universe.version(id));
    match reason {
        Because::Asked { origin, name, id } if universe.name(*id) == *name => format!("{origin} asks for {name}"),
        Because::Asked { origin, name, id } => {
            format!("{origin} asks for {name}, which {} alone provides", universe.name(*id))
        }
        Because::Base { id } => format!("every image has {}", universe.name(*id)),
        Because::Supplied { id } => format!("the build supplies {}", universe.name(*id)),
        Because::Depends { of, field, group } => {
            let verb = if *field == "Pre-Depends" { "pre-depends" } else { "depends" };
            let found = if targets(universe, reason).is_empty() { found(universe, group) } else { String::new() };
            format!("{} {verb} on {group}{found}", shown(*of))
        }
        Because::Conflicts { of, field, dependency, with } => {
            let verb = if *field == "Breaks" { "breaks" } else { "conflicts with" };
            let with = match universe.name(*with) == dependency.name {
                true if dependency.version.is_some() => {
                    format!(", and {} is {}", dependency.name, universe.version(*with))
                }
                true => String::new(),
                false => format!(", which {} provides", shown(*with)),
            };
            format!("{} {verb} {dependency}{with}", shown(*of))
        }
    }
}

/// What the index has instead of an unsatisfied dependency, including records that would satisfy it if they were valid.
fn found(universe: &Universe<'_>, group: &Group<'_>) -> String {
    let parts: Vec<_> = group.alternatives.iter().map(|alternative| found_of(universe, alternative)).collect();
    let ignored = group.alternatives.iter().flat_map(|alternative| universe.index.ignored(alternative.name));
    let ignored: String = ignored.map(|ignored| format!(" ({ignored})")).collect();
    format!(", of which there is {}{ignored}", parts.join(" and "))
}

fn found_of(universe: &Universe<'_>, wanted: &Dependency<'_>) -> String {
    let name = wanted.name;
    if let Some(id) = universe.candidate(name) {
        let place = universe.record(id).map_or("the build", |record| record.suite);
        let versions = universe.index.versions(name).iter().map(|id| universe.index.record(*id));
        let other = versions.into_iter().find(|record| wanted.accepts(Some(record.version)));
        let hint = other.filter(|other| other.version != universe.version(id)).map(|other| {
            format!(" ({name} {} in {} would do, if the profile asked for it by version)", other.version, other.suite)
        });
        return format!("{name} {} in {place}{}", universe.version(id), hint.unwrap_or_default());
    }
    match universe.providers(name).as_slice() {
        [] => format!("no {name} in {}", universe.index.suites().join(" and ")),
        providers => {
            let names: Vec<_> = providers.iter().map(|id| universe.name(*id)).collect();
            format!("no such version among what {} provide", names.join(", "))
        }
    }
}
