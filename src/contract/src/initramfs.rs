//! What the initramfs holds beside `/init`: the module files and one index.
//!
//! The index is text, a record a line, fields separated by one tab:
//!
//! ```text
//! module NAME FILE DEPENDENCIES
//! alias  PATTERN NAME
//! load   NAME
//! ```
//!
//! `FILE` is the path in the initramfs or `-` when the module exists for this
//! kernel but is not in the initramfs (so that the agent can name a driver the
//! machine would need). `DEPENDENCIES` are names separated by spaces, in the
//! order in which they must be loaded. `load` names modules to load in any case.

use std::collections::BTreeMap;

/// Folder of the modules in the initramfs.
pub const MODULES: &str = "/lib/modules";
/// Path of the index of modules in the initramfs.
pub const INDEX: &str = "/lib/modules/index";

/// A kernel module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Module {
    /// Path in the initramfs; `None` when this kernel has the module but the initramfs does not.
    pub file: Option<String>,
    /// Modules that must be loaded before it.
    pub needs: Vec<String>,
}

/// The modules of a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleIndex {
    /// Each module by its name.
    pub modules: BTreeMap<String, Module>,
    /// Pairs of a modalias pattern (fnmatch syntax) and a module name.
    pub aliases: Vec<(String, String)>,
    /// Loaded in this order whatever the machine has.
    pub load: Vec<String>,
}

/// A line of the index that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line} of the module index: found {found:?}, expected {expected}")]
pub struct IndexError {
    /// The line's number, from 1.
    pub line: usize,
    /// The line.
    pub found: String,
    /// What it should be.
    pub expected: &'static str,
}

impl ModuleIndex {
    /// The text of the index.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (name, module) in &self.modules {
            let file = module.file.as_deref().unwrap_or("-");
            text += &format!("module\t{name}\t{file}\t{}\n", module.needs.join(" "));
        }
        for (pattern, name) in &self.aliases {
            text += &format!("alias\t{pattern}\t{name}\n");
        }
        for name in &self.load {
            text += &format!("load\t{name}\n");
        }
        text
    }

    /// Reads the text of an index.
    pub fn parse(text: &str) -> Result<Self, IndexError> {
        let mut index = Self::default();
        for (number, line) in text.lines().enumerate() {
            let fields: Vec<&str> = line.split('\t').collect();
            match fields[..] {
                ["module", name, file, needs] => {
                    let module = Module {
                        file: (file != "-").then(|| file.to_owned()),
                        needs: needs.split_whitespace().map(str::to_owned).collect(),
                    };
                    index.modules.insert(name.to_owned(), module);
                }
                ["alias", pattern, name] => index.aliases.push((pattern.to_owned(), name.to_owned())),
                ["load", name] => index.load.push(name.to_owned()),
                _ => {
                    return Err(IndexError {
                        line: number + 1,
                        found: line.to_owned(),
                        expected: "module, alias or load with its tab-separated fields",
                    });
                }
            }
        }
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_and_parses_back() {
        let mut index = ModuleIndex::default();
        index
            .modules
            .insert("ahci".into(), Module { file: Some("/lib/modules/ahci.ko".into()), needs: vec!["libata".into()] });
        index.modules.insert("lpfc".into(), Module::default());
        index.aliases.push(("pci:v*d*sv*sd*bc01sc06i01*".into(), "ahci".into()));
        index.load.push("squashfs".into());
        assert_eq!(ModuleIndex::parse(&index.render()), Ok(index));
    }

    #[test]
    fn refuses_a_line_it_does_not_know() {
        let error = ModuleIndex::parse("load\tsd_mod\nblacklist\tfoo\n").unwrap_err();
        assert_eq!((error.line, error.found.as_str()), (2, "blacklist\tfoo"));
    }
}
