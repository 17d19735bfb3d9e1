//! A small conflict-driven clause-learning solver. Clauses are added when variables become true, and the caller chooses
//! the next decision. So the search follows apt's order and departs from it only after a conflict. The solver is
//! complete: what it reports as unsatisfiable is unsatisfiable.

pub type Variable = u32;
pub type ClauseId = u32;

/// A variable, or its negation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Literal(u32);

impl Literal {
    pub fn yes(variable: Variable) -> Self {
        Self(variable << 1)
    }

    pub fn no(variable: Variable) -> Self {
        Self(variable << 1 | 1)
    }

    pub fn variable(self) -> Variable {
        self.0 >> 1
    }

    pub fn is_positive(self) -> bool {
        self.0 & 1 == 0
    }

    fn negated(self) -> Self {
        Self(self.0 ^ 1)
    }
}

/// The interface between the solver and the problem.
pub trait Problem {
    /// Called when `variable` becomes true for the first time; adds the clauses that this implies. Each must contain
    /// the variable's negation.
    fn expand(&mut self, variable: Variable, solver: &mut Solver);

    /// The next undecided literal to try; `None` if nothing is missing.
    fn decide(&mut self, solver: &Solver) -> Option<Literal>;
}

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Satisfied,
    /// The given clauses that cannot all be true.
    Unsatisfiable(Vec<ClauseId>),
    /// The limit on conflicts was reached.
    GaveUp,
}

#[derive(Debug)]
struct Clause {
    literals: Vec<Literal>,
    /// The clauses that a learnt clause was derived from.
    antecedents: Option<Vec<ClauseId>>,
}

#[derive(Debug, Clone, Copy)]
struct Assignment {
    value: bool,
    level: u32,
    reason: Option<ClauseId>,
}

#[derive(Debug, Default)]
pub struct Solver {
    clauses: Vec<Clause>,
    assignments: Vec<Option<Assignment>>,
    expanded: Vec<bool>,
    /// By literal: the clauses that contain it.
    occurrences: Vec<Vec<ClauseId>>,
    trail: Vec<Literal>,
    /// The trail's length at the start of each level.
    levels: Vec<usize>,
    propagated: usize,
    /// A clause found to be false, not yet handled.
    pending: Option<ClauseId>,
}

impl Solver {
    pub fn new_variable(&mut self) -> Variable {
        let variable = self.assignments.len() as Variable;
        self.assignments.push(None);
        self.expanded.push(false);
        self.occurrences.extend([vec![], vec![]]);
        variable
    }

    pub fn value(&self, literal: Literal) -> Option<bool> {
        self.assignments[literal.variable() as usize].map(|assignment| assignment.value == literal.is_positive())
    }

    pub fn literals(&self, clause: ClauseId) -> &[Literal] {
        &self.clauses[clause as usize].literals
    }

    pub fn add(&mut self, literals: Vec<Literal>) -> ClauseId {
        self.insert(literals, None)
    }

    fn insert(&mut self, literals: Vec<Literal>, antecedents: Option<Vec<ClauseId>>) -> ClauseId {
        let id = self.clauses.len() as ClauseId;
        for literal in &literals {
            self.occurrences[literal.0 as usize].push(id);
        }
        self.clauses.push(Clause { literals, antecedents });
        self.check(id);
        id
    }

    fn assign(&mut self, literal: Literal, reason: Option<ClauseId>) {
        let level = self.levels.len() as u32;
        self.assignments[literal.variable() as usize] =
            Some(Assignment { value: literal.is_positive(), level, reason });
        self.trail.push(literal);
    }

    /// Unit propagation of one clause; a false clause is stored in `pending`.
    fn check(&mut self, id: ClauseId) {
        let mut open = None;
        for literal in &self.clauses[id as usize].literals {
            match self.value(*literal) {
                Some(true) => return,
                Some(false) => {}
                None if open.is_some_and(|open| open != *literal) => return,
                None => open = Some(*literal),
            }
        }
        match open {
            Some(literal) => self.assign(literal, Some(id)),
            None => self.pending = self.pending.or(Some(id)),
        }
    }

