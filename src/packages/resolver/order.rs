//! The order in which packages are unpacked.

use crate::packages::archive::index::Record;
use crate::packages::dependency::{self, DependencyError};
use std::collections::{BTreeMap, BTreeSet};

/// The fields that determine a package's position, from a record or from the package's own control file.
#[derive(Debug, Clone, Copy)]
pub struct Unpack<'a> {
    /// The package's name.
    pub name: &'a str,
    /// Its `Pre-Depends` field.
    pub pre_depends: &'a str,
    /// Its `Provides` field.
    pub provides: &'a str,
}

impl<'a> From<&Record<'a>> for Unpack<'a> {
    fn from(record: &Record<'a>) -> Self {
        Self { name: record.name, pre_depends: record.pre_depends, provides: record.provides }
    }
}

/// The indices of `packages` in the order to unpack them: base-files first (its symlinks to /usr must exist before
/// anything is written through them), then each package after its pre-dependencies, otherwise by name. dpkg itself
/// configures in dependency order.
pub fn unpack_order(packages: &[Unpack<'_>]) -> Result<Vec<usize>, DependencyError> {
    let mut walk = Walk { packages, providers: BTreeMap::new(), seen: BTreeSet::new(), order: vec![] };
    let mut by_name: Vec<usize> = (0..packages.len()).collect();
    by_name.sort_by_key(|position| packages[*position].name);
    for &position in &by_name {
        let package = packages[position];
        walk.providers.entry(package.name).or_default().push(position);
        for provision in dependency::parse(package.provides)?.iter().flat_map(|group| &group.alternatives) {
            walk.providers.entry(provision.name).or_default().push(position);
        }
    }
    if let Some(base) = by_name.iter().copied().find(|position| packages[*position].name == "base-files") {
        // Nothing may precede it, so its own Pre-Depends (an awk) come after it.
        walk.seen.insert(base);
        walk.order.push(base);
    }
    for position in by_name {
        walk.visit(position)?;
    }
    Ok(walk.order)
}

struct Walk<'p, 'a> {
    packages: &'p [Unpack<'a>],
    /// The packages that have or provide a name.
    providers: BTreeMap<&'a str, Vec<usize>>,
    seen: BTreeSet<usize>,
    order: Vec<usize>,
}

impl Walk<'_, '_> {
    /// Iterative, because an index could chain packages deeper than the stack allows.
    fn visit(&mut self, first: usize) -> Result<(), DependencyError> {
        let mut stack = vec![(first, false)];
        while let Some((position, ready)) = stack.pop() {
            if ready {
                self.order.push(position);
                continue;
            }
            if !self.seen.insert(position) {
                continue;
            }
            stack.push((position, true));
            for group in dependency::parse(self.packages[position].pre_depends)? {
                for alternative in group.alternatives {
                    let providers = self.providers.get(alternative.name);
                    stack.extend(providers.into_iter().flatten().map(|position| (*position, false)));
                }
            }
        }
        Ok(())
    }
}
