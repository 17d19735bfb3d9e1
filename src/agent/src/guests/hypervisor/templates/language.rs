//! The part of handlebars that node templates are written in: values, helpers,
//! `each`, `if` with `else`, comments. The whole crate would make the node's
//! command twice as large as its bound leaves room for; a test compares the two.

use serde_json::Value;

/// A helper's name and what it makes of a text.
pub type Helper = (&'static str, fn(&str) -> String);

#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    /// A value, through a helper or not.
    Value {
        helper: Option<&'a str>,
        path: &'a str,
    },
    Each {
        path: &'a str,
        body: Vec<Part<'a>>,
    },
    If {
        path: &'a str,
        body: Vec<Part<'a>>,
        otherwise: Vec<Part<'a>>,
    },
}

/// Renders `source`; the error names its line.
pub fn render(source: &str, values: &Value, helpers: &[Helper]) -> Result<String, String> {
    let mut reader = Reader { source, at: 0, depth: 0 };
    let (parts, end) = reader.parts()?;
    if let Some(end) = end {
        return Err(reader.wrong(&format!("{{{{{end}}}}} ends nothing")));
    }
    let mut text = String::new();
    write(&parts, &Scope { value: values, index: None, outer: None }, helpers, &mut text)?;
    Ok(text)
}

/// How deep blocks may lie in each other; each costs a piece of the stack.
const DEEPEST: usize = 32;

struct Reader<'a> {
    source: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, problem: &str) -> String {
        let before = self.source.get(..self.at).unwrap_or(self.source);
        format!("line {}: {problem}", before.matches('\n').count() + 1)
    }

    /// What is in a block.
    fn inside(&mut self) -> Result<(Vec<Part<'a>>, Option<&'a str>), String> {
        if self.depth == DEEPEST {
            return Err(self.wrong(&format!("blocks lie more than {DEEPEST} deep in each other")));
        }
        self.depth += 1;
        let found = self.parts()?;
        self.depth -= 1;
        Ok(found)
    }

    /// Up to the template's end, or to a tag that ends or parts a block, which is given.
    fn parts(&mut self) -> Result<(Vec<Part<'a>>, Option<&'a str>), String> {
        let mut parts = Vec::new();
        loop {
            let rest = &self.source[self.at..];
            let Some(begin) = rest.find("{{") else {
                parts.push(Part::Text(rest));
                self.at = self.source.len();
                return Ok((parts, None));
            };
            let comment = rest[begin..].starts_with("{{!--");
            let (open, close) = if comment { (5, "--}}") } else { (2, "}}") };
            let inner = &rest[begin + open..];
            let length = inner.find(close).ok_or_else(|| self.wrong("a tag that {{ begins has no end"))?;
            let tag = inner[..length].trim();
            let block = comment || tag.starts_with(['#', '/', '!']) || tag == "else";
            let mut text = &rest[..begin];
            let mut next = self.at + begin + open + length + close.len();
            if block && let Some(after) = alone(&self.source[..self.at + begin], &self.source[next..]) {
                text = text.trim_end_matches([' ', '\t']);
                next += after;
            }
            parts.push(Part::Text(text));
            if comment || tag.starts_with('!') {
                self.at = next;
                continue;
            }
            if tag == "else" || tag.starts_with('/') {
                self.at = next;
                return Ok((parts, Some(tag)));
            }
            let part = self.tag(tag, next)?;
            parts.push(part);
        }
    }

    fn tag(&mut self, tag: &'a str, next: usize) -> Result<Part<'a>, String> {
        let words: Vec<&str> = tag.split_ascii_whitespace().collect();
        match words[..] {
            ["#each", path] => {
                self.at = next;
                let (body, end) = self.inside()?;
                self.ends(end, "/each")?;
                Ok(Part::Each { path, body })
            }
            ["#if", path] => {
                self.at = next;
                let (body, mut end) = self.inside()?;
                let mut otherwise = Vec::new();
                if end == Some("else") {
                    (otherwise, end) = self.inside()?;
                }
                self.ends(end, "/if")?;
                Ok(Part::If { path, body, otherwise })
            }
            [path] if !path.starts_with('#') => {
                self.at = next;
                Ok(Part::Value { helper: None, path })
            }
            [helper, path] if !helper.starts_with('#') => {
                self.at = next;
                Ok(Part::Value { helper: Some(helper), path })
            }
            _ => Err(self.wrong(&format!(
                "{{{{{tag}}}}} is not known, expected a value, a helper with a value, #each, #if or a comment"
            ))),
        }
    }

    fn ends(&self, found: Option<&str>, expected: &str) -> Result<(), String> {
        if found == Some(expected) {
            return Ok(());
        }
        let found = found.map_or("the template's end".to_owned(), |found| format!("{{{{{found}}}}}"));
        Err(self.wrong(&format!("found {found}, expected {{{{{expected}}}}}")))
    }
}