    fn propagate(&mut self, problem: &mut dyn Problem) -> Option<ClauseId> {
        loop {
            if let Some(conflict) = self.pending.take() {
                return Some(conflict);
            }
            let &literal = self.trail.get(self.propagated)?;
            self.propagated += 1;
            let variable = literal.variable();
            if literal.is_positive() && !self.expanded[variable as usize] {
                self.expanded[variable as usize] = true;
                problem.expand(variable, self);
            }
            let mut position = 0;
            while self.pending.is_none() {
                let Some(&clause) = self.occurrences[literal.negated().0 as usize].get(position) else { break };
                self.check(clause);
                position += 1;
            }
        }
    }

    /// Searches until all clauses hold, a contradiction is proved, or `bound` conflicts have occurred.
    pub fn solve(&mut self, problem: &mut dyn Problem, bound: usize) -> Outcome {
        let mut conflicts = 0;
        loop {
            if let Some(conflict) = self.propagate(problem) {
                if self.levels.is_empty() {
                    return Outcome::Unsatisfiable(self.core(conflict));
                }
                conflicts += 1;
                if conflicts > bound {
                    return Outcome::GaveUp;
                }
                let (literals, antecedents, level) = self.analyse(conflict);
                self.undo(level);
                self.insert(literals, Some(antecedents));
            } else if let Some(literal) = problem.decide(self) {
                self.levels.push(self.trail.len());
                self.assign(literal, None);
            } else {
                return Outcome::Satisfied;
            }
        }
    }

    fn undo(&mut self, level: usize) {
        let Some(&length) = self.levels.get(level) else { return };
        for literal in self.trail.drain(length..) {
            self.assignments[literal.variable() as usize] = None;
        }
        self.levels.truncate(level);
        self.propagated = length;
    }

    /// Resolves the conflict back to the first unique implication point of this level. Returns the learnt clause, its
    /// derivation and the level to return to.
    fn analyse(&self, conflict: ClauseId) -> (Vec<Literal>, Vec<ClauseId>, usize) {
        let level = self.levels.len() as u32;
        let mut antecedents = vec![conflict];
        let mut literals: Vec<Literal> = self.literals(conflict).to_vec();
        let at_level = |literal: &Literal| {
            self.assignments[literal.variable() as usize].is_some_and(|assignment| assignment.level == level)
        };
        for &last in self.trail.iter().rev() {
            literals.sort_unstable();
            literals.dedup();
            if literals.iter().filter(|literal| at_level(literal)).count() <= 1 {
                break;
            }
            let reason = self.assignments[last.variable() as usize].and_then(|assignment| assignment.reason);
            if let (true, Some(reason)) = (literals.contains(&last.negated()), reason) {
                literals.retain(|literal| *literal != last.negated());
                literals.extend(self.literals(reason).iter().filter(|literal| **literal != last));
                antecedents.push(reason);
            }
        }
        let back = literals
            .iter()
            .filter_map(|literal| self.assignments[literal.variable() as usize])
            .map(|assignment| assignment.level)
            .filter(|found| *found < level)
            .max();
        (literals, antecedents, back.unwrap_or(0) as usize)
    }

