//! Choosing a kernel's modules for the initramfs from depmod's files.

use super::drivers::{LOAD, REQUIRED, STANDARD, STORAGE};
use crate::profile;
use crate::tree::{Content, Fingerprint, Kind, Tree, TreePath};
use appliance_contract::initramfs::{MODULES, Module, ModuleIndex};
use appliance_contract::nearest::nearest;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// The modules of one kernel, as depmod(8) found them.
#[derive(Debug, Default)]
pub struct KernelModules {
    /// By name, with underscores: the path below `kernel/`, with its ending.
    paths: BTreeMap<String, String>,
    needs: BTreeMap<String, Vec<String>>,
    builtin: BTreeSet<String>,
    /// Pattern and module.
    aliases: Vec<(String, String)>,
    /// Names or aliases that go before a module (modprobe.d(5), softdep).
    before: BTreeMap<String, Vec<String>>,
}

/// The modules that go into the initramfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What the agent reads to load them.
    pub index: ModuleIndex,
    /// Name and path below `kernel/` of each that is to be packed.
    pub packed: Vec<(String, String)>,
}

/// Why kernel modules cannot be chosen.
#[derive(Debug, thiserror::Error)]
pub enum ModulesError {
    /// A list that depmod(8) writes is not there.
    #[error("reading the kernel's modules: {path} is not in the image; depmod makes it")]
    Missing {
        /// The list's path.
        path: String,
    },
    /// A file of the image cannot be read.
    #[error("reading {path}")]
    Read {
        /// The file in the image.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// A list's line is not in depmod's form.
    #[error("reading {path}, line {line}: found {found:?}, expected {expected}")]
    Line {
        /// The list's path.
        path: String,
        /// Counted from 1.
        line: usize,
        /// The line.
        found: String,
        /// The form.
        expected: &'static str,
    },
    /// The profile names a module that the kernel has not.
    #[error("initramfs.{key} names {name:?}, which kernel {version} does not have{}", nearest.as_ref().map(|near| format!("; did you mean {near:?}?")).unwrap_or_default())]
    Unknown {
        /// `include` or `exclude`.
        key: &'static str,
        /// The name as it was given.
        name: String,
        /// The kernel's version.
        version: String,
        /// A module that may be meant.
        nearest: Option<String>,
    },
    /// The profile leaves out what every boot needs.
    #[error("initramfs.exclude leaves out {name}, without which the agent opens no root image")]
    Required {
        /// The module.
        name: String,
    },
    /// The profile removes what every boot needs.
    #[error("prune.paths takes away {name}, or what it needs, without which the agent opens no root image")]
    Pruned {
        /// The module.
        name: String,
    },
    /// A file of the image changed between two reads.
    #[error("{path} changed while it was read")]
    Changed {
        /// The file in the image.
        path: String,
    },
    /// A module is compressed in a way that is not known.
    #[error("reading {path}: modules that end in {ending:?} are not known, expected .ko, .ko.xz, .ko.zst or .ko.gz")]
    Ending {
        /// The file in the image.
        path: String,
        /// How its name ends.
        ending: String,
    },
    /// A module is no ELF file.
    #[error("{path} is not a module: found {found:02x?} at its beginning, expected an ELF header")]
    NotElf {
        /// The file in the image.
        path: String,
        /// Its first bytes.
        found: Vec<u8>,
    },
}

/// The folder of a kernel's modules in the tree.
pub fn folder(version: &str) -> String {
    format!("/usr/lib/modules/{version}")
}

fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// A module's name, from its file's.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    canonical(file.split_once(".ko").map_or(file, |(name, _)| name))
}

impl KernelModules {
    /// Reads what depmod(8) wrote for the kernel of this version.
    pub fn read(tree: &Tree, version: &str) -> Result<Self, ModulesError> {
        let text = |name: &str| {
            let path = format!("{}/{name}", folder(version));
            let content = file(tree, &path).ok_or_else(|| ModulesError::Missing { path: path.clone() })?;
            let bytes = content.read().map_err(|source| ModulesError::Read { path: path.clone(), source })?;
            Ok((path, String::from_utf8_lossy(&bytes).into_owned()))
        };
        let mut modules = Self::default();
        let (path, dependencies) = text("modules.dep")?;
        modules.parse_dependencies(&path, &dependencies)?;
        modules.builtin = text("modules.builtin")?.1.lines().map(name_of).collect();
        modules.parse_aliases(&text("modules.alias")?.1);
        modules.parse_softdep(&text("modules.softdep")?.1);
        let folder = folder(version);
        modules.leave_out_pruned(|below| file(tree, &format!("{folder}/kernel/{below}")).is_some())?;
        Ok(modules)
    }

