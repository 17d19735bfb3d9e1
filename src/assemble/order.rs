//! Which packages must work before the scripts of the others can run.

use super::package::Package;
use std::collections::{BTreeMap, BTreeSet};

/// The indices of the base: what is essential, what any package pre-depends on,
/// and all that these depend on. base-files and base-passwd come first: they
/// bring the links of the merged `/usr` and the users.
pub fn base(packages: &[Package]) -> Vec<usize> {
    let mut providers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, package) in packages.iter().enumerate() {
        providers.entry(package.name.clone()).or_default().push(index);
        for name in package.control.names("Provides") {
            providers.entry(name).or_default().push(index);
        }
    }
    let find = |name: &String| providers.get(name).into_iter().flatten().copied();
    let mut wanted: Vec<usize> = Vec::new();
    for (index, package) in packages.iter().enumerate() {
        if package.essential() {
            wanted.push(index);
        }
        wanted.extend(package.control.names("Pre-Depends").iter().flat_map(find));
    }
    let mut base = BTreeSet::new();
    while let Some(index) = wanted.pop() {
        if base.insert(index) {
            for field in ["Depends", "Pre-Depends"] {
                wanted.extend(packages[index].control.names(field).iter().flat_map(find));
            }
        }
    }
    let mut order: Vec<usize> = base.into_iter().collect();
    // Stable, so the rest stays as it is in the lock.
    order.sort_by_key(|&index| match packages[index].name.as_str() {
        "base-files" => 0,
        "base-passwd" => 1,
        _ => 2,
    });
    order
}