    /// The given clauses behind a conflict that does not depend on any decision.
    fn core(&self, conflict: ClauseId) -> Vec<ClauseId> {
        let mut involved = vec![false; self.clauses.len()];
        let mut stack = vec![conflict];
        // The reasons why each literal of each clause of the conflict is false …
        while let Some(clause) = stack.pop() {
            if std::mem::replace(&mut involved[clause as usize], true) {
                continue;
            }
            let variables = self.literals(clause).iter().map(|literal| literal.variable() as usize);
            stack.extend(variables.filter_map(|variable| self.assignments[variable]?.reason));
        }
        // … and, for learnt clauses, their antecedents. A clause is learnt only from older ones, so one downward pass
        // reaches all.
        for clause in (0..self.clauses.len()).rev() {
            if involved[clause] {
                for antecedent in self.clauses[clause].antecedents.iter().flatten() {
                    involved[*antecedent as usize] = true;
                }
            }
        }
        let given = |id: &ClauseId| involved[*id as usize] && self.clauses[*id as usize].antecedents.is_none();
        (0..self.clauses.len() as ClauseId).filter(given).collect()
    }

    /// A subset of `core` from which no clause can be removed.
    pub fn minimise(&self, mut core: Vec<ClauseId>) -> Vec<ClauseId> {
        let mut position = 0;
        while position < core.len() {
            let mut without = core.clone();
            without.remove(position);
            let mut trial = Self::default();
            self.assignments.iter().for_each(|_| {
                trial.new_variable();
            });
            let clauses = without.iter().map(|id| trial.add(self.literals(*id).to_vec())).collect();
            match trial.solve(&mut Plain { clauses }, 10_000) {
                Outcome::Unsatisfiable(_) => core = without,
                _ => position += 1,
            }
        }
        core
    }
}

/// A problem whose clauses are all known from the start.
struct Plain {
    clauses: Vec<ClauseId>,
}

impl Problem for Plain {
    fn expand(&mut self, _: Variable, _: &mut Solver) {}

    fn decide(&mut self, solver: &Solver) -> Option<Literal> {
        self.clauses.iter().find_map(|clause| {
            let literals = solver.literals(*clause);
            if literals.iter().any(|literal| solver.value(*literal) == Some(true)) {
                return None;
            }
            literals.iter().find(|literal| solver.value(**literal).is_none()).copied()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn literal(number: i8) -> Literal {
        let variable = Variable::from(number.unsigned_abs()) - 1;
        if number > 0 { Literal::yes(variable) } else { Literal::no(variable) }
    }

    fn solve(clauses: &[Vec<i8>]) -> (Solver, Outcome) {
        let mut solver = Solver::default();
        (0..6).for_each(|_| {
            solver.new_variable();
        });
        let clauses = clauses.iter().map(|c| solver.add(c.iter().map(|n| literal(*n)).collect())).collect();
        let outcome = solver.solve(&mut Plain { clauses }, 100_000);
        (solver, outcome)
    }

    fn satisfiable(clauses: &[Vec<i8>]) -> bool {
        (0..64u32).any(|bits| {
            let holds = |n: &i8| (bits >> (n.unsigned_abs() - 1) & 1 == 1) == (*n > 0);
            clauses.iter().all(|clause| clause.iter().any(holds))
        })
    }

    proptest! {
        #[test]
        fn agrees_with_trying_all(clauses in prop::collection::vec(prop::collection::vec((1i8..=6, any::<bool>()), 1..4), 0..30)) {
            let clauses: Vec<Vec<i8>> =
                clauses.into_iter().map(|c| c.into_iter().map(|(n, yes)| if yes { n } else { -n }).collect()).collect();
            let (solver, outcome) = solve(&clauses);
            match outcome {
                Outcome::Satisfied => prop_assert!(satisfiable(&clauses)),
                Outcome::Unsatisfiable(core) => {
                    let of = |ids: &[ClauseId]| ids.iter().map(|id| clauses[*id as usize].clone()).collect::<Vec<_>>();
                    prop_assert!(!satisfiable(&of(&core)));
                    let minimal = solver.minimise(core);
                    prop_assert!(!satisfiable(&of(&minimal)));
                    for left_out in 0..minimal.len() {
                        let mut rest = minimal.clone();
                        rest.remove(left_out);
                        prop_assert!(satisfiable(&of(&rest)));
                    }
                }
                Outcome::GaveUp => prop_assert!(false, "gave up"),
            }
        }
    }
}
