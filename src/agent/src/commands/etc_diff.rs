//! `appliance etc diff`: what the config makes of the image's `/etc`, and what was changed since, in memory.

use super::layers::{Found, Layers, found, names};
use super::{CommandError, DIFFERS, OK, World, text_diff};
use std::io::Write;

#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub unified: bool,
    pub config: bool,
    pub memory: bool,
}

/// Text larger than this is not compared line by line.
const MAX_TEXT: u64 = 256 * 1024;

struct Difference {
    layer: &'static str,
    path: String,
    /// `None` where the layer added it.
    old: Option<Found>,
    /// `None` where the layer deleted it.
    new: Option<Found>,
}

pub fn run(world: &World<'_>, options: &Options, out: &mut dyn Write) -> Result<u8, CommandError> {
    let layers = Layers::of(world);
    let mut differences = Vec::new();
    if options.config {
        differences.extend(config(&layers)?);
    }
    if options.memory {
        differences.extend(memory(&layers)?);
    }
    for difference in &differences {
        difference.print(options.unified, out)?;
    }
    Ok(if differences.is_empty() { OK } else { DIFFERS })
}

pub fn memory_changes(world: &World<'_>) -> Result<usize, CommandError> {
    Ok(memory(&Layers::of(world))?.len())
}

fn config(layers: &Layers) -> Result<Vec<Difference>, CommandError> {
    let mut walk = Walk { layers, layer: "config", found: Vec::new() };
    walk.must_exist(&layers.config)?;
    walk.must_exist(&layers.image)?;
    walk.config("")?;
    Ok(walk.found)
}

fn memory(layers: &Layers) -> Result<Vec<Difference>, CommandError> {
    let mut walk = Walk { layers, layer: "memory", found: Vec::new() };
    walk.must_exist(&layers.memory)?;
    walk.memory("")?;
    Ok(walk.found)
}

struct Walk<'a> {
    layers: &'a Layers,
    layer: &'static str,
    found: Vec<Difference>,
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

impl Walk<'_> {
    fn must_exist(&self, layer: &std::path::Path) -> Result<(), CommandError> {
        match std::fs::read_dir(layer) {
            Ok(_) => Ok(()),
            Err(error) => Err(CommandError::Read { path: layer.to_owned(), error }),
        }
    }

    fn note(&mut self, path: String, old: Option<Found>, new: Option<Found>) {
        self.found.push(Difference { layer: self.layer, path, old, new });
    }

    /// Compares, notes, and says whether both sides are folders to go into.
    fn compare(&mut self, path: &str, old: Option<Found>, new: Found) -> Result<bool, CommandError> {
        let folder = new.metadata.is_dir();
        match old {
            Some(old) if old.same_as(&new)? => {}
            old => self.note(path.to_owned(), old, Some(new)),
        }
        Ok(folder)
    }

    fn config(&mut self, folder: &str) -> Result<(), CommandError> {
        for name in names(&self.layers.config, folder)? {
            let path = join(folder, &name);
            let Some(new) = found(&self.layers.config, &path)? else { continue };
            let old = found(&self.layers.image, &path)?;
            if self.compare(&path, old, new)? {
                self.config(&path)?;
            }
        }
        Ok(())
    }

    fn memory(&mut self, folder: &str) -> Result<(), CommandError> {
        let mut seen = names(&self.layers.memory, folder)?;
        // A folder made anew hides what was in the old one without a mark for each name,
        // so what is below is asked for in the merged view.
        for name in [names(&self.layers.config, folder)?, names(&self.layers.image, folder)?].concat() {
            if !seen.contains(&name) && found(&self.layers.merged, &join(folder, &name))?.is_none() {
                seen.push(name);
            }
        }
        seen.sort();
        for name in seen {
            let path = join(folder, &name);
            let old = self.layers.below_memory(&path)?;
            match (found(&self.layers.memory, &path)?.filter(|new| !new.is_whiteout()), old) {
                (Some(new), old) => {
                    if self.compare(&path, old, new)? {
                        self.memory(&path)?;
                    }
                }
                (None, Some(old)) => self.note(path, Some(old), None),
                (None, None) => {}
            }
        }
        Ok(())
    }
}

impl Difference {
    fn print(&self, unified: bool, out: &mut dyn Write) -> Result<(), CommandError> {
        let letter = match (&self.old, &self.new) {
            (None, _) => 'A',
            (_, None) => 'D',
            _ => 'M',
        };
        writeln!(out, "{:<7}{letter} /etc/{}", self.layer, self.path)?;
        if unified {
            out.write_all(self.details()?.as_bytes())?;
        }
        Ok(())
    }

    fn details(&self) -> Result<String, CommandError> {
        let (old, new) = (text(self.old.as_ref())?, text(self.new.as_ref())?);
        let (Some(old), Some(new)) = (old, new) else {
            return Ok(" (not text, or too large to show)\n".to_owned());
        };
        let name = |side: &str, there: bool| {
            if there { format!("{side}/etc/{}", self.path) } else { "/dev/null".to_owned() }
        };
        let lines = text_diff::unified(&old, &new);
        if lines.is_empty() {
            return Ok(self.attributes());
        }
        Ok(format!("--- {}\n+++ {}\n{lines}", name("a", self.old.is_some()), name("b", self.new.is_some())))
    }

    fn attributes(&self) -> String {
        use std::os::unix::fs::MetadataExt;
        let (Some(old), Some(new)) = (&self.old, &self.new) else { return String::new() };
        let show =
            |found: &Found| format!("{}:{} {:o}", found.metadata.uid(), found.metadata.gid(), found.metadata.mode());
        format!(" (owner and mode: {} → {})\n", show(old), show(new))
    }
}

/// What to compare by lines: a file's text, a link's target, nothing for a folder; `None` when it is not text.
fn text(found: Option<&Found>) -> Result<Option<String>, CommandError> {
    let Some(found) = found else { return Ok(Some(String::new())) };
    if found.metadata.is_symlink() {
        return Ok(Some(format!("link to {}\n", found.target()?.display())));
    }
    if found.metadata.is_dir() {
        return Ok(Some(String::new()));
    }
    if !found.metadata.is_file() || found.metadata.len() > MAX_TEXT {
        return Ok(None);
    }
    Ok(String::from_utf8(found.content()?).ok().filter(|text| !text.contains('\0')))
}
