//! Images that are files, with their records beside them.

use super::{
    Artifact, CHECKSUMS, Catalog, CatalogError, ImageName, LOCK_TEXT, MANIFEST, Published, REBUILD, RECORD, RECORDS,
    SBOM, Texts, failed, hash, sync, write,
};
use crate::util::file_error::At as _;
use crate::util::sha256;
use std::collections::BTreeMap;
use std::fs;
use std::io;

impl Catalog {
    /// Whether the image and its records have the hashes that `SHA256SUMS` lists.
    pub(super) fn is_intact_file(&self, name: &ImageName) -> Result<bool, CatalogError> {
        let Ok(sums) = fs::read_to_string(self.directory.join(CHECKSUMS)) else { return Ok(false) };
        for file in RECORDS.map(|record| name.record_file(record)).into_iter().chain([name.file()]) {
            let sum = sums.lines().find_map(|line| line.strip_suffix(&file)?.strip_suffix("  "));
            if sum.is_none() || hash(&self.directory.join(&file))? != sum.and_then(|sum| sum.parse().ok()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn publish_file(
        &self,
        name: &ImageName,
        artifact: &Artifact,
        texts: Texts<'_>,
        replace: bool,
    ) -> Result<Published, CatalogError> {
        let path = self.path(name);
        let sha256 = artifact.sha256;
        let before = hash(&path)?;
        let was_there = before == Some(sha256);
        if let Some(found) = before.filter(|_| !was_there && !replace) {
            return Err(CatalogError::Changed { path, found: found.to_string(), expected: sha256 });
        }
        let record = name.record(artifact.size, sha256);
        let records = [
            (MANIFEST, artifact.manifest_json.as_slice()),
            (SBOM, &artifact.sbom),
            (LOCK_TEXT, texts.lock.as_bytes()),
            (REBUILD, texts.rebuild.as_bytes()),
            (RECORD, &record),
        ];
        self.record_name(name)?;
        let mut sums = BTreeMap::new();
        for (record, bytes) in records {
            write(&self.record_path(name, record), bytes)?;
            sums.insert(name.record_file(record), sha256::of(bytes).to_string());
        }
        if !was_there {
            fs::rename(&artifact.path, &path).at("renaming the image to", &path)?;
        }
        sums.insert(name.file(), sha256.to_string());
        self.write_checksums(sums)?;
        sync(&self.directory)?;
        Ok(Published { path, version: name.version.clone(), was_there })
    }

    /// Adds lines to `SHA256SUMS` and removes those of files that are gone.
    fn write_checksums(&self, new: BTreeMap<String, String>) -> Result<(), CatalogError> {
        let path = self.directory.join(CHECKSUMS);
        // A file that somebody else damaged must not end a build that is done.
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(failed("reading", &path)(source)),
        };
        let old = text.lines().filter_map(|line| line.split_once("  "));
        let mut sums: BTreeMap<String, String> = old
            .filter(|(_, name)| !name.contains('/') && self.directory.join(name).exists())
            .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
            .collect();
        sums.extend(new);
        let lines: String = sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
        write(&path, lines.as_bytes())
    }
}
