//! The folder of built images: names that never silently mean other bytes, and
//! files that appear whole or not at all.

mod folder;

use crate::packages::Digest;
use appliance_contract::Schema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};


pub use folder::FinishedFolder;

pub const CHECKSUMS: &str = "SHA256SUMS";
/// An image's record, after its name or in its folder.
const RECORD: &str = "build.json";
/// Which name was given to which inputs, for ever: a line `FILE INPUTS-SHA256` for
/// each image, which outlasts the image. Hidden, so that `rm *` leaves it.
pub const NAMES: &str = ".names";
/// Held while files of the folder change.
const LOCK: &str = ".lock";
/// How files are named while they are written.
const NEW: &str = ".new-";
/// Holds the folders of running builds.
const WORK: &str = ".work";

#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    #[error("{attempt} {}", path.display())]
    Io { attempt: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{}: found SHA-256 {found}, expected {expected}, which the same inputs give now; pass --replace to overwrite it",
        path.display()
    )]
    Changed { path: PathBuf, found: String, expected: String },
}

fn failed<'p>(attempt: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> ImagesError + use<'p> {
    move |source| ImagesError::Io { attempt, path: path.to_owned(), source }
}

/// What an image was made from, kept beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Record {
    schema: Schema,
    name: String,
    version: String,
    inputs_sha256: String,
    size: u64,
    sha256: String,
}

/// What an image is in the folder of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// NAME-VERSION.iso, with its records beside it.
    Iso,
    /// A folder NAME-VERSION, with its records in it.
    Folder,
}

impl Form {
    /// What the form adds to an image's name.
    fn ending(self) -> &'static str {
        match self {
            Self::Iso => ".iso",
            Self::Folder => "",
        }
    }
}

/// The name that a build's image gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    form: Form,
    name: String,
    /// The profile's version, with the build number when it is not the first: `2026.11.1-2`.
    pub version: String,
    inputs_sha256: String,
}

impl Slot {
    /// The image's name in its folder.
    fn file(&self) -> String {
        format!("{}-{}{}", self.name, self.version, self.form.ending())
    }

    /// Its line in [`NAMES`], without the line's end.
    pub fn line(&self) -> String {
        format!("{} {}", self.file(), self.inputs_sha256)
    }

    /// The record's text.
    fn record(&self, size: u64, sha256: &str) -> Vec<u8> {
        let record = Record {
            schema: Schema::CURRENT,
            name: self.name.clone(),
            version: self.version.clone(),
            inputs_sha256: self.inputs_sha256.clone(),
            size,
            sha256: sha256.to_owned(),
        };
        // A record is strings and numbers, which all have a JSON form.
        let mut text = serde_json::to_vec_pretty(&record).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

/// The finished files of a build.
#[derive(Debug)]
pub struct Finished<'a> {
    /// Below [`Images::work`], so that a rename puts it in its place.
    pub iso: &'a Path,
    pub size: u64,
    pub sha256: [u8; 32],
    pub manifest: &'a [u8],
    pub sbom: &'a [u8],
    pub lock: &'a [u8],
    /// How to get the same bytes again, for a person.
    pub rebuild: &'a [u8],
}

/// The image in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub path: PathBuf,
    pub version: String,
    /// It was there already, byte for byte.
    pub was_there: bool,
}

/// An image that was made before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingImage {
    pub path: PathBuf,
    pub manifest: PathBuf,
    pub size: u64,
    pub sha256: [u8; 32],
}

#[derive(Debug, Clone)]
pub struct Images {
    folder: PathBuf,
}

