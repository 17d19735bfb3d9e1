//! The directory of built images: its names, records and checksums. An image name is never reused for different
//! contents, and everything is written atomically.

mod directory;
mod file;

use super::{Artifact, Shape};
use crate::util::atomic_file::{self, Durability};
use crate::util::file_error::{At as _, FileError};
use crate::util::sha256;
use appliance_contract::Schema;
use appliance_contract::Sha256;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The list of checksums, in the form of sha256sum(1).
pub const CHECKSUMS: &str = "SHA256SUMS";
/// The record of an image, beside a file or in a directory.
const RECORD: &str = "build.json";
/// The record that tells a person how to build the same bytes again.
const REBUILD: &str = "rebuild";
const MANIFEST: &str = "manifest.json";
const SBOM: &str = "spdx.json";
const LOCK_TEXT: &str = "lock";
/// Records of an image that is a file.
pub const RECORDS: [&str; 5] = [MANIFEST, SBOM, LOCK_TEXT, REBUILD, RECORD];
/// The ledger of names: a line `NAME INPUTS-SHA256` for each image. The line stays when the image is removed. The file is
/// hidden, so that `rm *` leaves it.
pub const NAMES: &str = ".names";
/// Locked while files in the directory change.
const LOCK: &str = ".lock";
/// Holds the work directories of running builds.
const WORK: &str = ".work";

/// Why an image cannot be found or published.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Reading or writing a file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// An image of this name has other bytes.
    #[error(
        "{}: found SHA-256 {found}, expected {expected}, which the same inputs give now; pass --replace to overwrite it",
        path.display()
    )]
    Changed {
        /// The image.
        path: PathBuf,
        /// Its SHA-256.
        found: String,
        /// SHA-256 of the new image.
        expected: Sha256,
    },
}

fn failed<'p>(attempt: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> CatalogError + use<'p> {
    move |source| CatalogError::from(FileError::new(attempt, path.to_owned(), source))
}

/// The inputs and the content of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Record {
    schema: Schema,
    name: String,
    version: String,
    inputs_sha256: Sha256,
    size: u64,
    sha256: Sha256,
}

/// The name of an image, chosen before it is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName {
    shape: Shape,
    name: String,
    /// The profile's version, with the build number when it is not the first: `2026.11.1-2`.
    pub version: String,
    inputs_sha256: Sha256,
}

impl ImageName {
    /// The name of its file or directory.
    pub fn file(&self) -> String {
        format!("{}-{}{}", self.name, self.version, self.shape.suffix())
    }

    /// The name of one of its records: beside a file, or in a directory.
    pub fn record_file(&self, record: &str) -> String {
        match self.shape {
            Shape::File { .. } => format!("{}.{record}", self.stem()),
            Shape::Directory => record.to_owned(),
        }
    }

    /// The path of one of its records. `image` is the path of its file or directory.
    pub fn record_path(&self, image: &Path, record: &str) -> PathBuf {
        match self.shape {
            Shape::File { .. } => image.with_file_name(self.record_file(record)),
            Shape::Directory => image.join(record),
        }
    }

    /// The image and its records, relative to the directory of images; all but the record of its inputs, in which a
    /// rebuild may differ.
    pub fn reproducible_files(&self, images: &Path) -> io::Result<Vec<PathBuf>> {
        let mut files: Vec<PathBuf> = match self.shape {
            Shape::File { .. } => {
                RECORDS.map(|record| self.record_file(record).into()).into_iter().chain([self.file().into()]).collect()
            }
            Shape::Directory => fs::read_dir(images.join(self.file()))?
                .map(|entry| Ok(Path::new(&self.file()).join(entry?.file_name())))
                .collect::<io::Result<_>>()?,
        };
        files.retain(|file| !file.to_string_lossy().ends_with(RECORD));
        files.sort();
        Ok(files)
    }

    /// What its name is before the suffix, for files beside it that belong to no image.
    pub fn stem(&self) -> String {
        match self.shape {
            Shape::File { records, .. } => format!("{}-{}{records}", self.name, self.version),
            Shape::Directory => self.file(),
        }
    }

    /// Its line in [`NAMES`], without the newline.
    pub fn line(&self) -> String {
        format!("{} {}", self.file(), self.inputs_sha256)
    }

