//! The agent's two programs: PID 1 of the initramfs (`init`, `boot`), and the node's
//! `appliance` command with the systemd generator of guests (`commands`, `generator`,
//! `guests`, `uplink`). Two, so that what boots stays below 2 MB. The table *The agent*
//! in ARCHITECTURE.md lists the modules in the order of their imports.
//!
//! The `Display` of an error is one whole line that includes its cause; `source()`
//! does not return that cause again.

#![warn(missing_docs)]

pub mod boot;
pub mod commands;
pub mod etc_plan;
pub mod formats;
pub mod generator;
pub mod guests;
pub mod init;
pub mod medium_check;
pub mod system;
pub mod uplink;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rust_files(&path, found);
            } else if path.extension().is_some_and(|suffix| suffix == "rs") {
                found.push(path);
            }
        }
    }

    /// The modules of the table *The agent* in ARCHITECTURE.md, from the first row on.
    fn rows() -> Vec<String> {
        let text = fs::read_to_string("../../ARCHITECTURE.md").unwrap();
        let section = text.split("\n## The agent\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        cells.map(|(name, _)| name.trim_end_matches('/').trim_end_matches(".rs").to_owned()).collect()
    }

    #[test]
    fn imports_only_go_down_in_the_table_of_modules() {
        let rows = rows();
        let row = |module: &str| rows.iter().position(|name| name == module);
        let (mut files, mut imports) = (Vec::new(), 0);
        // Tests are started in the directory of their package.
        rust_files(Path::new("src"), &mut files);
        for file in files {
            let below = file.strip_prefix("src").unwrap();
            let module = below.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
            // Programs see everything; tests may reach anywhere.
            if matches!(module.as_str(), "lib" | "bin") || below.to_string_lossy().contains("test") {
                continue;
            }
            let importer = row(&module).unwrap_or_else(|| panic!("{module} is not in the table"));
            let text = fs::read_to_string(&file).unwrap();
            for used in text.split("mod tests {").next().unwrap().split("crate::").skip(1) {
                let end = used.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_').unwrap_or(used.len());
                let Some(imported) = row(&used[..end]) else { continue };
                imports += 1;
                assert!(imported >= importer, "{}: {module} imports {}", below.display(), &used[..end]);
            }
        }
        assert!(imports > 150, "{imports}");
    }
}
