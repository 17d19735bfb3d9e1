//! From what is asked for to the set of packages that apt would install.
//!
//! The search walks the dependencies depth first as apt does, requested packages
//! first, and takes the first alternative that is not ruled out. What is ruled
//! out the clause solver ([`sat`]) says, so that where apt's greedy walk would
//! stop with broken packages this one goes on to an answer or a proof that there
//! is none. (The resolvo crate solves the same problem, but knows neither apt's
//! order of choice nor virtual packages, and its reasons name neither profile
//! lines nor fields.)

mod explain;
mod order;
mod sat;
mod universe;

pub use order::{Unpack, unpack_order};

use super::dependency::{self, DependencyError};
use super::index::{Index, Priority, Record, RecordId};
use crate::profile::{Origin, PackageRequest};
use appliance_contract::nearest::nearest;
use explain::Because;
use sat::{ClauseId, Literal, Outcome, Problem, Solver, Variable};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use universe::{PackageId, SuppliedPackage, Universe};

/// Which packages come without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseSet {
    None,
    /// `Essential: yes`.
    Essential,
    /// Essential packages and those of priority `required`.
    Required,
}

/// Whether packages must be able to stand beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflicts {
    Respect,
    /// For packages that are only unpacked, each for its files.
    Ignore,
}

/// A package that the build makes itself: it is in the result, and not in the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supplied {
    pub name: String,
    pub version: String,
    /// As in the field: `linux-initramfs-tool`, `foo (= 1.2)`.
    pub provides: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Debian's name: `amd64`.
    pub architecture: &'a str,
    pub packages: &'a [PackageRequest],
    pub base: BaseSet,
    pub recommends: bool,
    pub conflicts: Conflicts,
    pub supplied: &'a [Supplied],
    /// Versions to take instead of the highest, by name, where the index has them
    /// and no request names another.
    pub keep: &'a BTreeMap<String, String>,
}

/// The packages to install, sorted by name, without the supplied ones.
#[derive(Debug)]
pub struct Resolution<'a> {
    pub packages: Vec<&'a Record<'a>>,
}

#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("{origin} asks for {name}, which {suites} {have} not{}", nearest.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default())]
    Unknown { origin: Origin, name: String, suites: String, have: &'static str, nearest: Option<String> },
    #[error("{origin} asks for {name}, but {}", ignored.join("; "))]
    Ignored { origin: Origin, name: String, ignored: Vec<String> },
    #[error("{origin} asks for {name} in version {version}, found {}", found.join(", "))]
    UnknownVersion { origin: Origin, name: String, version: String, found: Vec<String> },
    #[error("{origin} asks for {name}, a virtual package that {} provide; name one of them", providers.join(", "))]
    Virtual { origin: Origin, name: String, providers: Vec<String> },
    #[error("{} asks for {} in version {}, and {} in version {}", first.origin, first.name, first.version.as_deref().unwrap_or_default(), second.origin, second.version.as_deref().unwrap_or_default())]
    TwoVersions { first: Box<PackageRequest>, second: Box<PackageRequest> },
    #[error("the packages asked for cannot be installed together: {}", chain.join("; "))]
    Unsatisfiable {
        chain: Vec<String>,
        /// The packages that the chain leads through.
        involved: BTreeSet<String>,
    },
    #[error("resolving the packages: gave up after {conflicts} conflicts; ask for a version or an alternative by name")]
    GaveUp { conflicts: usize },
    #[error("reading {field} of {name} {version}: {source}")]
    Field { name: String, version: String, field: &'static str, source: Box<DependencyError> },
    #[error("the build's own package {name}: {what}")]
    Supplied { name: String, what: String },
}

/// Far more than any Debian release needs; a bound on time for made-up ones.
const MOST_CONFLICTS: usize = 20_000;

/// The packages that satisfy `request`, or the reason why there are none.
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

/// The versions that the profile asks for by name.
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

/// A dependency of a package that was looked at: what may satisfy it, in order.
///
/// Recommends are needs too, without the clause that makes them binding.
#[derive(Debug, Clone)]
struct Need {
    candidates: Vec<Variable>,
}

struct Search<'a> {
    universe: Universe<'a>,
    recommends: bool,
    conflicts: Conflicts,
    variables: HashMap<PackageId, Variable>,
    packages: Vec<PackageId>,
    needs: HashMap<Variable, Vec<Need>>,
    roots: Vec<Variable>,
    because: HashMap<ClauseId, Because<'a>>,
    /// What the last walk reached: the answer, when it was a whole one.
    reached: Vec<Variable>,
    error: Option<ResolveError>,
}

