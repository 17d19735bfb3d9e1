//! The lists of each kernel's modules, by depmod(8). It reads all modules, which
//! takes as long as all scripts together, and needs nothing of theirs: so it runs
//! beside them, as soon as packages are unpacked, in a root of its own.

use super::error::{AssembleError, io_at};
use super::order;
use super::package::Package;
use super::place::{Placer, Source};
use super::reading::Packages;
use super::scripts::{LAST_LINES, run_in};
use super::work::WorkFolder;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const PROGRAM: &str = "usr/sbin/depmod";
const MODULES: &str = "usr/lib/modules";
const CONFIG: &str = "etc/depmod.d";
/// dpkg's ending for a conffile that is not configured yet.
const NEW: &str = ".dpkg-new";

/// What depmod made.
#[derive(Debug, Default)]
pub struct Lists {
    /// Where it ran.
    root: PathBuf,
    /// Below [`MODULES`].
    files: Vec<PathBuf>,
}

/// Whether a package has an entry at `path`, or below it; the merged `/usr` may be named or not.
fn holds(package: &Package, path: &str) -> bool {
    let below = |found: &[u8], path: &str| {
        let rest = found.strip_prefix(b"/").and_then(|found| found.strip_prefix(path.as_bytes()));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    let unmerged = path.strip_prefix("usr/").unwrap_or(path);
    package
        .entries
        .iter()
        .map(|entry| entry.path.to_bytes())
        .any(|found| below(&found, path) || below(&found, unmerged))
}

impl Lists {
    /// Lists the modules that `packages` hold, which are `opened` with their entries, the `base` among them; none
    /// where there is no depmod.
    pub fn make(
        packages: &Packages,
        opened: &[Package],
        base: &[usize],
        work: &WorkFolder,
        epoch: i64,
    ) -> Result<Self, AssembleError> {
        let having = |paths: &[&str]| -> Vec<usize> {
            let found = packages.iter().enumerate();
            found.filter(|(_, package)| paths.iter().any(|path| holds(package, path))).map(|(index, _)| index).collect()
        };
        let (program, modules) = (having(&[PROGRAM]), having(&[MODULES]));
        if program.is_empty() || modules.is_empty() {
            return Ok(Self::default());
        }
        // The base has the links of the merged /usr, and the libraries that depmod loads without depending on them.
        let mut needed = base.to_vec();
        let more = having(&[MODULES, "usr/lib/depmod.d", CONFIG]);
        for index in order::closure(opened, program).into_iter().chain(more) {
            if !needed.contains(&index) {
                needed.push(index);
            }
        }
        let root = work.folder("modules")?;
        let mut placer = Placer::new(&root);
        for index in needed {
            placer.place(Source::Package(&packages[index]), &packages[index].entries)?;
        }
        settle_config(&root.join(CONFIG)).map_err(io_at("reading", &root.join(CONFIG)))?;
        let folder = root.join(MODULES);
        let mut files = Vec::new();
        for version in names(&folder).map_err(io_at("reading", &folder))? {
            let of_kernel = folder.join(&version);
            let listed = || names(&of_kernel).map_err(io_at("reading", &of_kernel));
            let before = listed()?;
            list(&root, &version.to_string_lossy(), epoch)?;
            files.extend(listed()?.difference(&before).map(|name| Path::new(&version).join(name)));
        }
        Ok(Self { root, files })
    }

    /// Where kernels and modules are, with their lists.
    pub fn root(&self) -> Option<&Path> {
        (!self.files.is_empty()).then_some(self.root.as_path())
    }

    /// Puts the lists beside the modules in `root`.
    pub fn put(&self, root: &Path) -> Result<(), AssembleError> {
        for file in &self.files {
            let (from, to) = (self.root.join(MODULES).join(file), root.join(MODULES).join(file));
            // A script may call depmod by its whole path.
            match fs::remove_file(&to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_at("replacing", &to)(error)),
                // Who works ahead still reads the other name.
                _ => fs::hard_link(&from, &to).map_err(io_at("linking", &from))?,
            }
        }
        Ok(())
    }
}

fn list(root: &Path, version: &str, epoch: i64) -> Result<(), AssembleError> {
    let (program, arguments) = (format!("/{PROGRAM}"), [version]);
    let output = run_in(root, epoch, &program, &arguments)?;
    // It lists what it can, says what it could not read, and ends as if all were well.
    if String::from_utf8_lossy(&output.log).contains("ERROR") {
        let program = format!("{program} {version}");
        return Err(AssembleError::Program { program, exit: output.exit, log: output.last_lines(LAST_LINES) });
    }
    Ok(())
}

fn names(folder: &Path) -> io::Result<BTreeSet<OsString>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Gives conffiles the names that dpkg will.
fn settle_config(folder: &Path) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for name in names(folder)? {
        if let Some(settled) = name.to_str().and_then(|name| name.strip_suffix(NEW)) {
            fs::rename(folder.join(&name), folder.join(settled))?;
        }
    }
    Ok(())
}
