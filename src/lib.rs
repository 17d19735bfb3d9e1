//! Builds bootable appliance images. ARCHITECTURE.md lists the modules in the order of their imports.

pub mod boot;
pub mod differ;
pub mod embedded;
pub mod fleet;
pub mod format;
pub mod identity;
pub mod output;
pub mod packages;
pub mod pipeline;
pub mod profile;
pub mod progress;
pub mod qemu;
pub mod reproduce;
pub mod rootfs;
pub mod sandbox;
pub mod store;
pub mod templates;
pub mod tree;
pub mod util;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rust_files(&path, found);
            } else if path.extension().is_some_and(|suffix| suffix == "rs") {
                found.push(path);
            }
        }
    }

    /// The rows of the table *Modules* in ARCHITECTURE.md, from the first on.
    fn rows(architecture: &str) -> BTreeMap<String, usize> {
        let cells = architecture.lines().filter_map(|line| line.strip_prefix("| `src/")?.split_once("` |"));
        let name = |cell: &str| cell.trim_end_matches('/').trim_end_matches(".rs").to_owned();
        cells.enumerate().map(|(row, (cell, _))| (name(cell), row)).collect()
    }

    #[test]
    fn imports_only_go_down_in_the_table_of_modules() {
        // Tests are started in the directory of their package.
        let rows = rows(&std::fs::read_to_string("ARCHITECTURE.md").unwrap());
        let mut files = Vec::new();
        rust_files(Path::new("src"), &mut files);
        let mut imports = 0;
        for file in files {
            let below = file.strip_prefix("src").unwrap();
            let module = below.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
            // Other crates have their own modules; tests may reach anywhere.
            if matches!(module.as_str(), "lib" | "agent" | "contract") || below.to_string_lossy().contains("test") {
                continue;
            }
            let row = rows.get(&module).unwrap_or_else(|| panic!("{module} is not in the table"));
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            for used in code.split("crate::").skip(1) {
                let used: String =
                    used.chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '_').collect();
                let Some(lower) = rows.get(&used) else { continue };
                imports += 1;
                assert!(lower >= row, "{}: {module} imports {used}, which stands above it", below.display());
            }
        }
        assert!(imports > 300, "{imports}");
    }

    /// From the bracket that `text` begins with to the one that closes it.
    fn bracketed(text: &str) -> &str {
        let (mut depth, mut quoted, mut escaped) = (0, false, false);
        for (at, letter) in text.char_indices() {
            match letter {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                '(' | '{' | '[' if !quoted => depth += 1,
                ')' | '}' | ']' if !quoted => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return &text[..at];
            }
        }
        text
    }

    /// Whether the message of an error prints what the error also gives as its cause.
    fn prints_its_cause(message: &str, fields: &str) -> bool {
        let named = |name: &str| {
            let attribute = |kind: &str| fields.contains(&format!("#[{kind}] {name}: "));
            let field = fields.split([' ', '{', ',']).any(|word| word == format!("{name}:"));
            field && (name == "source" || attribute("source") || attribute("from"))
        };
        let printed = |name: &str| message.contains(&format!("{{{name}}}")) || message.contains(&format!("{{{name}:"));
        ["source", "error", "problem", "last"].into_iter().any(|name| printed(name) && named(name))
            || printed("0") && (fields.contains("(#[from]") || fields.contains("(#[source]"))
    }

    #[test]
    fn no_message_repeats_its_cause() {
        assert!(prints_its_cause("(\"reading {path}: {source}\"", "{ path: PathBuf, source: io::Error"));
        assert!(prints_its_cause("(\"packing: {0}\"", "(#[from] TreeError"));
        assert!(!prints_its_cause("(\"{url}{}\", mend(source)", "{ url: Url, source: IndexError"));
        assert!(!prints_its_cause("(\"found {0:?}\"", "(String"));
        let mut files = Vec::new();
        rust_files(Path::new("src"), &mut files);
        let mut messages = 0;
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for after in text.split("#[error").skip(1).filter(|after| after.starts_with('(')) {
                let message = bracketed(after);
                let rest = &after[message.len()..];
                let Some(start) = rest.find(['{', '(']) else { continue };
                let fields = bracketed(&rest[start..]);
                // A variant without fields ends before the next one's begin.
                if rest[..start].contains(',') || rest[..start].contains("#[error") {
                    continue;
                }
                messages += 1;
                assert!(!prints_its_cause(message, fields), "{}: #[error{message})]", file.display());
            }
        }
        assert!(messages > 200, "{messages}");
    }
}