impl<'a> Search<'a> {
    fn new(universe: Universe<'a>, request: &Request<'a>) -> Self {
        Self {
            universe,
            recommends: request.recommends,
            conflicts: request.conflicts,
            variables: HashMap::new(),
            packages: vec![],
            needs: HashMap::new(),
            roots: vec![],
            because: HashMap::new(),
            reached: vec![],
            error: None,
        }
    }

    fn variable(&mut self, id: PackageId, solver: &mut Solver) -> Variable {
        *self.variables.entry(id).or_insert_with(|| {
            self.packages.push(id);
            solver.new_variable()
        })
    }

    fn add_root(&mut self, id: PackageId, because: Because<'a>, solver: &mut Solver) {
        let variable = self.variable(id, solver);
        self.roots.push(variable);
        let clause = solver.add(vec![Literal::yes(variable)]);
        self.because.insert(clause, because);
    }

    fn add_roots(&mut self, request: &Request<'a>, solver: &mut Solver) -> Result<(), ResolveError> {
        for position in 0..self.universe.supplied.len() {
            let id = PackageId::Supplied(position);
            self.add_root(id, Because::Supplied { id }, solver);
        }
        let mut base = BTreeSet::new();
        for record in self.universe.index.ids().map(|id| self.universe.index.record(id)) {
            let wanted = match request.base {
                BaseSet::None => false,
                BaseSet::Essential => record.essential,
                BaseSet::Required => record.essential || record.priority == Priority::Required,
            };
            // An archive that may only add packages does not say what every image has.
            if wanted && !record.additional {
                base.insert(record.name);
            }
        }
        let base: Vec<_> = base.into_iter().filter_map(|name| self.universe.candidate(name)).collect();
        for id in base {
            self.add_root(id, Because::Base { id }, solver);
        }
        for package in request.packages {
            let id = self.requested(package)?;
            self.add_root(id, Because::Asked { origin: &package.origin, name: &package.name, id }, solver);
        }
        Ok(())
    }

    /// What a requested name means: a package, or the only provider of a virtual one.
    fn requested(&self, request: &PackageRequest) -> Result<PackageId, ResolveError> {
        if let Some(id) = self.universe.candidate(&request.name) {
            return Ok(id);
        }
        let providers = self.universe.providers(&request.name);
        match providers.as_slice() {
            [] if !self.universe.index.ignored(&request.name).is_empty() => Err(ResolveError::Ignored {
                origin: request.origin.clone(),
                name: request.name.clone(),
                ignored: self.universe.index.ignored(&request.name).iter().map(ToString::to_string).collect(),
            }),
            [] => {
                let suites = self.universe.index.suites();
                Err(ResolveError::Unknown {
                    origin: request.origin.clone(),
                    name: request.name.clone(),
                    suites: suites.join(" and "),
                    have: if suites.len() == 1 { "has" } else { "have" },
                    nearest: nearest(&request.name, &self.universe.index.names().collect::<Vec<_>>())
                        .map(str::to_owned),
                })
            }
            [only] => Ok(*only),
            several => {
                let mut providers: Vec<_> = several.iter().map(|id| self.universe.name(*id).to_owned()).collect();
                providers.sort();
                let (origin, name) = (request.origin.clone(), request.name.clone());
                Err(ResolveError::Virtual { origin, name, providers })
            }
        }
    }

