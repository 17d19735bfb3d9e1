//! The templates of domain configs and QEMU's arguments: the node's own before
//! the image's.

mod language;

use crate::system::files;
use crate::system::world::World;
use appliance_contract::medium;
use serde_json::Value;
use std::io;

/// Where a node's config puts templates of its own, and where the image has them.
const FOLDERS: [&str; 2] = ["/etc/appliance/templates", medium::IN_IMAGE_TEMPLATES];

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it means")]
pub enum TemplateError {
    #[error("the template {name} is not in {} nor in {}", FOLDERS[0], FOLDERS[1])]
    Missing { name: String },
    #[error("reading the template {path}: {error}")]
    Read { path: String, error: io::Error },
    #[error("the template {path}: {problem}")]
    Render { path: String, problem: String },
}

/// Renders the template `name` of the node.
pub fn render(world: &World<'_>, name: &str, values: &Value) -> Result<String, TemplateError> {
    for folder in FOLDERS {
        let path = format!("{folder}/{name}");
        match files::read_text(&world.at(&path), files::MAX_SIZE) {
            Ok(source) => {
                return render_text(&source, values).map_err(|problem| TemplateError::Render { path, problem });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(TemplateError::Read { path, error }),
        }
    }
    Err(TemplateError::Missing { name: name.to_owned() })
}

/// Nothing is HTML here, so nothing is escaped but by `quote` and `comma`; what has no value is an error.
pub fn render_text(source: &str, values: &Value) -> Result<String, String> {
    language::render(source, values, &[("quote", quote), ("comma", comma)])
}

/// A string of xl's (libxlu_cfg_l.l and libxlu_cfg.c, xlu__cfgl_dequote): C's
/// escapes in double quotes. Bytes beyond ASCII are taken as they are.
pub fn quote(value: &str) -> String {
    let mut text = String::from("\"");
    for character in value.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            character if character.is_ascii_control() => text += &format!("\\{:03o}", u32::from(character)),
            character => text.push(character),
        }
    }
    text.push('"');
    text
}

/// A value among QEMU's options of several parts: a comma ends it, two are one (qemu(1), "Generic object creation").
pub fn comma(value: &str) -> String {
    value.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::tests::Node;
    use serde_json::json;

    #[test]
    fn the_nodes_own_template_wins() {
        let node = Node::new();
        let values = json!({"a": "<&>"});
        let error = render(&node.world(), "x.hbs", &values).unwrap_err().to_string();
        assert!(error.starts_with("the template x.hbs is not in /etc/"), "{error}");
        node.file("/usr/share/appliance/templates/x.hbs", b"image {{a}}");
        assert_eq!(render(&node.world(), "x.hbs", &values).unwrap(), "image <&>");
        node.file("/etc/appliance/templates/x.hbs", b"node {{a}}");
        assert_eq!(render(&node.world(), "x.hbs", &values).unwrap(), "node <&>");
        for bad in ["{{b}}", "{{#if a}}", "{{quote}}"] {
            node.file("/etc/appliance/templates/x.hbs", bad.as_bytes());
            let error = render(&node.world(), "x.hbs", &values).unwrap_err().to_string();
            assert!(error.starts_with("the template /etc/appliance/templates/x.hbs: "), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn values_are_quoted_for_where_they_go() {
        assert_eq!(quote("a\"b\\c'd\ne,%ä"), "\"a\\\"b\\\\c'd\\012e,%ä\"");
        assert_eq!(comma("a,b,,c%'\""), "a,,b,,,,c%'\"");
    }
}
