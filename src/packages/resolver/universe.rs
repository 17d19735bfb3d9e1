//! Maps package names to candidates: one for each name, by apt's policy, and the packages that satisfy a dependency.

use super::Supplied;
use crate::packages::archive::index::{Index, MultiArch, Priority, Record, RecordId};
use crate::packages::dependency::{Dependency, DependencyError, Qualifier};
use crate::packages::version::Version;
use appliance_contract::causes::WithCauses as _;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A package that may be chosen. In the order, supplied packages come after the archive's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PackageId {
    Archive(RecordId),
    /// Its index in the request's list.
    Supplied(usize),
}

/// A package that the build creates, with its fields parsed.
#[derive(Debug)]
pub struct SuppliedPackage<'a> {
    pub name: &'a str,
    pub version: Version<'a>,
    pub provides: Vec<Dependency<'a>>,
}

#[derive(Debug)]
pub struct Universe<'a> {
    pub index: &'a Index<'a>,
    pub architecture: &'a str,
    pub supplied: Vec<SuppliedPackage<'a>>,
    /// Versions that the request names; they replace the highest.
    pub pins: BTreeMap<&'a str, RecordId>,
}

impl<'a> Universe<'a> {
    pub fn name(&self, id: PackageId) -> &'a str {
        match id {
            PackageId::Archive(id) => self.index.record(id).name,
            PackageId::Supplied(position) => self.supplied[position].name,
        }
    }

    pub fn version(&self, id: PackageId) -> Version<'a> {
        match id {
            PackageId::Archive(id) => self.index.record(id).version,
            PackageId::Supplied(position) => self.supplied[position].version,
        }
    }

    pub fn record(&self, id: PackageId) -> Option<&'a Record<'a>> {
        match id {
            PackageId::Archive(id) => Some(self.index.record(id)),
            PackageId::Supplied(_) => None,
        }
    }

    /// The only version of `name` that may be chosen: the build's own, the requested one, or the highest.
    pub fn candidate(&self, name: &str) -> Option<PackageId> {
        if let Some(position) = self.supplied.iter().position(|supplied| supplied.name == name) {
            return Some(PackageId::Supplied(position));
        }
        let id = self.pins.get(name).or_else(|| self.index.versions(name).first())?;
        Some(PackageId::Archive(*id))
    }

    /// The candidates that provide `name`, with the version provided, in no particular order.
    fn provisions(&self, name: &str) -> Vec<(PackageId, Option<Version<'a>>)> {
        let archive = self.index.providers(name).iter().filter_map(|(id, version)| {
            let id = PackageId::Archive(*id);
            (self.candidate(self.name(id)) == Some(id)).then_some((id, *version))
        });
        let supplied = self.supplied.iter().enumerate().flat_map(|(position, supplied)| {
            let named = supplied.provides.iter().filter(move |provision| provision.name == name);
            named.map(move |provision| (PackageId::Supplied(position), provision.version.map(|(_, version)| version)))
        });
        archive.chain(supplied).collect()
    }

    /// The packages that provide `name`, in apt's order of preference.
    pub fn providers(&self, name: &str) -> Vec<PackageId> {
        let mut ids: Vec<_> = self.provisions(name).into_iter().map(|(id, _)| id).collect();
        self.sort(&mut ids);
        ids
    }

    /// The packages that satisfy `dependency`, in apt's order of preference: the package of that name, then its
    /// providers.
    pub fn satisfying(&self, dependency: &Dependency<'_>) -> Vec<PackageId> {
        let real = self.candidate(dependency.name).filter(|id| {
            dependency.accepts(Some(self.version(*id))) && self.has_architecture(*id, dependency.qualifier)
        });
        let mut providers: Vec<_> = self
            .provisions(dependency.name)
            .into_iter()
            .filter(|(id, version)| dependency.accepts(*version) && self.has_architecture(*id, dependency.qualifier))
            .map(|(id, _)| id)
            .filter(|id| Some(*id) != real)
            .collect();
        self.sort(&mut providers);
        real.into_iter().chain(providers).collect()
    }

    /// The packages that a Conflicts or Breaks of `of` excludes: never the package itself (Policy 7.4, 7.5).
    pub fn conflicting(&self, of: PackageId, dependency: &Dependency<'_>) -> Vec<PackageId> {
        // A negative relation without a qualifier applies to every architecture.
        let mut hit = self.satisfying(dependency);
        hit.retain(|id| *id != of);
        hit
    }

    /// Like apt's `CompareProviders`: essential, protected, then the higher priority. Among equals apt takes the
    /// package that its cache met last, mostly the last by name; here the name alone decides, so that the choice is
    /// stable.
    fn sort(&self, ids: &mut Vec<PackageId>) {
        let key = |id: &PackageId| {
            let record = self.record(*id);
            (
                // Packages that the build supplies come first.
                record.is_some(),
                record.is_some_and(|record| record.additional),
                !record.is_some_and(|record| record.essential),
                !record.is_some_and(|record| record.protected),
                record.map_or(Priority::Optional, |record| record.priority),
                Reverse(self.name(*id)),
            )
        };
        ids.sort_by(|a, b| key(a).cmp(&key(b)));
        ids.dedup();
    }

    /// `:any` requires `Multi-Arch: allowed`; `all` packages count as native (deb-control(5)).
    fn has_architecture(&self, id: PackageId, qualifier: Option<Qualifier<'_>>) -> bool {
        match qualifier {
            None | Some(Qualifier::Native) => true,
            Some(Qualifier::Any) => self.record(id).is_none_or(|record| record.multi_arch == MultiArch::Allowed),
            Some(Qualifier::Architecture(architecture)) => architecture == self.architecture || architecture == "all",
        }
    }
}

impl<'a> SuppliedPackage<'a> {
    pub fn read(supplied: &'a Supplied) -> Result<Self, super::ResolveError> {
        let wrong = |what: String| super::ResolveError::Supplied { name: supplied.name.clone(), what };
        let version = Version::parse(&supplied.version).map_err(|error| wrong(error.with_causes()))?;
        let provides = supplied.provides.iter().map(|text| Dependency::parse(text));
        let provides =
            provides.collect::<Result<_, _>>().map_err(|error: DependencyError| wrong(error.with_causes()))?;
        Ok(Self { name: &supplied.name, version, provides })
    }
}