    fn expand_record(
        &mut self,
        variable: Variable,
        record: &'a Record<'a>,
        solver: &mut Solver,
    ) -> Result<(), ResolveError> {
        let of = self.packages[variable as usize];
        let mut needs = vec![];
        let fields = [
            ("Pre-Depends", record.pre_depends, false),
            ("Depends", record.depends, false),
            ("Recommends", if self.recommends { record.recommends } else { "" }, true),
        ];
        for (field, text, soft) in fields {
            for group in read(record, field, text)? {
                let mut candidates = vec![];
                for alternative in &group.alternatives {
                    for id in self.universe.satisfying(alternative) {
                        let candidate = self.variable(id, solver);
                        if !candidates.contains(&candidate) {
                            candidates.push(candidate);
                        }
                    }
                }
                if candidates.contains(&variable) {
                    continue;
                }
                if !soft {
                    let mut clause = vec![Literal::no(variable)];
                    clause.extend(candidates.iter().map(|candidate| Literal::yes(*candidate)));
                    let clause = solver.add(clause);
                    self.because.insert(clause, Because::Depends { of, field, group });
                }
                needs.push(Need { candidates });
            }
        }
        self.needs.insert(variable, needs);
        if self.conflicts == Conflicts::Ignore {
            return Ok(());
        }
        for (field, text) in [("Conflicts", record.conflicts), ("Breaks", record.breaks)] {
            for group in read(record, field, text)? {
                for dependency in group.alternatives {
                    for with in self.universe.conflicting(of, &dependency) {
                        let other = self.variable(with, solver);
                        let clause = solver.add(vec![Literal::no(variable), Literal::no(other)]);
                        self.because.insert(clause, Because::Conflicts { of, field, dependency, with });
                    }
                }
            }
        }
        Ok(())
    }

    /// The archive's packages among the answer.
    fn records(self) -> Vec<RecordId> {
        let ids = self.reached.iter().map(|variable| self.packages[*variable as usize]);
        ids.filter_map(|id| match id {
            PackageId::Archive(id) => Some(id),
            PackageId::Supplied(_) => None,
        })
        .collect()
    }
}

impl Problem for Search<'_> {
    fn expand(&mut self, variable: Variable, solver: &mut Solver) {
        let Some(record) = self.universe.record(self.packages[variable as usize]) else { return };
        if let Err(error) = self.expand_record(variable, record, solver) {
            self.error.get_or_insert(error);
        }
    }

    /// Walks from the roots as apt does and stops at the first package that the
    /// walk wants and the solver has not decided.
    fn decide(&mut self, solver: &Solver) -> Option<Literal> {
        let mut seen: Vec<bool> = vec![false; self.packages.len()];
        self.reached.clear();
        for root in &self.roots {
            // apt marks all that is asked for before it looks at dependencies.
            if !std::mem::replace(&mut seen[*root as usize], true) {
                self.reached.push(*root);
            }
        }
        let mut stack: Vec<(Variable, usize)> = self.reached.iter().rev().map(|root| (*root, 0)).collect();
        while let Some((variable, position)) = stack.pop() {
            let Some(need) = self.needs.get(&variable).and_then(|needs| needs.get(position)) else { continue };
            stack.push((variable, position + 1));
            if need.candidates.iter().any(|candidate| seen[*candidate as usize]) {
                continue;
            }
            let open = need.candidates.iter().find(|candidate| solver.value(Literal::yes(**candidate)) != Some(false));
            // Only a recommended one can have none left: with others that is a conflict.
            let Some(&candidate) = open else { continue };
            if solver.value(Literal::yes(candidate)).is_none() {
                return Some(Literal::yes(candidate));
            }
            seen[candidate as usize] = true;
            self.reached.push(candidate);
            stack.push((candidate, 0));
        }
        None
    }
}

/// Reads a relation field of a record.
fn read<'a>(
    record: &Record<'a>,
    field: &'static str,
    text: &'a str,
) -> Result<Vec<dependency::Group<'a>>, ResolveError> {
    dependency::parse(text).map_err(|source| ResolveError::Field {
        name: record.name.to_owned(),
        version: record.version.to_string(),
        field,
        source: Box::new(source),
    })
}

#[cfg(test)]
mod tests;
