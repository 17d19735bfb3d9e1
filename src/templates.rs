//! Handlebars templates: embedded ones, which a folder of the user's may override, and sources from profiles.

use handlebars::{Handlebars, RenderErrorReason, no_escape};
use include_dir::{Dir, include_dir};
use serde_json::Value;
use std::path::{Path, PathBuf};

static EMBEDDED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("template {name}, line {line}, column {column}: {problem}")]
    Syntax { name: String, line: usize, column: usize, problem: String },
    #[error("rendering template {name}, line {line}: {problem}")]
    Render { name: String, line: usize, problem: String },
    #[error("template {name} is not known; there are {}", known.join(", "))]
    Unknown { name: String, known: Vec<String> },
    #[error("reading template {path}: {source}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
}

/// Renders `source`, a handlebars template; `name` stands in messages. A
/// variable without a value is an error; nothing is escaped, as nothing here is HTML.
pub fn render(source: &str, name: &str, context: &Value) -> Result<String, TemplateError> {
    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(no_escape);
    engine.register_template_string(name, source).map_err(|error| {
        let (line, column) = error.pos().unwrap_or((1, 1));
        TemplateError::Syntax { name: name.to_owned(), line, column, problem: error.reason().to_string() }
    })?;
    engine.render(name, context).map_err(|error| {
        let problem = match error.reason() {
            RenderErrorReason::MissingVariable(Some(variable)) => {
                format!("{variable} has no value{}", known_names(context))
            }
            reason => reason.to_string(),
        };
        TemplateError::Render { name: name.to_owned(), line: error.line_no.unwrap_or(1), problem }
    })
}

fn known_names(context: &Value) -> String {
    match context.as_object() {
        Some(names) if !names.is_empty() => {
            format!("; there are {}", names.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
        }
        _ => String::new(),
    }
}

/// Renders the template at `name` (`grub.cfg.hbs`): the one in `folder` where
/// there is one, else the embedded one.
pub fn render_named(folder: Option<&Path>, name: &str, context: &Value) -> Result<String, TemplateError> {
    render(&source(folder, name)?, name, context)
}

/// The source of a template, the user's own before the embedded one.
pub fn source(folder: Option<&Path>, name: &str) -> Result<String, TemplateError> {
    if let Some(path) = folder.map(|folder| folder.join(name)) {
        match crate::given::read_text(&path) {
            Ok(source) => return Ok(source),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(TemplateError::Read { path, source }),
        }
    }
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
    use serde_json::json;

    #[test]
    fn escapes_nothing() {
        let text =
            render("{{a}} {{#each b}}[{{this}}]{{/each}}", "t", &json!({"a": "<&\">", "b": ["x", "y"]})).unwrap();
        assert_eq!(text, "<&\"> [x][y]");
    }

    #[test]
    fn a_name_without_a_value_is_an_error_that_lists_those_there_are() {
        let error = render("ok\n{{vars.colour}}", "motd.hbs", &json!({"vars": {}, "name": "host"})).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("rendering template motd.hbs, line 2: "), "{text}");
        assert!(text.contains("colour has no value; there are "), "{text}");
    }

    #[test]
    fn a_broken_template_is_an_error_with_its_place() {
        let error = render("ok\n{{#if a}}", "t", &json!({"a": 1})).unwrap_err();
        assert!(matches!(error, TemplateError::Syntax { .. }), "{error}");
    }

    #[test]
    fn the_users_folder_wins_and_an_unknown_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mine.hbs"), "{{a}}!").unwrap();
        assert_eq!(render_named(Some(folder.path()), "mine.hbs", &json!({"a": 1})).unwrap(), "1!");
        let error = render_named(Some(folder.path()), "yours.hbs", &json!({})).unwrap_err();
        assert!(error.to_string().starts_with("template yours.hbs is not known"), "{error}");
    }
}
