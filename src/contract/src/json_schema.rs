//! JSON Schema of the files that people write, made from the types that read
//! them, and an example of each that tells of every key.

use crate::guest::GuestConfig;
use crate::marker::Marker;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// Of guest.toml.
pub fn guest() -> Value {
    of::<GuestConfig>()
}

/// Of appliance.toml, the marker.
pub fn marker() -> Value {
    of::<Marker>()
}

fn of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>().to_value()
}

/// Characters of a comment's line.
const WIDTH: usize = 96;

/// A TOML file with all keys of a schema, each below what it says of itself. A
/// key that need not be given and has no example stands there as a comment, with its default.
pub fn example(schema: &Value) -> String {
    let mut text = String::new();
    comment(&mut text, description(schema));
    text.push_str("#\n");
    comment(&mut text, "A key behind a # need not be given, and then has the value that stands there.");
    table(&mut text, schema, schema);
    text
}

fn table(text: &mut String, root: &Value, schema: &Value) {
    let nothing = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&nothing);
    let mut tables = Vec::new();
    for (key, property) in properties {
        let item = resolve(root, &property["items"]);
        if item["properties"].is_object() {
            tables.push((key, property, item));
            continue;
        }
        text.push('\n');
        comment(text, description(property));
        let kind = resolve(root, property);
        values(text, kind);
        let required = schema["required"].as_array().is_some_and(|keys| keys.iter().any(|other| other == key));
        let example = &property["examples"][0];
        let off = if required || !example.is_null() { "" } else { "#" };
        let value = [example, &property["default"]].into_iter().find(|value| !value.is_null()).cloned();
        let value = value.unwrap_or_else(|| empty(kind));
        text.push_str(&format!("{off}{key} = {value}\n"));
    }
    // TOML wants a table's own keys before the tables below it.
    for (key, property, item) in tables {
        text.push('\n');
        comment(text, description(property));
        comment(text, description(item));
        text.push_str(&format!("[[{key}]]\n"));
        table(text, root, item);
    }
}

/// Follows a reference, and the first of two choices of which the other is null.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let schema = schema["anyOf"].get(0).unwrap_or(schema);
    let name = schema["$ref"].as_str().and_then(|place| place.strip_prefix("#/$defs/"));
    name.map_or(schema, |name| &root["$defs"][name])
}

fn description(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

/// What an enumeration's values mean.
fn values(text: &mut String, schema: &Value) {
    for choice in schema["oneOf"].as_array().into_iter().flatten() {
        comment(text, &format!("{}: {}", choice["const"], description(choice)));
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words.iter().map(Value::to_string).collect();
        comment(text, &format!("One of {}.", words.join(", ")));
    }
}

/// What holds for a key without a default of its own.
fn empty(schema: &Value) -> Value {
    let first = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match first {
        Some("boolean") => false.into(),
        Some("array") => Value::Array(Vec::new()),
        Some("object") => Value::Object(Map::new()),
        _ => "".into(),
    }
}

fn comment(text: &mut String, words: &str) {
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line.truncate(1);
        }
        line.push(' ');
        line.push_str(word);
    }
    if line.len() > 1 {
        text.push_str(&line);
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All keys of the file, with those that stand behind a `#`.
    fn uncommented(example: &str) -> String {
        fn on(line: &str) -> Option<&str> {
            line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
        }
        example.lines().map(|line| on(line).unwrap_or(line).to_owned() + "\n").collect()
    }

    #[test]
    fn examples_are_what_they_show() {
        let text = example(&guest());
        let config = GuestConfig::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!((config.disks.len(), config.networks.len()), (1, 1));
        assert!(text.contains("# \"wait\": As `once`, and"), "{text}");
        assert_eq!(GuestConfig::parse(&uncommented(&text)), Ok(config));
        let text = example(&marker());
        assert_eq!(Marker::parse(&text).unwrap().node.as_str(), "web1");
    }

    /// The types and their schema name the same keys, and require the same.
    #[test]
    fn keys_are_those_that_are_read() {
        let schema = guest();
        for key in schema["properties"].as_object().unwrap().keys() {
            let text = format!("schema = 1\nimage = \"a\"\nmemory = \"64M\"\n{key} = false\n");
            let error = GuestConfig::parse(&text).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(!error.contains("unknown field"), "{key}: {error}");
        }
        assert_eq!(schema["required"], serde_json::json!(["schema", "image", "memory"]));
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["$defs"]["Disk"]["additionalProperties"], false);
        assert!(schema["properties"]["image"]["description"].as_str().is_some_and(|text| text.contains("newest")));
    }
}