    fn record(&self, size: u64, sha256: Sha256) -> Vec<u8> {
        let record = Record {
            schema: Schema::CURRENT,
            name: self.name.clone(),
            version: self.version.clone(),
            inputs_sha256: self.inputs_sha256,
            size,
            sha256,
        };
        // A record is strings and numbers, which all have a JSON form.
        let mut text = serde_json::to_vec_pretty(&record).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

/// Records that the artifact does not carry.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    /// The lock's text.
    pub lock: &'a str,
    /// How to build the same bytes again.
    pub rebuild: &'a str,
}

/// An image in the directory of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The image's file or directory.
    pub path: PathBuf,
    /// The version, with the build number when it is not the first.
    pub version: String,
    /// It was there before, with the same bytes.
    pub was_there: bool,
}

/// An image that an earlier build made from the same inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingImage {
    /// The image's file or directory.
    pub path: PathBuf,
    /// The path of its manifest.
    pub manifest: PathBuf,
    /// Bytes of the file, or of all files in the directory.
    pub size: u64,
    /// As [`Artifact::sha256`].
    pub sha256: Sha256,
}

/// A directory of built images.
#[derive(Debug, Clone)]
pub struct Catalog {
    directory: PathBuf,
}

impl Catalog {
    /// Opens the directory of images; makes it if it is missing.
    pub fn open(directory: &Path) -> Result<Self, CatalogError> {
        fs::create_dir_all(directory).at("making the folder", directory)?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// Refuses a directory that cannot be written to, before a build has done all else.
    pub fn check(&self) -> Result<(), CatalogError> {
        for directory in [self.directory.clone(), self.work()] {
            if directory.exists() {
                tempfile::tempfile_in(&directory).at("writing to the folder", &directory)?;
            }
        }
        Ok(())
    }

    /// Where builds work: on the file system of the images, so that a rename publishes an image.
    pub fn work(&self) -> PathBuf {
        self.directory.join(WORK)
    }

    /// Publishes a finished output under its name. An image of this name with other bytes is an error, unless `replace`.
    pub fn publish(
        &self,
        name: &ImageName,
        artifact: &Artifact,
        texts: Texts<'_>,
        replace: bool,
    ) -> Result<Published, CatalogError> {
        let _lock = self.lock()?;
        match name.shape {
            Shape::File { .. } => self.publish_file(name, artifact, texts, replace),
            Shape::Directory => self.publish_directory(name, artifact, texts, replace),
        }
    }

    /// The image that an earlier build made from the same inputs, if it and its records are still as they were.
    pub fn find_existing(&self, name: &ImageName) -> Result<Option<ExistingImage>, CatalogError> {
        let Ok(record) = fs::read(self.record_path(name, RECORD)) else { return Ok(None) };
        let Ok(record) = serde_json::from_slice::<Record>(&record) else { return Ok(None) };
        if record.inputs_sha256 != name.inputs_sha256 {
            return Ok(None);
        }
        let intact = match name.shape {
            Shape::File { .. } => self.is_intact_file(name)?,
            Shape::Directory => directory::content(&self.path(name))?.is_some_and(|sum| sum == record.sha256),
        };
        let existing = ExistingImage {
            path: self.path(name),
            manifest: self.record_path(name, MANIFEST),
            size: record.size,
            sha256: record.sha256,
        };
        Ok(intact.then_some(existing))
    }

    /// Locks the directory for a change.
    fn lock(&self) -> Result<File, CatalogError> {
        let path = self.directory.join(LOCK);
        let file = File::create(&path).at("making", &path)?;
        file.lock().at("locking", &path)?;
        for path in self.paths()? {
            // Of a build that was killed while it held the lock.
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(atomic_file::PREFIX.as_bytes()))
            {
                fs::remove_file(&path).at("removing", &path)?;
            }
        }
        Ok(file)
    }

    fn paths(&self) -> Result<Vec<PathBuf>, CatalogError> {
        let listing =
            || -> io::Result<Vec<PathBuf>> { fs::read_dir(&self.directory)?.map(|entry| Ok(entry?.path())).collect() };
        listing().map_err(failed("listing", &self.directory))
    }

    fn path(&self, name: &ImageName) -> PathBuf {
        self.directory.join(name.file())
    }

    fn record_path(&self, name: &ImageName, record: &str) -> PathBuf {
        name.record_path(&self.path(name), record)
    }