/// A block's tag with nothing else on its line takes the line with it: how much of what follows goes.
fn alone(before: &str, after: &str) -> Option<usize> {
    let line = before.rsplit('\n').next().unwrap_or_default();
    let blank = after.len() - after.trim_start_matches([' ', '\t']).len();
    let ends = match after[blank..].chars().next() {
        Some('\n') => blank + 1,
        None => blank,
        Some(_) => return None,
    };
    line.trim().is_empty().then_some(ends)
}

struct Scope<'a> {
    value: &'a Value,
    index: Option<usize>,
    outer: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    fn find(&self, path: &str) -> Option<Value> {
        if let Some(path) = path.strip_prefix("../") {
            return self.outer?.find(path);
        }
        match path {
            "this" => Some(self.value.clone()),
            "@index" => self.index.map(Value::from),
            _ => {
                let path = path.strip_prefix("this.").unwrap_or(path);
                path.split('.').try_fold(self.value, |value, name| value.get(name)).cloned()
            }
        }
    }

    fn value(&self, path: &str) -> Result<Value, String> {
        self.find(path).ok_or_else(|| {
            let known = self.value.as_object().map(|names| names.keys().cloned().collect::<Vec<_>>().join(", "));
            format!("{path} has no value; there are {}", known.unwrap_or_default())
        })
    }
}

fn write(parts: &[Part<'_>], scope: &Scope<'_>, helpers: &[Helper], text: &mut String) -> Result<(), String> {
    for part in parts {
        match part {
            Part::Text(plain) => text.push_str(plain),
            Part::Value { helper, path } => {
                let plain = plain(path, &scope.value(path)?)?;
                match helper {
                    None => text.push_str(&plain),
                    Some(name) => {
                        let helper = helpers.iter().find(|(known, _)| known == name);
                        let (_, change) = helper.ok_or_else(|| format!("there is no helper {name}"))?;
                        text.push_str(&change(&plain));
                    }
                }
            }
            Part::Each { path, body } => {
                let Value::Array(values) = scope.value(path)? else { return Err(format!("{path} is no list")) };
                for (index, value) in values.iter().enumerate() {
                    write(body, &Scope { value, index: Some(index), outer: Some(scope) }, helpers, text)?;
                }
            }
            Part::If { path, body, otherwise } => {
                let chosen = if is_true(&scope.value(path)?) { body } else { otherwise };
                write(chosen, scope, helpers, text)?;
            }
        }
    }
    Ok(())
}

fn plain(path: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(format!("{path} is no text and no number")),
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn renders_as_handlebars_does() {
        let values = json!({
            "a": "<&\">", "n": 3, "on": true, "off": false, "b": {"c": "x"},
            "list": [{"v": "1", "sub": ["p", "q"]}, {"v": "2", "sub": []}],
        });
        let mut judge = handlebars::Handlebars::new();
        judge.set_strict_mode(true);
        judge.register_escape_fn(handlebars::no_escape);
        for source in [
            "plain\n",
            "{{a}} {{ n }}{{b.c}}\n",
            "{{!-- a {{comment}} --}}\nx {{! here }} y\n",
            "{{#each list}}\n  {{v}},{{@index}},{{../n}}\n{{/each}}\nend",
            "{{#each list}}[{{#each sub}}{{this}}{{../v}}{{../../a}}{{/each}}]{{/each}}",
            "x={{#if on}}yes{{else}}no{{/if}} {{#if off}}yes{{else}}no{{/if}}\n",
            "{{#if off}}\nyes\n{{else}}\nno\n{{/if}}\n",
            "{{#if on}}\n  {{#each list}}\n    - {{this.v}}\n  {{/each}}\n{{/if}}",
            "one\n\n  two {{!-- alone --}}\n{{!-- at the end --}}",
        ] {
            let expected = judge.render_template(source, &values).unwrap();
            assert_eq!(render(source, &values, &[]).unwrap(), expected, "{source:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let values = json!({"a": [1], "b": 1});
        for (source, said) in [
            ("x\n{{c}}", "c has no value; there are a, b"),
            ("{{a}}", "a is no text and no number"),
            ("x\n{{#each a}}", "line 2: found the template's end, expected {{/each}}"),
            ("{{#each a}}{{/if}}", "found {{/if}}, expected {{/each}}"),
            ("{{#each b}}{{/each}}", "b is no list"),
            ("\n\n{{/if}}", "line 3: {{/if}} ends nothing"),
            ("{{#with a}}", "is not known, expected a value"),
            ("{{a b c}}", "is not known"),
            ("{{nope b}}", "there is no helper nope"),
            ("{{a", "a tag that {{ begins has no end"),
            (&"{{#if b}}".repeat(200_000), "more than 32 deep"),
        ] {
            let error = render(source, &values, &[]).unwrap_err();
            assert!(error.contains(said) && !error.contains('\n'), "{source:?}: {error}");
        }
    }
}
