//! The walk through the dependencies: adds clauses to the solver and chooses its next decision.

use super::explain::Because;
use super::sat::{ClauseId, Literal, Problem, Solver, Variable};
use super::universe::{PackageId, Universe};
use super::{BaseSet, Conflicts, Request, ResolveError};
use crate::packages::archive::index::{Priority, Record, RecordId};
use crate::packages::dependency;
use crate::profile::PackageRequest;
use appliance_contract::nearest::nearest;
use std::collections::{BTreeSet, HashMap};

/// A dependency of a visited package: the packages that may satisfy it, in order of preference.
///
/// Recommends are needs too, but without a clause that makes them mandatory.
#[derive(Debug, Clone)]
struct Need {
    candidates: Vec<Variable>,
}

pub(super) struct Search<'a> {
    pub(super) universe: Universe<'a>,
    recommends: bool,
    conflicts: Conflicts,
    variables: HashMap<PackageId, Variable>,
    packages: Vec<PackageId>,
    needs: HashMap<Variable, Vec<Need>>,
    roots: Vec<Variable>,
    pub(super) because: HashMap<ClauseId, Because<'a>>,
    /// The packages that the last walk reached: the solution, if the walk was complete.
    reached: Vec<Variable>,
    pub(super) error: Option<ResolveError>,
}

impl<'a> Search<'a> {
    pub(super) fn new(universe: Universe<'a>, request: &Request<'a>) -> Self {
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

    pub(super) fn add_roots(&mut self, request: &Request<'a>, solver: &mut Solver) -> Result<(), ResolveError> {
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
            // An archive that may only add packages does not define the base set.
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

    /// The package that a requested name refers to: the package of that name, or the only provider of a virtual one.
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

    /// The packages of the solution that come from an archive.
    pub(super) fn records(self) -> Vec<RecordId> {
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

    /// Walks from the roots as apt does and stops at the first package that the walk needs and the solver has not
    /// decided.
    fn decide(&mut self, solver: &Solver) -> Option<Literal> {
        let mut seen: Vec<bool> = vec![false; self.packages.len()];
        self.reached.clear();
        for root in &self.roots {
            // apt marks all requested packages before it looks at dependencies.
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
            // Only a Recommends can run out of candidates: for other dependencies that is a conflict.
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