    /// Every name that was given, with the SHA-256 over the image's inputs.
    fn names(&self) -> Result<BTreeMap<String, String>, CatalogError> {
        let path = self.directory.join(NAMES);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(source) => return Err(failed("reading", &path)(source)),
        };
        Ok(text.lines().filter_map(|line| line.split_once(' ')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect())
    }

    /// Enters the name into the ledger. To be called before the image is published, while the directory is locked.
    fn record_name(&self, name: &ImageName) -> Result<(), CatalogError> {
        let mut names = self.names()?;
        let inputs = name.inputs_sha256.to_string();
        if names.insert(name.file(), inputs.clone()).as_ref() == Some(&inputs) {
            return Ok(());
        }
        let lines: String = names.iter().map(|(file, inputs)| format!("{file} {inputs}\n")).collect();
        write(&self.directory.join(NAMES), lines.as_bytes())
    }

    /// The name for an image of `name` and `version` that is made from these inputs: the one that the same inputs had
    /// before, else the next build number that was never given, whether or not its image still exists. With `replace` it
    /// is the first in any case.
    pub fn name(
        &self,
        shape: Shape,
        name: &str,
        version: &str,
        inputs: Sha256,
        replace: bool,
    ) -> Result<ImageName, CatalogError> {
        let prefix = format!("{name}-{version}");
        let number = |file: &str| build_number(file.strip_suffix(shape.suffix())?, &prefix);
        let given = self.names()?;
        let mut newest = given.keys().filter_map(|file| number(file)).max().unwrap_or(0);
        for path in self.paths()? {
            // An image that came from elsewhere is not in the ledger.
            let of_shape = match shape {
                Shape::File { .. } => true,
                Shape::Directory => path.is_dir(),
            };
            let file = path.file_name().and_then(|file| file.to_str()).filter(|_| of_shape);
            newest = newest.max(file.and_then(number).unwrap_or(0));
        }
        let same = given.iter().filter(|(_, given_inputs)| **given_inputs == inputs.to_string());
        let number = match same.filter_map(|(file, _)| number(file)).min() {
            Some(known) => known,
            None if replace => 1,
            None => newest + 1,
        };
        let version = if number == 1 { version.to_owned() } else { format!("{version}-{number}") };
        Ok(ImageName { shape, name: name.to_owned(), version, inputs_sha256: inputs })
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
fn hash(path: &Path) -> Result<Option<Sha256>, CatalogError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("opening", path)(source)),
    };
    let (digest, _) = sha256::of_reader(file).at("reading", path)?;
    Ok(Some(digest))
}

/// Writes a file atomically. [`Catalog::lock`] removes what a killed build left; `publish` syncs the directory once.
fn write(path: &Path, bytes: &[u8]) -> Result<(), CatalogError> {
    let write = |file: &mut File| file.write_all(bytes);
    atomic_file::write_atomic_with(path, Durability::FileSynced, write).map_err(failed("writing", path))
}

