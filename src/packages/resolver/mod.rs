//! Resolves a request to the set of packages that apt would install.
//!
//! The search walks the dependencies depth first as apt does, requested packages first, and takes the first alternative
//! that is not ruled out. The clause solver ([`sat`]) decides what is ruled out. So where apt's greedy walk would stop
//! with broken packages, this search goes on to a solution or to a proof that there is none. (The resolvo crate solves
//! the same problem, but it knows neither apt's order of preference nor virtual packages, and its reasons name neither
//! profile lines nor fields.)

mod explain;
mod order;
mod sat;
mod search;
mod universe;

pub use order::{Unpack, unpack_order};

use super::archive::index::{Index, Record, RecordId};
use super::dependency::DependencyError;
use crate::profile::{Origin, PackageRequest};
use sat::{Outcome, Solver};
use search::Search;
use std::collections::{BTreeMap, BTreeSet};
use universe::{SuppliedPackage, Universe};

/// Which packages are installed without being requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseSet {
    /// No package.
    None,
    /// `Essential: yes`.
    Essential,
    /// Essential packages and those of priority `required`.
    Required,
}

/// Whether packages must be installable together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflicts {
    /// They must be, as on an installed system.
    Respect,
    /// They need not be: each package is only unpacked, for its files.
    Ignore,
}

/// A package that the build creates itself: it is in the result but not in the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supplied {
    /// The package's name.
    pub name: String,
    /// Its version (deb-version(7)).
    pub version: String,
    /// Entries of its `Provides` field: `linux-initramfs-tool`, `foo (= 1.2)`.
    pub provides: Vec<String>,
}

/// What a set of packages must satisfy.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Debian's name of the architecture: `amd64`.
    pub architecture: &'a str,
    /// The packages requested by name.
    pub packages: &'a [PackageRequest],
    /// The packages that are added without a request.
    pub base: BaseSet,
    /// Whether `Recommends` are followed.
    pub recommends: bool,
    /// Whether `Conflicts` and `Breaks` count.
    pub conflicts: Conflicts,
    /// Packages that the build creates itself.
    pub supplied: &'a [Supplied],
    /// Versions to prefer over the highest, by package name; ignored if the index lacks them or a request names another
    /// version.
    pub keep: &'a BTreeMap<String, String>,
}

/// The packages to install, sorted by name, without the supplied ones.
#[derive(Debug)]
pub struct Resolution<'a> {
    /// A version of each package.
    pub packages: Vec<&'a Record<'a>>,
}

/// Why no set of packages satisfies a request.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// No suite has a package or provider of this name.
    #[error("{origin} asks for {name}, which {suites} {have} not{}", nearest.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default())]
    Unknown {
        /// The profile's line that requests it.
        origin: Origin,
        /// The name.
        name: String,
        /// The suites that were searched.
        suites: String,
        /// `has` or `have`, by the number of suites.
        have: &'static str,
        /// The nearest existing name.
        nearest: Option<String>,
    },
    /// No record of the package can be used.
    #[error("{origin} asks for {name}, but {}", ignored.join("; "))]
    Ignored {
        /// The profile's line that requests it.
        origin: Origin,
        /// The name.
        name: String,
        /// The records, each with its problem.
        ignored: Vec<String>,
    },
    /// No suite has this version of the package.
    #[error("{origin} asks for {name} in version {version}, found {}", found.join(", "))]
    UnknownVersion {
        /// The profile's line that requests it.
        origin: Origin,
        /// The package.
        name: String,
        /// The version.
        version: String,
        /// The available versions, each with its suite.
        found: Vec<String>,
    },
    /// Several packages provide the name.
    #[error("{origin} asks for {name}, a virtual package that {} provide; name one of them", providers.join(", "))]
    Virtual {
        /// The profile's line that requests it.
        origin: Origin,
        /// The name.
        name: String,
        /// The packages.
        providers: Vec<String>,
    },
    /// Two lines request different versions of one package.
    #[error("{} asks for {} in version {}, and {} in version {}", first.origin, first.name, first.version.as_deref().unwrap_or_default(), second.origin, second.version.as_deref().unwrap_or_default())]
    TwoVersions {
        /// One of the lines.
        first: Box<PackageRequest>,
        /// The other.
        second: Box<PackageRequest>,
    },
    /// Dependencies and conflicts contradict each other.
    #[error("the packages asked for cannot be installed together: {}", chain.join("; "))]
    Unsatisfiable {
        /// A minimal set of reasons, ordered from a request to the failure.
        chain: Vec<String>,
        /// The packages in the chain.
        involved: BTreeSet<String>,
    },
    /// The search took too long.
    #[error("resolving the packages: gave up after {conflicts} conflicts; ask for a version or an alternative by name")]
    GaveUp {
        /// The number of conflicts after which it stopped.
        conflicts: usize,
    },
    /// A relation field of a record cannot be parsed.
    #[error("reading {field} of {name} {version}")]
    Field {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        source: Box<DependencyError>,
    },
    /// A package that the build creates has an invalid description.
    #[error("the build's own package {name}: {what}")]
    Supplied {
        /// The package.
        name: String,
        /// What is wrong.
        what: String,
    },
}

