//! Many scenarios: where they are, running several at once, and the report.

use super::runner::{self, Outcome, RunError, Setting};
use super::scenario::{Scenario, ScenarioError};
use crate::util::file_error::FileError;
use crate::util::poison::Unpoisoned;
use appliance_contract::causes::WithCauses as _;
use appliance_contract::nearest::nearest;
use include_dir::{Dir, include_dir};
use std::fmt::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The scenarios that this program was built with.
static EMBEDDED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/ci/scenarios");

/// Folder below the scenarios with those that take long, which run only where they are asked for.
#[cfg(test)]
const NIGHTLY: &str = "nightly";

/// Folder of the scenarios' fleet, beside them.
pub const FLEET: &str = "fleet";

/// Why scenarios cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// Reading or writing a file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// One of them cannot be used.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// No scenario has this name.
    #[error("there is no scenario {name:?}{hint}; there are: {known}")]
    Unknown {
        /// The name as it was given.
        name: String,
        /// A scenario that may be meant, or nothing.
        hint: String,
        /// The scenarios that there are.
        known: String,
    },
}

/// Scenarios by name, in the order of their names.
#[derive(Debug)]
pub struct Suite {
    /// Each with the name of its file, without `.toml`.
    pub scenarios: Vec<(String, Scenario)>,
}

/// Writes the embedded scenarios below `folder`.
pub fn extract(folder: &Path) -> Result<(), SuiteError> {
    EMBEDDED.extract(folder).map_err(|source| SuiteError::from(FileError::new("writing scenarios to", folder, source)))
}

impl Suite {
    /// Reads the scenarios named in `chosen`, or all, from the `.toml` files of `folder`.
    pub fn read(folder: &Path, chosen: &[String]) -> Result<Self, SuiteError> {
        let failed = |source| SuiteError::from(FileError::new("reading", folder.to_owned(), source));
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                names.extend(path.file_stem().and_then(|name| name.to_str()).map(str::to_owned));
            }
        }
        names.sort();
        if let Some(name) = chosen.iter().find(|name| !names.contains(name)) {
            let nearest = nearest(name, &names.iter().map(String::as_str).collect::<Vec<_>>());
            let hint = nearest.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
            return Err(SuiteError::Unknown { name: name.clone(), hint, known: names.join(", ") });
        }
        names.retain(|name| chosen.is_empty() || chosen.contains(name));
        let read = |name: String| Ok((name.clone(), Scenario::read(&folder.join(format!("{name}.toml")))?));
        Ok(Self { scenarios: names.into_iter().map(read).collect::<Result<_, SuiteError>>()? })
    }

    /// Runs them, `jobs` at a time, longest bound first; `done` hears of each as it ends.
    /// The results are in the order of the scenarios; those that `setting.stop` kept from starting are left out.
    pub fn run(
        &self,
        setting: &Setting,
        jobs: usize,
        done: &(dyn Fn(&str, &Outcome) + Sync),
    ) -> Vec<(String, Outcome)> {
        let mut order: Vec<usize> = (0..self.scenarios.len()).collect();
        order.sort_by_key(|&at| std::cmp::Reverse(self.scenarios[at].1.bound));
        let next = AtomicUsize::new(0);
        let results = Mutex::new(vec![None; order.len()]);
        std::thread::scope(|scope| {
            for _ in 0..jobs.clamp(1, order.len().max(1)) {
                scope.spawn(|| {
                    while !setting.stop.load(Ordering::Relaxed)
                        && let Some(&at) = order.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let (name, scenario) = &self.scenarios[at];
                        let outcome =
                            runner::run(name, scenario, setting).unwrap_or_else(|error| could_not_run(&error));
                        done(name, &outcome);
                        results.lock().unpoisoned()[at] = Some(outcome);
                    }
                });
            }
        });
        let results = results.into_inner().unpoisoned();
        self.scenarios.iter().zip(results).filter_map(|((name, _), outcome)| Some((name.clone(), outcome?))).collect()
    }
}

