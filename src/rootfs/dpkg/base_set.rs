//! The packages that must be configured before the scripts of the others can run.

use crate::rootfs::unpack::package::Package;
use std::collections::{BTreeMap, BTreeSet};

/// The indices of the base: essential packages, those that any package pre-depends on, and their dependencies.
/// base-files and base-passwd come first: they contain the symlinks of the merged `/usr` and the users.
pub fn base(packages: &[Package]) -> Vec<usize> {
    let known = Providers::new(packages);
    let mut wanted: Vec<usize> = Vec::new();
    for (index, package) in packages.iter().enumerate() {
        if package.essential() {
            wanted.push(index);
        }
        wanted.extend(known.of(package, "Pre-Depends"));
    }
    in_order(packages, known.needs(wanted))
}

/// The indices of `wanted` and their dependencies, in the order of [`base`].
pub fn closure(packages: &[Package], wanted: Vec<usize>) -> Vec<usize> {
    in_order(packages, Providers::new(packages).needs(wanted))
}

/// Packages by their own names and the names that they provide.
struct Providers<'p> {
    packages: &'p [Package],
    names: BTreeMap<String, Vec<usize>>,
}

impl<'p> Providers<'p> {
    fn new(packages: &'p [Package]) -> Self {
        let mut names: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, package) in packages.iter().enumerate() {
            names.entry(package.name.clone()).or_default().push(index);
            for name in package.control.names("Provides") {
                names.entry(name).or_default().push(index);
            }
        }
        Self { packages, names }
    }

    fn of(&self, package: &Package, field: &str) -> Vec<usize> {
        let names = package.control.names(field);
        names.iter().flat_map(|name| self.names.get(name)).flatten().copied().collect()
    }

    fn needs(&self, mut wanted: Vec<usize>) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        while let Some(index) = wanted.pop() {
            if found.insert(index) {
                for field in ["Depends", "Pre-Depends"] {
                    wanted.extend(self.of(&self.packages[index], field));
                }
            }
        }
        found
    }
}

fn in_order(packages: &[Package], found: BTreeSet<usize>) -> Vec<usize> {
    let mut order: Vec<usize> = found.into_iter().collect();
    // The sort is stable, so the others stay in the lock's order.
    order.sort_by_key(|&index| match packages[index].name.as_str() {
        "base-files" => 0,
        "base-passwd" => 1,
        _ => 2,
    });
    order
}