    /// What the profile pruned after depmod had listed it is not there, nor is
    /// what cannot be loaded without; depmod lists a module's needs with theirs.
    fn leave_out_pruned(&mut self, is_there: impl Fn(&str) -> bool) -> Result<(), ModulesError> {
        let there = self.paths.iter().filter(|(_, below)| is_there(below));
        let there: BTreeSet<String> = there.map(|(name, _)| name.clone()).collect();
        let needs = &self.needs;
        self.paths.retain(|name, _| {
            there.contains(name) && needs.get(name).into_iter().flatten().all(|need| there.contains(need))
        });
        match REQUIRED.iter().find(|name| self.needs.contains_key(**name) && !self.paths.contains_key(**name)) {
            Some(name) => Err(ModulesError::Pruned { name: (*name).to_owned() }),
            None => Ok(()),
        }
    }

    fn parse_dependencies(&mut self, path: &str, text: &str) -> Result<(), ModulesError> {
        for (number, line) in text.lines().enumerate() {
            let fail = || ModulesError::Line {
                path: path.to_owned(),
                line: number + 1,
                found: line.to_owned(),
                expected: "a path, a colon and the paths it depends on",
            };
            let (module, needs) = line.split_once(':').ok_or_else(fail)?;
            let name = name_of(module);
            let below = module.strip_prefix("kernel/").unwrap_or(module);
            // depmod lists the nearest first; what is to be loaded first comes last.
            self.needs.insert(name.clone(), needs.split_whitespace().rev().map(name_of).collect());
            self.paths.insert(name, below.to_owned());
        }
        Ok(())
    }

    fn parse_aliases(&mut self, text: &str) {
        for line in text.lines() {
            if let Some((pattern, name)) = line.strip_prefix("alias ").and_then(|rest| rest.rsplit_once(' ')) {
                self.aliases.push((pattern.to_owned(), canonical(name)));
            }
        }
    }

    fn parse_softdep(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            if words.next() != Some("softdep") {
                continue;
            }
            let Some(name) = words.next() else { continue };
            let before = words.skip_while(|word| *word != "pre:").skip(1).take_while(|word| *word != "post:");
            self.before.entry(canonical(name)).or_default().extend(before.map(str::to_owned));
        }
    }

    /// The modules behind a name or alias; empty when it is built in or unknown.
    fn behind(&self, name: &str) -> Vec<String> {
        let own = canonical(name);
        if self.builtin.contains(&own) {
            return Vec::new();
        }
        if self.paths.contains_key(&own) {
            return vec![own];
        }
        // The crypto core asks by `crypto-NAME`; a soft dependency may leave the prefix out.
        let patterns = [name.to_owned(), format!("crypto-{name}")];
        let matching = self.aliases.iter().filter(|(pattern, _)| patterns.contains(pattern));
        let found: BTreeSet<String> = matching.map(|(_, module)| module.clone()).collect();
        found.into_iter().filter(|name| self.paths.contains_key(name)).collect()
    }

    /// All that goes before `name`, in the order of loading, without itself.
    /// Of the implementations of an algorithm only the generic one is there: the
    /// others need a CPU that has the instructions.
    fn before(&self, name: &str) -> Vec<String> {
        let mut order = Vec::new();
        self.visit(name, &mut order, &mut BTreeSet::new());
        order.pop();
        order
    }

    fn visit(&self, name: &str, order: &mut Vec<String>, seen: &mut BTreeSet<String>) {
        if !self.paths.contains_key(name) || !seen.insert(name.to_owned()) {
            return;
        }
        let soft = self.before.get(name).into_iter().flatten().flat_map(|wanted| {
            let mut found = self.behind(wanted);
            let exact = canonical(wanted);
            found.retain(|name| *name == exact || name.ends_with("_generic"));
            found
        });
        for earlier in self.needs[name].iter().cloned().chain(soft) {
            self.visit(&earlier, order, seen);
        }
        order.push(name.to_owned());
    }

    /// Every module that `name` may call for: hard ones, and any implementation of soft ones.
    fn closure(&self, name: &str, into: &mut BTreeSet<String>) {
        if !self.paths.contains_key(name) || !into.insert(name.to_owned()) {
            return;
        }
        let soft = self.before.get(name).into_iter().flatten().flat_map(|wanted| self.behind(wanted));
        for earlier in self.needs[name].iter().cloned().chain(soft) {
            self.closure(&earlier, into);
        }
    }

    fn named(&self, key: &'static str, name: &str, version: &str) -> Result<BTreeSet<String>, ModulesError> {
        let found: BTreeSet<String> = if name.contains('/') {
            let folder = format!("{}/", name.trim_matches('/').trim_start_matches("kernel/"));
            self.paths.iter().filter(|(_, path)| path.starts_with(&folder)).map(|(name, _)| name.clone()).collect()
        } else {
            let own = canonical(name);
            if self.builtin.contains(&own) {
                return Ok(BTreeSet::new());
            }
            self.paths.contains_key(&own).then_some(own).into_iter().collect()
        };
        if !found.is_empty() {
            return Ok(found);
        }
        let wanted = canonical(name);
        let nearest = nearest(&wanted, &self.paths.keys().map(String::as_str).collect::<Vec<_>>()).map(str::to_owned);
        Err(ModulesError::Unknown { key, name: name.to_owned(), version: version.to_owned(), nearest })
    }

    /// The standard list, wider and narrower by what the profile says. What is
    /// left out comes back where another module depends on it.
    pub fn choose(&self, profile: &profile::Initramfs, version: &str) -> Result<Choice, ModulesError> {
        let standard = STANDARD.iter().chain(REQUIRED).chain(LOAD).map(|name| canonical(name));
        let mut wanted: BTreeSet<String> = standard.filter(|name| self.paths.contains_key(name)).collect();
        for name in &profile.include {
            wanted.append(&mut self.named("include", name, version)?);
        }
        for name in &profile.exclude {
            for module in self.named("exclude", name, version)? {
                if REQUIRED.contains(&module.as_str()) {
                    return Err(ModulesError::Required { name: module });
                }
                wanted.remove(&module);
            }
        }
        let mut chosen = BTreeSet::new();
        for name in &wanted {
            self.closure(name, &mut chosen);
        }
        let storage: BTreeSet<&String> = self
            .paths
            .iter()
            .filter(|(name, path)| !chosen.contains(*name) && STORAGE.iter().any(|folder| path.starts_with(folder)))
            .map(|(name, _)| name)
            .filter(|name| self.aliases.iter().any(|(pattern, module)| module == *name && is_device(pattern)))
            .collect();
        let mut index = ModuleIndex::default();
        for name in &chosen {
            let file = Some(format!("{MODULES}/{name}.ko"));
            index.modules.insert(name.clone(), Module { file, needs: self.before(name) });
        }
        for name in &storage {
            index.modules.insert((*name).clone(), Module::default());
        }
        index.aliases = self
            .aliases
            .iter()
            .filter(|(pattern, name)| chosen.contains(name) || (storage.contains(name) && is_device(pattern)))
            .cloned()
            .collect();
        index.load = LOAD.iter().map(|name| canonical(name)).filter(|name| chosen.contains(name)).collect();
        let packed = chosen.iter().map(|name| (name.clone(), self.paths[name].clone())).collect();
        Ok(Choice { index, packed })
    }
}