fn sync(folder: &Path) -> Result<(), CatalogError> {
    atomic_file::sync_directory(folder).map_err(failed("syncing", folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::causes::WithCauses as _;

    const FILE: Shape = Shape::File { suffix: ".iso", records: "" };

    pub(super) fn artifact(path: &Path, size: u64, sha256: Sha256) -> Artifact {
        let (manifest_json, sbom) = (b"{}".to_vec(), b"{}".to_vec());
        Artifact { path: path.to_owned(), size, sha256, manifest_json, sbom, initramfs_size: None }
    }

    struct Folder {
        images: Catalog,
        _root: tempfile::TempDir,
    }

    impl Folder {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let images = Catalog::open(&folder.path().join("images")).unwrap();
            Self { images, _root: folder }
        }

        fn build(&self, inputs: u8, content: &str, replace: bool) -> Result<Published, CatalogError> {
            fs::create_dir_all(self.images.work()).unwrap();
            let slot = self.images.name(FILE, "host", "1.0", [inputs; 32].into(), replace)?;
            let iso = self.images.work().join("iso");
            fs::write(&iso, content).unwrap();
            let artifact = artifact(&iso, content.len() as u64, sha256::of(content));
            self.images.publish(&slot, &artifact, Texts { lock: "", rebuild: "" }, replace)
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
            fs::read_to_string(self.images.directory.join(name)).unwrap()
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
        let sum = sha256::of("a").to_string();
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
        fs::write(folder.images.directory.join(".new-abc"), "half").unwrap();
        folder.build(1, "a", false).unwrap();
        assert!(!folder.names().contains(&".new-abc".to_owned()));
    }

    #[test]
    fn a_name_outlasts_its_image_and_all_beside_it() {
        let folder = Folder::new();
        folder.build(1, "a", false).unwrap();
        folder.build(2, "b", false).unwrap();
        for name in folder.names().iter().filter(|name| !name.starts_with('.')) {
            fs::remove_file(folder.images.directory.join(name)).unwrap();
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
        fs::write(folder.images.directory.join("host-1.0.iso"), "from elsewhere").unwrap();
        assert_eq!(folder.build(1, "a", false).unwrap().version, "1.0-2");
        assert_eq!(folder.build(3, "c", true).unwrap().version, "1.0");
        assert_eq!(folder.read("host-1.0.iso"), "c");
    }

    #[test]
    fn names_that_cannot_be_read_end_no_build() {
        let folder = Folder::new();
        fs::write(folder.images.directory.join(NAMES), b"\xff\xfe\n\nhost-1.0.iso\nhost-1.0-7.iso x\n").unwrap();
        assert_eq!(folder.build(1, "a", false).unwrap().version, "1.0-8");
    }

    #[test]
    fn an_image_stands_as_long_as_it_and_its_records_are_what_they_were() {
        let folder = Folder::new();
        folder.build(1, "a", false).unwrap();
        let slot = |inputs| folder.images.name(FILE, "host", "1.0", [inputs; 32].into(), false).unwrap();
        let existing = folder.images.find_existing(&slot(1)).unwrap().unwrap();
        assert_eq!((existing.size, existing.sha256), (1, sha256::of("a")));
        assert_eq!(folder.images.find_existing(&slot(2)).unwrap(), None);
        for ending in ["iso", "manifest.json", "spdx.json", "lock", "rebuild", "build.json"] {
            let path = folder.images.directory.join(format!("host-1.0.{ending}"));
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
        fs::write(folder.images.directory.join("host-1.0.iso"), "x").unwrap();
        let error = folder.build(1, "a", false).unwrap_err();
        assert!(matches!(error, CatalogError::Changed { .. }), "{error}");
        assert_eq!(folder.read("host-1.0.iso"), "x");
        assert!(!folder.build(1, "a", true).unwrap().was_there);
    }

    #[test]
    fn a_folder_that_takes_no_file_is_refused_and_nothing_is_left_in_one_that_does() {
        let folder = Folder::new();
        folder.images.check().unwrap();
        assert_eq!(folder.names(), [""; 0]);
        fs::write(folder.images.work(), "").unwrap();
        let error = folder.images.check().unwrap_err().with_causes();
        assert!(error.starts_with("writing to the folder") && error.contains("/.work: "), "{error}");
    }

    #[test]
    fn other_names_that_begin_alike_count_for_nothing() {
        let folder = Folder::new();
        for name in ["host-1.0.1.iso", "host-1.0-x.iso", "host-1.0-1.iso", "ghost-1.0-7.iso", "host-1.0-7.isox"] {
            fs::write(folder.images.directory.join(name), "").unwrap();
        }
        assert_eq!(folder.images.name(FILE, "host", "1.0", [0; 32].into(), false).unwrap().version, "1.0");
    }

    #[test]
    fn lines_of_files_that_are_gone_go() {
        let folder = Folder::new();
        folder.build(1, "a", false).unwrap();
        fs::remove_file(folder.images.directory.join("host-1.0.iso")).unwrap();
        folder.build(2, "b", false).unwrap();
        let strange = b"x  ../images/host-1.0.iso\n\xff\xfe\nnonsense\n";
        let before = fs::read(folder.images.directory.join(CHECKSUMS)).unwrap();
        fs::write(folder.images.directory.join(CHECKSUMS), [&strange[..], &before].concat()).unwrap();
        folder.build(2, "b", false).unwrap();
        let sums = folder.read(CHECKSUMS);
        assert!(!sums.contains("host-1.0.iso") && sums.contains("host-1.0-2.iso"), "{sums}");
        assert!(
            sums.lines().all(|line| folder.images.directory.join(line.split_once("  ").unwrap().1).exists()),
            "{sums}"
        );
    }
}
