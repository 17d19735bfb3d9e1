//! Handlebars templates: embedded ones, which a directory of the user may override, and sources from profiles.

use crate::util::file_error::FileError;
use appliance_contract::nearest::nearest;
use handlebars::{Handlebars, RenderErrorReason, Template, no_escape};
use include_dir::{Dir, include_dir};
use serde_json::Value;
use std::ops::Range;
use std::path::{Path, PathBuf};

static EMBEDDED: Dir<'_> = include_dir!("$OUT_DIR/templates");

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It cannot be parsed or rendered.
    #[error(transparent)]
    At(#[from] Box<Fault>),
    /// No embedded template has this name.
    #[error("there is no template {name}; the templates are {}", known.join(", "))]
    Unknown {
        /// The name of a file in the user's directory, or the requested name.
        name: String,
        /// The names of the embedded templates.
        known: Vec<String>,
    },
    /// Reading or writing a file failed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// An error at a place in a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template {file}, line {line}, column {column}: {problem}{}\n  | {text}", help.as_ref().map(|help| format!("; {help}")).unwrap_or_default())]
pub struct Fault {
    /// The template's name, or the path of its file.
    pub file: String,
    /// Counted from 1, columns in characters.
    pub line: usize,
    /// See `line`.
    pub column: usize,
    /// What is wrong, in a few words.
    pub problem: String,
    /// A suggestion.
    pub help: Option<String>,
    /// The whole line.
    pub text: String,
    /// The byte range in the template: from the place to the end of its tag or line.
    pub span: Range<usize>,
}

impl Fault {
    fn new(file: &str, source: &str, (line, column): (usize, usize), problem: String, help: Option<String>) -> Self {
        let begin = source.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
        let text = source[begin..].lines().next().unwrap_or_default();
        let within = text.char_indices().nth(column.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
        let end = text[within..].find("}}").map_or(text.len(), |at| within + at + 2);
        let (file, text, span) = (file.to_owned(), text.to_owned(), begin + within..begin + end);
        Self { file, line, column, problem, help, text, span }
    }
}

/// Renders `source`, a handlebars template; messages name it `file`. A variable without a value is an error. Nothing is
/// escaped, because no output is HTML.
pub fn render(source: &str, file: &str, context: &Value) -> Result<String, TemplateError> {
    let fault = |at, problem, help| Box::new(Fault::new(file, source, at, problem, help));
    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(no_escape);
    engine
        .register_template_string(file, source)
        .map_err(|error| fault(error.pos().unwrap_or((1, 1)), error.reason().to_string(), None))?;
    engine.render(file, context).map_err(|error| {
        let at = (error.line_no.unwrap_or(1), error.column_no.unwrap_or(1));
        let (problem, help) = match error.reason() {
            RenderErrorReason::MissingVariable(Some(variable)) => {
                (format!("{variable} has no value"), known_names(context, variable))
            }
            reason => (reason.to_string(), None),
        };
        fault(at, problem, help).into()
    })
}

/// The names that templates may use, or the nearest one to `typed`.
fn known_names(context: &Value, typed: &str) -> Option<String> {
    let mut names = Vec::new();
    for (name, value) in context.as_object()? {
        match value.as_object() {
            Some(below) => names.extend(below.keys().map(|key| format!("{name}.{key}"))),
            None => names.push(name.clone()),
        }
    }
    match nearest(typed, &names.iter().map(String::as_str).collect::<Vec<_>>()) {
        Some(near) => Some(format!("did you mean {near}?")),
        None if names.is_empty() => None,
        None => Some(format!("there are {}", names.join(", "))),
    }
}

/// Renders the template `name` (`grub.cfg.hbs`): the one in `folder` if it has one, else the embedded one.
pub fn render_named(folder: Option<&Path>, name: &str, context: &Value) -> Result<String, TemplateError> {
    let own = match folder {
        Some(folder) => own(folder, name)?,
        None => None,
    };
    match own {
        Some((path, source)) => render(&source, &path.display().to_string(), context),
        None => render(&source(name)?, name, context),
    }
}

/// The user's own template of that name, if there is one.
fn own(folder: &Path, name: &str) -> Result<Option<(PathBuf, String)>, TemplateError> {
    let path = folder.join(name);
    match crate::util::bounded_read::read_user_text(&path) {
        Ok(source) => Ok(Some((path, source))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TemplateError::from(FileError::new("reading template", path, source))),
    }
}

/// Refuses a directory of the user with a template that cannot be parsed, before the build starts.
pub fn check(folder: &Path) -> Result<(), TemplateError> {
    for name in known() {
        let Some((path, source)) = own(folder, &name)? else { continue };
        if let Err(error) = Template::compile(&source) {
            let at = error.pos().unwrap_or((1, 1));
            let file = path.display().to_string();
            return Err(Box::new(Fault::new(&file, &source, at, error.reason().to_string(), None)).into());
        }
    }
    Ok(())
}

/// The source of an embedded template.
pub fn source(name: &str) -> Result<String, TemplateError> {
    match EMBEDDED.get_file(name).and_then(|file| file.contents_utf8()) {
        Some(source) => Ok(source.to_owned()),
        None => Err(TemplateError::Unknown { name: name.to_owned(), known: known() }),
    }
}

fn known() -> Vec<String> {
    fn below(folder: &Dir<'_>, names: &mut Vec<String>) {
        names.extend(folder.files().filter_map(|file| {
            let name = file.path().to_str()?;
            name.ends_with(".hbs").then(|| name.to_owned())
        }));
        folder.dirs().for_each(|folder| below(folder, names));
    }
    let mut names = Vec::new();
    below(&EMBEDDED, &mut names);
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::causes::WithCauses as _;
    use serde_json::json;

    #[test]
    fn escapes_nothing() {
        let text =
            render("{{a}} {{#each b}}[{{this}}]{{/each}}", "t", &json!({"a": "<&\">", "b": ["x", "y"]})).unwrap();
        assert_eq!(text, "<&\"> [x][y]");
    }

    fn fault(source: &str, context: &Value) -> Fault {
        match render(source, "t.hbs", context).unwrap_err() {
            TemplateError::At(fault) => *fault,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_name_without_a_value_is_an_error_with_its_place_and_the_names_there_are() {
        let source = "ok\nthe é {{vars.colour}} is\n";
        let error = fault(source, &json!({"vars": {"color": "red"}, "name": "host"}));
        assert_eq!((error.line, &source[error.span.clone()]), (2, "{{vars.colour}}"), "{error}");
        assert_eq!(error.help.as_deref(), Some("did you mean vars.color?"), "{error}");
        assert_eq!(error.text, "the é {{vars.colour}} is");
        let error = fault("{{zzzzzzzzzz}}", &json!({"vars": {}, "name": "host", "version": "1"}));
        assert_eq!(error.help.as_deref(), Some("there are name, version"));
        assert!(error.with_causes().starts_with("template t.hbs, line 1, column "), "{error}");
    }

    #[test]
    fn a_broken_template_is_an_error_with_its_place() {
        for (source, line) in [("ok\n{{#if a}}", 2), ("{{a}}\n\n{{b", 3), ("{{#if a}}\n{{/each}}", 2), ("{{}}", 1)] {
            let error = fault(source, &json!({"a": 1, "b": 2}));
            assert_eq!(error.line, line, "{source:?}: {error}");
        }
    }

    #[test]
    fn the_users_folder_wins_and_an_unknown_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("grub.cfg.hbs");
        std::fs::write(&own, "{{a}}!").unwrap();
        check(folder.path()).unwrap();
        assert_eq!(render_named(Some(folder.path()), "grub.cfg.hbs", &json!({"a": 1})).unwrap(), "1!");
        let error = render_named(Some(folder.path()), "yours.hbs", &json!({})).unwrap_err();
        assert!(error.with_causes().starts_with("there is no template yours.hbs;"), "{error}");
        std::fs::write(&own, "{{#a}}").unwrap();
        let error = check(folder.path()).unwrap_err().with_causes();
        assert!(error.contains("grub.cfg.hbs, line 1") && error.ends_with("| {{#a}}"), "{error}");
    }
}
