//! What is wrong in a `guest.toml`, and in which line.

use crate::nearest::nearest;
use std::fmt;

/// Why a guest.toml could not be taken: where, what, and what mends it, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestError {
    /// Counted from 1; `None` where the fault is no single place's.
    pub line: Option<usize>,
    /// The key, with its table: `memory`, `disk.size`.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// The nearest word that is known.
    pub did_you_mean: Option<String>,
}

impl std::error::Error for GuestError {}

impl fmt::Display for GuestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.line.iter().try_for_each(|line| write!(f, "line {line}: "))?;
        self.key.iter().try_for_each(|key| write!(f, "{key}: "))?;
        f.write_str(&self.problem)?;
        self.did_you_mean.iter().try_for_each(|near| write!(f, " (did you mean {near}?)"))
    }
}

impl GuestError {
    /// A fault of no single place.
    pub(super) fn whole(problem: String) -> Self {
        Self { line: None, key: None, problem, did_you_mean: None }
    }

    pub(super) fn from_toml(text: &str, error: &toml::de::Error) -> Self {
        // A missing key of the outermost table has the whole file for its place.
        let start =
            error.span().map(|span| span.start).filter(|start| *start > 0 || !error.message().contains("missing"));
        let before = start.and_then(|start| text.get(..start));
        // One line: TOML's own messages have several.
        let problem = error.message().lines().map(str::trim).collect::<Vec<_>>().join(", ");
        Self {
            line: before.map(|before| before.matches('\n').count() + 1),
            key: start.and_then(|start| key_at(text, start)),
            did_you_mean: unknown_word(&problem),
            problem,
        }
    }
}

/// serde's two messages about words that are not known list those that are, each between backticks.
fn unknown_word(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field `").or_else(|| message.strip_prefix("unknown variant `"))?;
    let words: Vec<&str> = rest.split('`').step_by(2).collect();
    let (found, known) = words.split_first()?;
    nearest(found, known).map(str::to_owned)
}

/// The key whose line, or whose value's first line, the place is in, with its table's name.
fn key_at(text: &str, place: usize) -> Option<String> {
    let end = text.get(place..)?.find('\n').map_or(text.len(), |end| place + end);
    let mut key = None;
    for line in text[..end].lines().rev().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            // What an array's later lines begin with is no header.
            let Some(name) = header.trim_start_matches('[').split(']').next().filter(|name| is_key(name.trim())) else {
                continue;
            };
            return Some(key.map_or_else(|| name.trim().to_owned(), |key| format!("{}.{key}", name.trim())));
        }
        let before = line.split('=').next().map(str::trim).filter(|key| line.contains('=') && is_key(key));
        if key.is_none() {
            key = before;
        }
    }
    key.map(str::to_owned)
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
