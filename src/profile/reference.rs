//! The reference page and the JSON Schema of profiles, from the table of keys.

use super::keys::{KEYS, Key, Kind, Merge};
use serde_json::{Map, Value, json};
use std::fmt::Write;

const HEAD: &str = "\
# Profile reference

Every key of a profile. This page is made from the program's own table of keys: `applbuild schema profile --reference`
prints it. [profiles.md](profiles.md) explains profiles, [recipes.md](recipes.md) has examples.

";

/// The reference page, as Markdown.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    let mut table = None;
    page.push_str("## Keys outside of tables\n\n");
    for key in KEYS {
        let (found, _) = key.split();
        if found != table
            && let Some(found) = found
        {
            // Writing to a string does not fail.
            let _ = write!(page, "## `[{found}]`\n\n");
        } else if found != table {
            page.push_str("## Further keys outside of tables\n\n");
        }
        table = found;
        let _ = write!(
            page,
            "### `{}`\n\n{}\n\n- Type: {}\n- Default: {}\n- Extended profiles: {}\n\n```toml\n{}\n```\n\n",
            key.name,
            key.doc,
            described(key.kind),
            shown_default(key),
            merged(key.merge),
            key.example
        );
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

/// A file that explains every key. All keys are commented out.
pub fn example() -> String {
    let mut text =
        "# A profile: what goes into an image. Only kind, version, suites, components and packages are needed.\n"
            .to_owned();
    for key in KEYS {
        let doc = key.doc.replace('`', "");
        let example: String = key.example.lines().map(|line| format!("#{line}\n")).collect();
        // Writing to a string does not fail.
        let _ = write!(text, "\n# {doc}\n# Default: {}\n{example}", key.default);
    }
    text
}

/// A value is in code style; a description is not.
fn shown_default(key: &Key) -> String {
    if key.default.parse::<toml_edit::Value>().is_ok() { format!("`{}`", key.default) } else { key.default.to_owned() }
}

fn merged(merge: Merge) -> &'static str {
    match merge {
        Merge::Replaces => "the last value replaces the others",
        Merge::Appends => "lists are joined",
        Merge::PerKey => "joined entry by entry; the last value of an entry replaces the others",
        Merge::Own => "not inherited",
    }
}

fn described(kind: Kind) -> String {
    let quoted = |words: Vec<&str>| words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ");
    match kind {
        Kind::Boolean => "`true` or `false`".to_owned(),
        Kind::Integer { least, most } => format!("integer from {least} to {most}"),
        Kind::Size => "number of bytes, or a string such as `\"256K\"`".to_owned(),
        Kind::Text(what) => format!("string: {what}"),
        Kind::Choice(words) => format!("one of {}", quoted(words())),
        Kind::List(what) => format!("list of strings: {what}"),
        Kind::ListOfChoices(words) => format!("list of {}", quoted(words())),
        Kind::TextOrList(what) => format!("string or list of strings: {what}"),
        Kind::Tables { text, keys } => {
            let keys = keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            let text = text.map(|text| format!("strings {text} or ")).unwrap_or_default();
            format!("list of {text}tables of {keys}")
        }
        Kind::Map(what) => format!("table: {what}"),
    }
}

/// The JSON Schema (2020-12) of a profile.
pub fn schema() -> Value {
    let mut top = Map::new();
    for key in KEYS {
        let mut schema = kind_schema(key.kind);
        schema["description"] = json!(key.doc);
        match key.split() {
            (None, name) => {
                top.insert(name.to_owned(), schema);
            }
            (Some(table), name) => {
                let table = top
                    .entry(table)
                    .or_insert_with(|| json!({"type": "object", "additionalProperties": false, "properties": {}}));
                table["properties"][name] = schema;
            }
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "profile",
        "type": "object",
        "additionalProperties": false,
        "properties": top,
    })
}

fn kind_schema(kind: Kind) -> Value {
    match kind {
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Integer { least, most } => json!({"type": "integer", "minimum": least, "maximum": most}),
        Kind::Size => json!({"type": ["integer", "string"]}),
        Kind::Text(_) => json!({"type": "string"}),
        Kind::Choice(words) => json!({"enum": words()}),
        Kind::List(_) => json!({"type": "array", "items": {"type": "string"}}),
        Kind::ListOfChoices(words) => json!({"type": "array", "items": {"enum": words()}}),
        Kind::TextOrList(_) => json!({"type": ["string", "array"], "items": {"type": "string"}}),
        Kind::Tables { text, keys } => {
            let properties: Map<String, Value> = keys.iter().map(|key| ((*key).to_owned(), json!({}))).collect();
            let table = json!({"type": "object", "additionalProperties": false, "properties": properties});
            match text {
                Some(_) => json!({"type": "array", "items": {"anyOf": [{"type": "string"}, table]}}),
                None => json!({"type": "array", "items": table}),
            }
        }
        Kind::Map(_) => json!({"type": "object"}),
    }
}