/// Whether an alias is that of a device on a bus, as `/sys` tells it, and not of a service.
fn is_device(pattern: &str) -> bool {
    const SERVICES: [&str; 8] =
        ["fs-", "crypto-", "char-major-", "block-major-", "devname:", "net-pf-", "scsi_hostadapter", "md-"];
    !SERVICES.iter().any(|service| pattern.starts_with(service)) && pattern.contains(':')
}

fn file<'t>(tree: &'t Tree, path: &str) -> Option<&'t Content> {
    match &tree.get(&TreePath::parse(path).ok()?)?.kind {
        Kind::File(content) => Some(content),
        _ => None,
    }
}

/// A module's file.
pub fn module<'t>(tree: &'t Tree, version: &str, below: &str) -> Result<&'t Content, ModulesError> {
    let path = format!("{}/kernel/{below}", folder(version));
    file(tree, &path).ok_or(ModulesError::Missing { path })
}

/// A module's plain bytes. Its signature, which follows the ELF image, is over
/// just these, so that a decompressed module still counts as signed. Its file must still be the one that is `known`.
pub fn read_module(tree: &Tree, version: &str, below: &str, known: &Fingerprint) -> Result<Vec<u8>, ModulesError> {
    let path = format!("{}/kernel/{below}", folder(version));
    let failed = |source| ModulesError::Read { path: path.clone(), source };
    let packed = module(tree, version, below)?.read().map_err(failed)?;
    if Fingerprint::of(packed.as_slice()).map_err(failed)? != *known {
        return Err(ModulesError::Changed { path });
    }
    let ending = below.rsplit('.').next().unwrap_or_default();
    let mut bytes = Vec::new();
    match ending {
        "ko" => bytes = packed,
        "xz" => liblzma::read::XzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).map(drop).map_err(failed)?,
        "zst" => zstd::stream::copy_decode(packed.as_slice(), &mut bytes).map_err(failed)?,
        "gz" => flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).map(drop).map_err(failed)?,
        _ => return Err(ModulesError::Ending { path, ending: ending.to_owned() }),
    }
    if !bytes.starts_with(b"\x7fELF") {
        bytes.truncate(4);
        return Err(ModulesError::NotElf { path, found: bytes });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
