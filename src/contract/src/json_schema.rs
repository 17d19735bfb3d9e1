//! JSON Schema of the files that people write, generated from the types that parse them, and an example of each file
//! that documents every key.

use crate::guest::GuestConfig;
use crate::marker::Marker;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// The schema of guest.toml.
pub fn guest() -> Value {
    schema_of::<GuestConfig>()
}

/// The schema of appliance.toml, the marker.
pub fn marker() -> Value {
    schema_of::<Marker>()
}

fn schema_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>().to_value()
}

/// Length of a comment line in characters.
const WIDTH: usize = 96;

/// A TOML file with all keys of a schema, each after its description. An optional key without an example is commented
/// out and has its default.
pub fn example(schema: &Value) -> String {
    let mut text = String::new();
    write_comment(&mut text, description(schema));
    text.push_str("#\n");
    write_comment(&mut text, "A key that is commented out is optional; the value shown is its default.");
    write_table(&mut text, schema, schema);
    text
}

fn write_table(text: &mut String, root: &Value, schema: &Value) {
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
        write_comment(text, description(property));
        let kind = resolve(root, property);
        write_values(text, kind);
        let required = schema["required"].as_array().is_some_and(|keys| keys.iter().any(|other| other == key));
        let example = &property["examples"][0];
        let prefix = if required || !example.is_null() { "" } else { "#" };
        let value = [example, &property["default"]].into_iter().find(|value| !value.is_null()).cloned();
        let value = value.unwrap_or_else(|| default_value(kind));
        text.push_str(&format!("{prefix}{key} = {value}\n"));
    }
    // TOML wants a table's own keys before the tables below it.
    for (key, property, item) in tables {
        text.push('\n');
        write_comment(text, description(property));
        write_comment(text, description(item));
        text.push_str(&format!("[[{key}]]\n"));
        write_table(text, root, item);
    }
}

/// Resolves a `$ref`, and takes the first of two choices if the other is null.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let schema = schema["anyOf"].get(0).unwrap_or(schema);
    let name = schema["$ref"].as_str().and_then(|place| place.strip_prefix("#/$defs/"));
    name.map_or(schema, |name| &root["$defs"][name])
}

fn description(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

/// Writes what the values of an enumeration mean.
fn write_values(text: &mut String, schema: &Value) {
    for choice in schema["oneOf"].as_array().into_iter().flatten() {
        write_comment(text, &format!("{}: {}", choice["const"], description(choice)));
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> = words.iter().map(Value::to_string).collect();
        write_comment(text, &format!("One of {}.", words.join(", ")));
    }
}

/// The value of an optional key without a default of its own.
fn default_value(schema: &Value) -> Value {
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

fn write_comment(text: &mut String, words: &str) {
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

    /// All keys of the file, also those that are commented out.
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