/// Far more than any Debian release needs; bounds the time for constructed indices.
const MOST_CONFLICTS: usize = 20_000;

/// Returns the packages that satisfy `request`, or the reason why there are none.
pub fn resolve<'a>(index: &'a Index<'a>, request: &Request<'_>) -> Result<Resolution<'a>, ResolveError> {
    let supplied = request.supplied.iter().map(SuppliedPackage::read).collect::<Result<_, _>>()?;
    let mut universe = Universe { index, architecture: request.architecture, supplied, pins: BTreeMap::new() };
    universe.pins = pins(&universe, request.packages)?;
    for (name, version) in request.keep {
        let ids = universe.index.versions(name).iter();
        if let Some((id, name)) = ids
            .map(|id| (*id, universe.index.record(*id)))
            .find_map(|(id, record)| (record.version.as_str() == version).then_some((id, record.name)))
        {
            universe.pins.entry(name).or_insert(id);
        }
    }
    let mut search = Search::new(universe, request);
    let mut solver = Solver::default();
    search.add_roots(request, &mut solver)?;
    let outcome = solver.solve(&mut search, MOST_CONFLICTS);
    if let Some(error) = search.error {
        return Err(error);
    }
    match outcome {
        Outcome::Satisfied => {
            let mut packages: Vec<_> = search.records().into_iter().map(|id| index.record(id)).collect();
            packages.sort_by_key(|record| record.name);
            Ok(Resolution { packages })
        }
        Outcome::Unsatisfiable(core) => {
            let core = solver.minimise(core);
            let because: Vec<_> = core.into_iter().map(|clause| &search.because[&clause]).collect();
            let involved = explain::involved(&search.universe, &because);
            Err(ResolveError::Unsatisfiable { chain: explain::chain(&search.universe, because), involved })
        }
        Outcome::GaveUp => Err(ResolveError::GaveUp { conflicts: MOST_CONFLICTS }),
    }
}

/// The versions that the profile requests explicitly.
fn pins<'a>(
    universe: &Universe<'a>,
    requests: &'a [PackageRequest],
) -> Result<BTreeMap<&'a str, RecordId>, ResolveError> {
    let mut pins: BTreeMap<&str, (u32, &PackageRequest)> = BTreeMap::new();
    for request in requests {
        let Some(wanted) = &request.version else { continue };
        let ids = universe.index.versions(&request.name);
        if ids.is_empty() {
            continue;
        }
        let same = |id: &&u32| universe.index.record(**id).version.as_str() == wanted;
        let Some(&id) = ids.iter().find(same) else {
            let found = ids.iter().map(|id| universe.index.record(*id));
            return Err(ResolveError::UnknownVersion {
                origin: request.origin.clone(),
                name: request.name.clone(),
                version: wanted.clone(),
                found: found
                    .map(|record| format!("{} in {}", record.version, record.suite))
                    .chain(universe.index.ignored(&request.name).iter().map(ToString::to_string))
                    .collect(),
            });
        };
        if let Some((_, first)) = pins.get(request.name.as_str()).filter(|(other, _)| *other != id) {
            return Err(ResolveError::TwoVersions {
                first: Box::new((*first).clone()),
                second: Box::new(request.clone()),
            });
        }
        pins.insert(&request.name, (id, request));
    }
    Ok(pins.into_iter().map(|(name, (id, _))| (name, id)).collect())
}

#[cfg(test)]
mod tests;
