//! Why a profile cannot be read, with the place in its file.

use crate::util::file_error::FileError;
use appliance_contract::nearest::nearest;
use miette::{Diagnostic, NamedSource, SourceSpan};
use std::ops::Range;
use std::sync::Arc;

/// Why a profile could not be read.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ProfileError {
    /// The file does not say what a profile can say.
    #[error(transparent)]
    #[diagnostic(transparent)]
    InFile(#[from] Box<InFile>),
    /// No profile has this name.
    #[error("profile {name:?} is not known, expected one of {}", known.join(", "))]
    Unknown {
        /// The name as it was given.
        name: String,
        /// The profiles that there are.
        known: Vec<String>,
        /// A name that may be meant.
        #[help]
        help: Option<String>,
    },
    /// Reading or writing a file failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Something wrong at a place in a profile's file.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub struct InFile {
    /// What is wrong.
    pub message: String,
    /// What stands at the place, in a few words.
    pub label: String,
    /// The file's name.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    #[source_code]
    source_code: NamedSource<Arc<str>>,
    /// The bytes of the place.
    #[label("{label}")]
    pub span: SourceSpan,
    /// What may be meant instead.
    #[help]
    pub help: Option<String>,
}

/// A file of a profile: the name for messages, and its text.
#[derive(Debug)]
pub(super) struct Source {
    pub name: String,
    pub text: Arc<str>,
    /// Where each line but the first begins: a place is asked for of every package.
    lines: Vec<usize>,
}

impl Source {
    pub fn new(name: String, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let lines = text.bytes().zip(1..).filter(|(byte, _)| *byte == b'\n').map(|(_, next)| next).collect();
        Self { name, text, lines }
    }
}

/// A span of a file.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub source: Arc<Source>,
    pub span: Range<usize>,
}

impl Place {
    pub fn error(&self, message: impl Into<String>, label: impl Into<String>, help: Option<String>) -> ProfileError {
        let text = &self.source.text;
        let before = text.get(..self.span.start).unwrap_or(text);
        ProfileError::InFile(Box::new(InFile {
            message: message.into(),
            label: label.into(),
            file: self.source.name.clone(),
            line: self.line(),
            column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
            source_code: NamedSource::new(&self.source.name, Arc::clone(text)),
            span: self.span.clone().into(),
            help,
        }))
    }

    /// Counted from 1.
    pub fn line(&self) -> usize {
        self.source.lines.partition_point(|begin| *begin <= self.span.start) + 1
    }

    pub fn origin(&self) -> super::Origin {
        super::Origin { file: self.source.name.clone(), line: self.line() }
    }
}

pub(super) fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    nearest(typed, &known).map(|name| format!("did you mean {name:?}?"))
}