fn could_not_run(error: &RunError) -> Outcome {
    Outcome {
        failure: Some(format!("could not be run: {}", error.with_causes())),
        took: std::time::Duration::ZERO,
        milestones: Vec::new(),
        tail: Vec::new(),
    }
}

/// A table for people: result, time and, of a failure, the reason.
pub fn table(results: &[(String, Outcome)]) -> String {
    let width = results.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, outcome) in results {
        let (word, reason) = match &outcome.failure {
            None => ("passed", String::new()),
            Some(reason) => ("FAILED", format!("  {reason}")),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:width$}  {word}  {:6.1} s{reason}", outcome.took.as_secs_f64());
    }
    text
}

/// The report that CI servers read (the JUnit XML that Jenkins and GitLab document).
pub fn junit(results: &[(String, Outcome)]) -> String {
    let failures = results.iter().filter(|(_, outcome)| outcome.failure.is_some()).count();
    let time: f64 = results.iter().map(|(_, outcome)| outcome.took.as_secs_f64()).sum();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"boot\" tests=\"{}\" failures=\"{failures}\" time=\"{time:.3}\">\n",
        results.len()
    );
    for (name, outcome) in results {
        let seconds = outcome.took.as_secs_f64();
        let _ = write!(xml, "  <testcase classname=\"boot\" name=\"{}\" time=\"{seconds:.3}\"", escape(name));
        match &outcome.failure {
            None => xml.push_str("/>\n"),
            Some(reason) => {
                let tail = escape(&outcome.tail.join("\n"));
                let _ = write!(xml, ">\n    <failure message=\"{}\">{tail}</failure>\n  </testcase>\n", escape(reason));
            }
        }
    }
    xml.push_str("</testsuite>\n");
    xml
}

/// XML 1.0, 2.2 and 2.4: markup is escaped, control characters have no place.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            _ if character.is_control() => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn outcome(failure: Option<&str>) -> Outcome {
        Outcome {
            failure: failure.map(str::to_owned),
            took: Duration::from_millis(1500),
            milestones: Vec::new(),
            tail: vec!["a <b> & \u{1}".to_owned()],
        }
    }

    #[test]
    fn the_embedded_scenarios_can_all_be_read() {
        let folder = tempfile::tempdir().unwrap();
        extract(folder.path()).unwrap();
        for (folder, least) in [(folder.path().to_owned(), 8), (folder.path().join(NIGHTLY), 1)] {
            let suite = Suite::read(&folder, &[]).unwrap();
            assert!(suite.scenarios.len() >= least, "{}", suite.scenarios.len());
            for (name, scenario) in &suite.scenarios {
                for drive in &scenario.drives {
                    let Some(node) = &drive.node else { continue };
                    assert!(folder.join(FLEET).join("pservers").join(node).is_dir(), "{name}: {node}");
                }
            }
        }
    }

    #[test]
    fn a_mistyped_name_gets_the_nearest() {
        let folder = tempfile::tempdir().unwrap();
        extract(folder.path()).unwrap();
        let error = Suite::read(folder.path(), &["cd-bios-xne".to_owned()]).unwrap_err().with_causes();
        assert!(error.contains("did you mean \"cd-bios-xen\"?"), "{error}");
    }

    #[test]
    fn reports_count_and_escape() {
        let results = [("one".to_owned(), outcome(None)), ("two".to_owned(), outcome(Some("\"x\" did not come")))];
        let xml = junit(&results);
        assert!(xml.contains("tests=\"2\" failures=\"1\" time=\"3.000\""), "{xml}");
        assert!(xml.contains("message=\"&quot;x&quot; did not come\">a &lt;b&gt; &amp; \u{fffd}</failure>"), "{xml}");
        assert_eq!(table(&results), "one  passed     1.5 s\ntwo  FAILED     1.5 s  \"x\" did not come\n");
    }
}