impl Images {
    pub fn open(folder: &Path) -> Result<Self, ImagesError> {
        fs::create_dir_all(folder).map_err(failed("making the folder", folder))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Refuses a folder that cannot be written to, before a build has done all else.
    pub fn check(&self) -> Result<(), ImagesError> {
        for folder in [self.folder.clone(), self.work()] {
            if folder.exists() {
                tempfile::tempfile_in(&folder).map_err(failed("writing to the folder", &folder))?;
            }
        }
        Ok(())
    }

    /// Where builds work: on the images' own file system, so that a rename puts an image in its place.
    pub fn work(&self) -> PathBuf {
        self.folder.join(WORK)
    }

    /// The right to change the folder.
    fn hold(&self) -> Result<File, ImagesError> {
        let path = self.folder.join(LOCK);
        let file = File::create(&path).map_err(failed("making", &path))?;
        file.lock().map_err(failed("locking", &path))?;
        for path in self.paths()? {
            // Of a build that was killed while it held the lock.
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(NEW.as_bytes())) {
                fs::remove_file(&path).map_err(failed("removing", &path))?;
            }
        }
        Ok(file)
    }

    fn paths(&self) -> Result<Vec<PathBuf>, ImagesError> {
        let listing =
            || -> io::Result<Vec<PathBuf>> { fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.path())).collect() };
        listing().map_err(failed("listing", &self.folder))
    }

    fn path(&self, stem: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{stem}.{ending}"))
    }

    /// Every name that was given, with the SHA-256 of what the image was made from.
    fn names(&self) -> Result<BTreeMap<String, String>, ImagesError> {
        let path = self.folder.join(NAMES);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(source) => return Err(failed("reading", &path)(source)),
        };
        Ok(text.lines().filter_map(|line| line.split_once(' ')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect())
    }

    /// Notes that the slot's name is given. To be called before the image is in its
    /// place, while the folder is held.
    fn give_name(&self, slot: &Slot) -> Result<(), ImagesError> {
        let mut names = self.names()?;
        if names.insert(slot.file(), slot.inputs_sha256.clone()).as_ref() == Some(&slot.inputs_sha256) {
            return Ok(());
        }
        let lines: String = names.iter().map(|(file, inputs)| format!("{file} {inputs}\n")).collect();
        write(&self.folder.join(NAMES), lines.as_bytes())
    }

    /// The name for an image of `name` and `version` that is made from these
    /// inputs: one that was given to the same inputs before, else the next that
    /// none ever had, whether or not its image is still there; with `replace` the
    /// first in any case.
    pub fn slot(
        &self,
        form: Form,
        name: &str,
        version: &str,
        inputs: &[u8; 32],
        replace: bool,
    ) -> Result<Slot, ImagesError> {
        let inputs_sha256 = hex::encode(inputs);
        let prefix = format!("{name}-{version}");
        let number = |file: &str| build_number(file.strip_suffix(form.ending())?, &prefix);
        let given = self.names()?;
        let mut newest = given.keys().filter_map(|file| number(file)).max().unwrap_or(0);
        for path in self.paths()? {
            // One that came from elsewhere has no line among the names.
            let of_form = form == Form::Iso || path.is_dir();
            let file = path.file_name().and_then(|file| file.to_str()).filter(|_| of_form);
            newest = newest.max(file.and_then(number).unwrap_or(0));
        }
        let same = given.iter().filter(|(_, inputs)| **inputs == inputs_sha256);
        let number = match same.filter_map(|(file, _)| number(file)).min() {
            Some(known) => known,
            None if replace => 1,
            None => newest + 1,
        };
        let version = if number == 1 { version.to_owned() } else { format!("{version}-{number}") };
        Ok(Slot { form, name: name.to_owned(), version, inputs_sha256 })
    }

    /// The image that the same inputs gave before, when it and the records beside
    /// it are there and have the hashes that they had.
    pub fn find_existing(&self, slot: &Slot) -> Result<Option<ExistingImage>, ImagesError> {
        let stem = format!("{}-{}", slot.name, slot.version);
        let Ok(record) = fs::read(self.path(&stem, RECORD)) else { return Ok(None) };
        let Ok(record) = serde_json::from_slice::<Record>(&record) else { return Ok(None) };
        if record.inputs_sha256 != slot.inputs_sha256 {
            return Ok(None);
        }
        let Ok(sums) = fs::read_to_string(self.folder.join(CHECKSUMS)) else { return Ok(None) };
        for ending in [RECORD, "manifest.json", "spdx.json", "lock", "rebuild", "iso"] {
            let name = format!("{stem}.{ending}");
            let sum = sums.lines().find_map(|line| line.strip_suffix(&name)?.strip_suffix("  "));
            if sum.is_none() || hash(&self.folder.join(&name))?.as_deref() != sum {
                return Ok(None);
            }
        }
        let mut sha256 = [0; 32];
        let known = hex::decode_to_slice(&record.sha256, &mut sha256).is_ok();
        let Record { size, .. } = record;
        let existing =
            ExistingImage { path: self.path(&stem, "iso"), manifest: self.path(&stem, "manifest.json"), size, sha256 };
        Ok(known.then_some(existing))
    }

    /// Puts a build's files in their places.
    pub fn place(&self, slot: &Slot, finished: &Finished<'_>, replace: bool) -> Result<Published, ImagesError> {
        let _held = self.hold()?;
        let stem = format!("{}-{}", slot.name, slot.version);
        let path = self.path(&stem, "iso");
        let sha256 = hex::encode(finished.sha256);
        let before = hash(&path)?;
        let was_there = before.as_ref() == Some(&sha256);
        if let Some(found) = before.filter(|_| !was_there && !replace) {
            return Err(ImagesError::Changed { path, found, expected: sha256 });
        }
        let record = slot.record(finished.size, &sha256);
        let beside = [
            ("manifest.json", finished.manifest),
            ("spdx.json", finished.sbom),
            ("lock", finished.lock),
            ("rebuild", finished.rebuild),
            (RECORD, &record),
        ];
        self.give_name(slot)?;
        let mut sums = BTreeMap::new();
        for (ending, bytes) in beside {
            write(&self.path(&stem, ending), bytes)?;
            sums.insert(format!("{stem}.{ending}"), Digest::of(bytes).to_string());
        }
        if !was_there {
            fs::rename(finished.iso, &path).map_err(failed("renaming the image to", &path))?;
        }
        sums.insert(format!("{stem}.iso"), sha256);
        self.write_checksums(sums)?;
        sync(&self.folder)?;
        Ok(Published { path, version: slot.version.clone(), was_there })
    }

    /// `SHA256SUMS` of all images: the lines of files that are gone go, too.
    fn write_checksums(&self, new: BTreeMap<String, String>) -> Result<(), ImagesError> {
        let path = self.folder.join(CHECKSUMS);
        // What a stranger wrote into it must not end a build that is done.
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(failed("reading", &path)(source)),
        };
        let old = text.lines().filter_map(|line| line.split_once("  "));
        let mut sums: BTreeMap<String, String> = old
            .filter(|(_, name)| !name.contains('/') && self.folder.join(name).exists())
            .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
            .collect();
        sums.extend(new);
        let lines: String = sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
        write(&path, lines.as_bytes())
    }
}

