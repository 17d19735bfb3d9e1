//! What is wrong in a `guest.toml`, and in which line.

use crate::nearest::nearest;
use std::fmt;

/// Why a guest.toml is invalid, in one line: the place, the fault and a suggestion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestError {
    /// Counted from 1; `None` if the fault has no single line.
    pub line: Option<usize>,
    /// The key, with its table: `memory`, `disk.size`.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// The known word that is most similar to the unknown one.
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
    /// A fault without a single line.
    pub(super) fn without_line(problem: String) -> Self {
        Self { line: None, key: None, problem, did_you_mean: None }
    }

    pub(super) fn from_toml(text: &str, error: &toml::de::Error) -> Self {
        // The span of a missing top-level key is the whole file.
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

/// serde's two messages about unknown words list the known ones, each in backticks.
fn unknown_word(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field `").or_else(|| message.strip_prefix("unknown variant `"))?;
    let words: Vec<&str> = rest.split('`').step_by(2).collect();
    let (found, known) = words.split_first()?;
    nearest(found, known).map(str::to_owned)
}

/// The key before byte `place`, with its table's name. The place may be in a later line of the key's value.
fn key_at(text: &str, place: usize) -> Option<String> {
    let end = text.get(place..)?.find('\n').map_or(text.len(), |end| place + end);
    let mut key = None;
    for line in text[..end].lines().rev().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            // A later line of an array may begin with `[` without being a header.
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
