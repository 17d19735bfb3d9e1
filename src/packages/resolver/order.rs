//! The order in which packages are unpacked.

use super::{ResolveError, read};
use crate::packages::index::Record;
use std::collections::{BTreeMap, BTreeSet};

/// base-files first (its links to /usr must be there before anything is written
/// through them), then each package after those it pre-depends on, by name
/// otherwise. Configuring in order of dependencies is dpkg's work.
pub fn unpack_order<'r, 'a>(packages: &[&'r Record<'a>]) -> Result<Vec<&'r Record<'a>>, ResolveError> {
    let mut names: BTreeMap<&str, &'r Record<'a>> = BTreeMap::new();
    for record in packages {
        names.insert(record.name, record);
    }
    let mut providers: BTreeMap<&str, Vec<&'r Record<'a>>> = BTreeMap::new();
    for record in names.values() {
        for provision in read(record, "Provides", record.provides)?.iter().flat_map(|group| &group.alternatives) {
            providers.entry(provision.name).or_default().push(record);
        }
    }
    let mut walk = Walk { names, providers, seen: BTreeSet::new(), order: vec![] };
    if let Some(base) = walk.names.get("base-files").copied() {
        // Nothing may go before it, so its own Pre-Depends (an awk) come after.
        walk.seen.insert(base.name);
        walk.order.push(base);
    }
    for record in walk.names.values().copied().collect::<Vec<_>>() {
        walk.visit(record)?;
    }
    Ok(walk.order)
}

struct Walk<'r, 'a> {
    names: BTreeMap<&'a str, &'r Record<'a>>,
    providers: BTreeMap<&'a str, Vec<&'r Record<'a>>>,
    seen: BTreeSet<&'a str>,
    order: Vec<&'r Record<'a>>,
}

impl<'r, 'a> Walk<'r, 'a> {
    /// Iterative, as an index could chain packages deeper than a stack is.
    fn visit(&mut self, first: &'r Record<'a>) -> Result<(), ResolveError> {
        let mut stack = vec![(first, false)];
        while let Some((record, ready)) = stack.pop() {
            if ready {
                self.order.push(record);
                continue;
            }
            if !self.seen.insert(record.name) {
                continue;
            }
            stack.push((record, true));
            for group in read(record, "Pre-Depends", record.pre_depends)? {
                for alternative in group.alternatives {
                    stack.extend(self.names.get(alternative.name).map(|record| (*record, false)));
                    let providers = self.providers.get(alternative.name);
                    stack.extend(providers.into_iter().flatten().map(|record| (*record, false)));
                }
            }
        }
        Ok(())
    }
}