/// The build number in `PREFIX` or `PREFIX-N`.
fn build_number(stem: &str, prefix: &str) -> Option<u64> {
    match stem.strip_prefix(prefix)? {
        "" => Some(1),
        rest => rest.strip_prefix('-')?.parse().ok().filter(|number| *number > 1),
    }
}

/// SHA-256 of a file; `None` when there is none.
fn hash(path: &Path) -> Result<Option<String>, ImagesError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("opening", path)(source)),
    };
    let (digest, _) = Digest::of_reader(file).map_err(failed("reading", path))?;
    Ok(Some(digest.to_string()))
}

/// Beside, synced, renamed.
fn write(path: &Path, bytes: &[u8]) -> Result<(), ImagesError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let put = || -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(NEW).tempfile_in(folder)?;
        file.write_all(bytes)?;
        // A temporary file is its owner's alone; what is published is not.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(mode)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    put().map_err(failed("writing", path))
}

fn sync(folder: &Path) -> Result<(), ImagesError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("syncing", folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    struct Folder {
        images: Images,
        _root: tempfile::TempDir,
    }

    impl Folder {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let images = Images::open(&folder.path().join("images")).unwrap();
            Self { images, _root: folder }
        }

        fn build(&self, inputs: u8, content: &str, replace: bool) -> Result<Published, ImagesError> {
            fs::create_dir_all(self.images.work()).unwrap();
            let slot = self.images.slot(Form::Iso, "host", "1.0", &[inputs; 32], replace)?;
            let iso = self.images.work().join("iso");
            fs::write(&iso, content).unwrap();
            let finished = Finished {
                iso: &iso,
                size: content.len() as u64,
                sha256: Sha256::digest(content).into(),
                manifest: b"{}",
                sbom: b"{}",
                lock: b"",
                rebuild: b"",
            };
            self.images.place(&slot, &finished, replace)
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<String> = self
                .images
                .paths()
                .unwrap()
                .iter()
                .map(|path| path.file_name().unwrap().to_string_lossy().into())
                .collect();
            names.sort();
            names
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.images.folder.join(name)).unwrap()
        }
    }

    #[test]
    fn an_image_stands_with_its_records_and_nothing_else_is_left() {
        let folder = Folder::new();
        let placed = folder.build(1, "a", false).unwrap();
        assert_eq!((placed.version.as_str(), placed.was_there), ("1.0", false));
        let names = [".lock", NAMES, ".work", CHECKSUMS, "host-1.0.build.json", "host-1.0.iso", "host-1.0.lock"];
        assert_eq!(folder.names()[..7], names);
        assert_eq!(folder.names()[7..], ["host-1.0.manifest.json", "host-1.0.rebuild", "host-1.0.spdx.json"]);
        let sum = hex::encode(Sha256::digest("a"));
        assert!(folder.read(CHECKSUMS).contains(&format!("{sum}  host-1.0.iso\n")));
    }

    #[test]
    fn the_same_inputs_leave_the_image_and_others_get_the_next_number() {
        let folder = Folder::new();
        folder.build(1, "a", false).unwrap();
        assert!(folder.build(1, "a", false).unwrap().was_there);
        assert_eq!(folder.build(2, "b", false).unwrap().version, "1.0-2");
        assert_eq!(folder.build(3, "c", false).unwrap().version, "1.0-3");
        assert_eq!(folder.build(2, "b", false).unwrap().version, "1.0-2");
        assert_eq!((folder.read("host-1.0.iso"), folder.read("host-1.0-2.iso")), ("a".into(), "b".into()));
        assert_eq!(folder.read(CHECKSUMS).lines().count(), 18);
    }

    #[test]
    fn what_a_killed_build_was_writing_goes() {
        let folder = Folder::new();
        fs::write(folder.images.folder.join(".new-abc"), "half").unwrap();
        folder.build(1, "a", false).unwrap();
        assert!(!folder.names().contains(&".new-abc".to_owned()));
    }

    #[test]
    fn a_name_outlasts_its_image_and_all_beside_it() {
        let folder = Folder::new();
        folder.build(1, "a", false).unwrap();
        folder.build(2, "b", false).unwrap();
        for name in folder.names().iter().filter(|name| !name.starts_with('.')) {
            fs::remove_file(folder.images.folder.join(name)).unwrap();
        }
        // Someone may have burnt the first two.
        assert_eq!(folder.build(3, "c", false).unwrap().version, "1.0-3");
        assert_eq!(folder.build(2, "b", false).unwrap().version, "1.0-2");
        assert_eq!(folder.read("host-1.0-2.iso"), "b");
        assert_eq!(folder.build(4, "d", true).unwrap().version, "1.0");
        assert_eq!(folder.build(1, "a", false).unwrap().version, "1.0-4");
    }

    #[test]
    fn an_image_from_elsewhere_is_never_overwritten_unless_told() {
        let folder = Folder::new();
        fs::write(folder.images.folder.join("host-1.0.iso"), "from elsewhere").unwrap();
        assert_eq!(folder.build(1, "a", false).unwrap().version, "1.0-2");
        assert_eq!(folder.build(3, "c", true).unwrap().version, "1.0");
        assert_eq!(folder.read("host-1.0.iso"), "c");
    }

    #[test]
    fn names_that_cannot_be_read_end_no_build() {
        let folder = Folder::new();
        fs::write(folder.images.folder.join(NAMES), b"\xff\xfe\n\nhost-1.0.iso\nhost-1.0-7.iso x\n").unwrap();
        assert_eq!(folder.build(1, "a", false).unwrap().version, "1.0-8");
    }

    #[test]
    fn an_image_stands_as_long_as_it_and_its_records_are_what_they_were() {
        let folder = Folder::new();
        folder.build(1, "a", false).unwrap();
        let slot = |inputs| folder.images.slot(Form::Iso, "host", "1.0", &[inputs; 32], false).unwrap();
        let existing = folder.images.find_existing(&slot(1)).unwrap().unwrap();
        assert_eq!((existing.size, existing.sha256), (1, Sha256::digest("a").into()));
        assert_eq!(folder.images.find_existing(&slot(2)).unwrap(), None);
        for ending in ["iso", "manifest.json", "spdx.json", "lock", "build.json"] {
            let path = folder.images.path("host-1.0", ending);
            let before = fs::read(&path).unwrap();
            fs::write(&path, [before.as_slice(), b" "].concat()).unwrap();
            assert_eq!(folder.images.find_existing(&slot(1)).unwrap(), None, "{ending}");
            fs::write(&path, before).unwrap();
        }
        assert!(folder.images.find_existing(&slot(1)).unwrap().is_some());
    }

    #[test]
    fn a_damaged_image_is_reported() {
        let folder = Folder::new();
        folder.build(1, "a", false).unwrap();
        fs::write(folder.images.folder.join("host-1.0.iso"), "x").unwrap();
        let error = folder.build(1, "a", false).unwrap_err();
        assert!(matches!(error, ImagesError::Changed { .. }), "{error}");
        assert_eq!(folder.read("host-1.0.iso"), "x");
        assert!(!folder.build(1, "a", true).unwrap().was_there);
    }

    #[test]
    fn a_folder_that_takes_no_file_is_refused_and_nothing_is_left_in_one_that_does() {
        let folder = Folder::new();
        folder.images.check().unwrap();
        assert_eq!(folder.names(), [""; 0]);
        fs::write(folder.images.work(), "").unwrap();
        let error = folder.images.check().unwrap_err().to_string();
        assert!(error.starts_with("writing to the folder") && error.ends_with(".work"), "{error}");
    }

    #[test]
    fn other_names_that_begin_alike_count_for_nothing() {
        let folder = Folder::new();
        for name in ["host-1.0.1.iso", "host-1.0-x.iso", "host-1.0-1.iso", "ghost-1.0-7.iso", "host-1.0-7.isox"] {
            fs::write(folder.images.folder.join(name), "").unwrap();
        }
        assert_eq!(folder.images.slot(Form::Iso, "host", "1.0", &[0; 32], false).unwrap().version, "1.0");
    }

    #[test]
    fn lines_of_files_that_are_gone_go() {
        let folder = Folder::new();
        folder.build(1, "a", false).unwrap();
        fs::remove_file(folder.images.folder.join("host-1.0.iso")).unwrap();
        folder.build(2, "b", false).unwrap();
        let strange = b"x  ../images/host-1.0.iso\n\xff\xfe\nnonsense\n";
        let before = fs::read(folder.images.folder.join(CHECKSUMS)).unwrap();
        fs::write(folder.images.folder.join(CHECKSUMS), [&strange[..], &before].concat()).unwrap();
        folder.build(2, "b", false).unwrap();
        let sums = folder.read(CHECKSUMS);
        assert!(!sums.contains("host-1.0.iso") && sums.contains("host-1.0-2.iso"), "{sums}");
        assert!(
            sums.lines().all(|line| folder.images.folder.join(line.split_once("  ").unwrap().1).exists()),
            "{sums}"
        );
    }
}
