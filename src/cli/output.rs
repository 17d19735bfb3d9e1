//! What goes to standard output.

use serde_json::{Value, json};
use std::io::{self, Write};

/// The version of the events that `--json` prints.
const SCHEMA: u32 = 1;

/// Prints text; a reader that has seen enough (`| head`) is no error.
pub fn text(text: impl std::fmt::Display) {
    let mut out = io::stdout().lock();
    if let Err(error) = write!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        eprintln!("writing to standard output: {error}");
    }
}

/// Prints an event of `--json`: one object on one line.
pub fn event(name: &str, fields: Value) {
    let mut object = json!({"schema": SCHEMA, "event": name});
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields) {
        object.extend(fields);
    }
    text(format_args!("{object}\n"));
}
