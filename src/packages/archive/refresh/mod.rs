//! Fetches the package indices of suites; verifies signature, age, suite name and every hash.

mod compression;

use super::inrelease;
use super::keyring::Keyring;
use super::locations::{Archives, known_suites};
use super::release::{FileEntry, Release};
use crate::cache::{Cache, CacheError, Claim, FileKind};
use crate::packages::archive::file_hash::FileHash;
use crate::packages::error::{FetchError, IndexError};
use crate::packages::fetch::http::{Client, HttpError};
use crate::packages::fetch::transfer::{Memory, Sink, Size, Stop};
use crate::packages::fetch::url::{Url, UrlError};
use crate::packages::lock::LockedSuite;
use crate::progress::{Progress, Stage, Unit};
use crate::util::file_error::At as _;
use crate::util::sha256;
use appliance_contract::Sha256;
use compression::{FORMS, decompress};
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor};

/// A suite of an archive, with the requested components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuiteWanted {
    /// `debian` or `debian-security`.
    pub archive: String,
    /// `trixie`, `trixie-security` …; with a trailing slash, a directory of a flat archive, relative to the archive's
    /// root: `/`, `some/dir/`.
    pub name: String,
    /// `main`, `contrib` …; empty for a flat archive.
    pub components: Vec<String>,
}

impl SuiteWanted {
    /// Whether the Release file and the index are in the named directory itself: apt's flat repository format.
    fn is_flat(&self) -> bool {
        self.name.ends_with('/')
    }

    /// The URL of the Release file's directory in the archive.
    fn directory(&self, archive: &Url) -> Result<Url, UrlError> {
        match self.name.strip_suffix('/') {
            Some("") => Ok(archive.clone()),
            Some(directory) => archive.join(directory),
            None => archive.join("dists")?.join(&self.name),
        }
    }
}

/// The input of [`refresh`].
#[derive(Debug)]
pub struct RefreshRequest<'a> {
    /// The suites, in the profile's order.
    pub suites: &'a [SuiteWanted],
    /// Debian's name of the architecture: `amd64`.
    pub architecture: &'a str,
    /// Where the archives are.
    pub archives: &'a Archives,
    /// The keys that may sign archives without their own key.
    pub keyring: &'a Keyring,
    /// Stores indices, and the newest date seen for each suite.
    pub cache: &'a Cache,
    /// Fetches files.
    pub client: &'a Client,
    /// The current time, in seconds since 1970.
    pub now: i64,
    /// Whether to check Valid-Until and Date. Off for an old snapshot.
    pub check_age: bool,
    /// The suites of the lock: a Release file older than in the lock is refused.
    pub locked: &'a [LockedSuite],
    /// Whether a Release file may be older than in the lock, or than one that was seen before.
    pub allow_older: bool,
}

/// The packages of one component of a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuiteIndex {
    /// As [`SuiteWanted::archive`].
    pub archive: String,
    /// As [`SuiteWanted::name`].
    pub suite: String,
    /// One of [`SuiteWanted::components`].
    pub component: String,
    /// SHA-256 of the suite's InRelease file, or of its Release file if there is no InRelease.
    pub inrelease_sha256: Sha256,
    /// Fingerprints of the keys whose signature was good.
    pub signed_by: Vec<String>,
    /// Fingerprints of the archive's own keys; empty if it has none.
    pub key: Vec<String>,
    /// The date of the suite's Release file, in seconds since 1970.
    pub date: i64,
    /// As [`Release::automatic`].
    pub automatic: bool,
    /// The text of `Packages`.
    pub packages: Vec<u8>,
}

/// The size limit of InRelease, Release and Release.gpg. InRelease of Debian's largest suite has 220 KB.
const LARGEST_RELEASE: u64 = 16 << 20;

/// Fetches and verifies the indices of all suites in parallel; returns them in the requested order.
pub fn refresh(request: &RefreshRequest<'_>, progress: &dyn Progress) -> Result<Vec<SuiteIndex>, FetchError> {
    progress.stage(Stage::Resolve, 0, Unit::Bytes);
    let stop = Stop::default();
    let results: Vec<Result<Vec<SuiteIndex>, FetchError>> = std::thread::scope(|scope| {
        let running: Vec<_> = request
            .suites
            .iter()
            .map(|suite| {
                let stop = &stop;
                scope.spawn(move || {
                    let result = Fetching { request, suite, progress, stop }.run();
                    if result.is_err() {
                        stop.now();
                    }
                    result
                })
            })
            .collect();
        // A panic in a thread is a bug in this program, and continues in the calling thread.
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut indices = Vec::new();
    let mut stopped = None;
    for result in results {
        match result {
            Ok(more) => indices.extend(more),
            Err(error) if is_stop(&error) => stopped = Some(error),
            Err(error) => return Err(error),
        }
    }
    stopped.map_or(Ok(indices), Err)
}

/// Whether a transfer was stopped only because another one had failed.
fn is_stop(error: &FetchError) -> bool {
    matches!(
        error,
        FetchError::Suite { source: HttpError::Stopped { .. }, .. }
            | FetchError::Index { source: IndexError::Transfer(HttpError::Stopped { .. }), .. }
    )
}

/// A Release file whose signature is good.
struct Signed {
    release: Release,
    /// Of InRelease, or of Release if the signature is detached.
    sha256: Sha256,
    signed_by: Vec<String>,
    key: Vec<String>,
}

struct Fetching<'a> {
    request: &'a RefreshRequest<'a>,
    suite: &'a SuiteWanted,
    progress: &'a dyn Progress,
    stop: &'a Stop,
}

impl Fetching<'_> {
    fn run(&self) -> Result<Vec<SuiteIndex>, FetchError> {
        let base = self.request.archives.base(&self.suite.archive)?;
        let fail = |_| FetchError::UnknownSuite {
            archive: self.suite.archive.clone(),
            suite: self.suite.name.clone(),
            url: base.clone(),
            nearest: self.nearest_suite(),
        };
        let base = self.suite.directory(base).map_err(fail)?;
        let signed = self.release(&base)?;
        match self.indices(&base, &signed) {
            // The mirror may have been updated between the two requests.
            Err(error) if is_mismatch(&error) => {
                let newer = self.release(&base)?;
                if newer.sha256 == signed.sha256 {
                    return Err(error);
                }
                self.indices(&base, &newer)
            }
            result => result,
        }
    }

    fn nearest_suite(&self) -> Option<String> {
        nearest(&self.suite.name, known_suites(&self.suite.archive))
    }

    fn release(&self, base: &Url) -> Result<Signed, FetchError> {
        let suite = &self.suite.name;
        // An archive's own keys are valid for no other archive.
        let own_key = self.request.archives.key(&self.suite.archive);
        let keyring = own_key.map_or(self.request.keyring, |key| &key.keyring);
        let url = below(base, "InRelease", suite)?;
        let (read, bytes, verified) = match self.small_file(&url)? {
            Some(bytes) => {
                let verified = inrelease::verify(&bytes, keyring, self.request.now);
                (url.clone(), bytes, verified)
            }
            // The fallback is only for a missing InRelease: an invalid one is an error.
            None => {
                let plain = below(base, "Release", suite)?;
                let Some(bytes) = self.small_file(&plain)? else {
                    let (archive, nearest) = (self.suite.archive.clone(), self.nearest_suite());
                    return Err(FetchError::UnknownSuite { archive, suite: suite.clone(), url, nearest });
                };
                let signature = below(base, "Release.gpg", suite)?;
                let Some(signed) = self.small_file(&signature)? else {
                    return Err(FetchError::Unsigned { url: plain, signature });
                };
                let verified = inrelease::verify_detached(&bytes, &signed, keyring, self.request.now);
                (plain, bytes, verified)
            }
        };
        let verified = match verified {
            Ok(verified) => verified,
            Err(source) => {
                let (archive, own_key) = (self.suite.archive.clone(), own_key.map(|key| key.file.clone()));
                return Err(FetchError::Signature { url: read, archive, own_key, source: Box::new(source) });
            }
        };
        let checked = Release::parse(&verified.text, verified.signed).and_then(|release| {
            if !self.suite.is_flat() {
                release.check_suite(suite)?;
            }
            if self.request.check_age {
                release.check_age(self.request.now)?;
            }
            Ok(release)
        });
        let release = match checked {
            Ok(release) => release,
            Err(source) => return Err(FetchError::Release { url: read, source }),
        };
        // Always under the URL of InRelease, so that without InRelease an older Release is still detected.
        self.check_not_older(&url, &release)?;
        let key = own_key.map(|key| key.keyring.sorted_fingerprints()).unwrap_or_default();
        Ok(Signed { release, sha256: sha256::of(&bytes), signed_by: verified.signers, key })
    }

    /// Fetches a file of a few kilobytes; `None` if it does not exist.
    fn small_file(&self, url: &Url) -> Result<Option<Vec<u8>>, FetchError> {
        let name = url.to_string();
        let name = name.rsplit('/').next().unwrap_or_default();
        self.progress.item(&format!("{} {name}", self.suite.name));
        let mut bytes = Memory::default();
        match self.request.client.fetch(url, &mut bytes, Size::AtMost(LARGEST_RELEASE), self.stop) {
            Ok(()) => {
                self.progress.advance(bytes.0.len() as u64);
                self.progress.detail(&format!("fetched {url}"));
                Ok(Some(bytes.0))
            }
            Err(HttpError::NotThere { .. }) => Ok(None),
            Err(source) => Err(FetchError::Suite { suite: self.suite.name.clone(), source }),
        }
    }

    /// Refuses a Release file that is older than a known one, although its signature is good: it could reintroduce
    /// fixed vulnerabilities.
    fn check_not_older(&self, url: &Url, release: &Release) -> Result<(), FetchError> {
        let (archive, suite, dated) = (&self.suite.archive, &self.suite.name, release.date);
        let older = |seen, whence| FetchError::Older { url: url.clone(), dated, seen, whence };
        if !self.request.allow_older {
            let of_lock = self.request.locked.iter().find(|locked| locked.archive == *archive && locked.name == *suite);
            if let Some(locked) = of_lock.filter(|locked| dated < locked.date) {
                return Err(older(locked.date, "the lock is made from one of"));
            }
            if let Some(seen) = self.request.cache.newest_release(&url.to_string()).filter(|seen| dated < *seen) {
                return Err(older(seen, "one was seen there of"));
            }
        }
        Ok(self.request.cache.record_release(&url.to_string(), dated)?)
    }

    fn indices(&self, base: &Url, signed: &Signed) -> Result<Vec<SuiteIndex>, FetchError> {
        let release = &signed.release;
        let (suite, architecture) = (&self.suite.name, self.request.architecture);
        // apt uses the indices that are listed, whatever the other fields say. These count only if no index is listed.
        let mut architectures = vec![architecture];
        if release.may_have_architecture("all") && !release.all_is_everywhere {
            architectures.push("all");
        }
        let places: Vec<(&str, Vec<String>)> = if self.suite.is_flat() {
            vec![("", vec!["Packages".to_owned()])]
        } else {
            let folders = |component: &str| {
                architectures.iter().map(|name| format!("{component}/binary-{name}/Packages")).collect()
            };
            self.suite.components.iter().map(|component| (component.as_str(), folders(component))).collect()
        };
        let mut indices = Vec::new();
        let mut missing = None;
        let mut found = false;
        for (component, paths) in places {
            let mut packages: Option<Vec<u8>> = None;
            for path in &paths {
                let Some(text) = self.index(base, release, component, path)? else { continue };
                match &mut packages {
                    None => packages = Some(text),
                    Some(first) => {
                        // A paragraph ends with an empty line.
                        first.extend(b"\n\n");
                        first.extend(text);
                    }
                }
            }
            match &packages {
                Some(_) => found = true,
                None if !release.may_have_component(component) => {
                    let known: Vec<String> = release.component_names().map(str::to_owned).collect();
                    let nearest = nearest(component, known.clone());
                    let (suite, component) = (suite.clone(), component.to_owned());
                    return Err(FetchError::UnknownComponent { suite, component, known, nearest });
                }
                None => missing = missing.or(paths.into_iter().next()),
            }
            indices.push(SuiteIndex {
                archive: self.suite.archive.clone(),
                suite: suite.clone(),
                component: component.to_owned(),
                inrelease_sha256: signed.sha256,
                signed_by: signed.signed_by.clone(),
                key: signed.key.clone(),
                date: release.date,
                automatic: release.automatic,
                packages: packages.unwrap_or_default(),
            });
        }
        // A component may lack an index for this architecture. A suite in which all components lack it is an error.
        match missing {
            Some(path) if !found => Err(self.nothing(base, release, path)),
            _ => Ok(indices),
        }
    }

    /// The error for a suite in which no index was found.
    fn nothing(&self, base: &Url, release: &Release, path: String) -> FetchError {
        let architecture = self.request.architecture;
        if !release.may_have_architecture(architecture) && !release.may_have_architecture("all") {
            let (suite, architecture) = (self.suite.name.clone(), architecture.to_owned());
            return FetchError::UnknownArchitecture { suite, architecture, known: release.architectures.clone() };
        }
        let other = |name: &&String| name.strip_prefix(&path).is_some_and(|ending| ending.starts_with('.'));
        let others = release.files.keys().filter(other).cloned().collect();
        FetchError::NoIndex { url: base.clone(), path, others }
    }

    /// The text of one `Packages` file, from the smallest form that the suite offers; `None` if it lists none.
    fn index(&self, base: &Url, release: &Release, component: &str, path: &str) -> Result<Option<Vec<u8>>, FetchError> {
        let suite = &self.suite.name;
        let plain = release.files.get(path).copied();
        let mut not_there = None;
        for (form, ending) in FORMS {
            let packed_path = format!("{path}{ending}");
            let Some(packed) = release.files.get(&packed_path) else { continue };
            let url = below(base, &packed_path, suite)?;
            self.progress.item(&format!("{suite} {component}"));
            match self.packed(base, release, &url, &packed_path, *packed) {
                Ok(file) => {
                    return decompress(file, form, plain).map(Some).map_err(|source| FetchError::Index { url, source });
                }
                // Some archives list a form that they do not serve.
                Err(error @ FetchError::Index { source: IndexError::Transfer(HttpError::NotThere { .. }), .. }) => {
                    not_there.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        not_there.map_or(Ok(None), Err)
    }

    /// The compressed index: in the cache, whose keys are SHA-256 hashes, or in memory if Release lists no SHA-256.
    fn packed(
        &self,
        base: &Url,
        release: &Release,
        url: &Url,
        path: &str,
        entry: FileEntry,
    ) -> Result<Box<dyn BufRead>, FetchError> {
        let fail = |source: IndexError| FetchError::Index { url: url.clone(), source };
        let sha256 = match entry.hash {
            FileHash::Sha256(digest) => digest,
            FileHash::Sha512(_) => {
                let mut bytes = Memory::default();
                self.transfer(base, release, url, path, entry, &mut bytes)?;
                self.progress.advance(entry.size);
                self.progress.detail(&format!("fetched {url}"));
                if !entry.hash.matches(&bytes.0) {
                    let (expected, found) = (entry.hash.to_string(), entry.hash.same_of(&bytes.0).to_string());
                    return Err(fail(IndexError::Hash { expected, found }));
                }
                return Ok(Box::new(Cursor::new(bytes.0)));
            }
        };
        let waiting = || self.progress.item(&format!("{path}: waiting for another build that fetches it"));
        let claim = self.request.cache.claim(FileKind::Index, sha256, entry.size, &waiting)?;
        let whole = match claim {
            Claim::Whole(path) => path,
            Claim::Part(mut part) => {
                self.transfer(base, release, url, path, entry, &mut part)?;
                let resumed = part.resumed;
                let finished = match part.finish(sha256) {
                    // The partial file of an earlier run may be the cause.
                    Err(CacheError::Mismatch { .. }) if resumed => {
                        let size = Size::Exactly(entry.size);
                        let again = self.request.client.fetch(url, &mut part, size, self.stop);
                        again.map_err(|error| fail(error.into()))?;
                        part.finish(sha256)
                    }
                    finished => finished,
                };
                self.progress.advance(entry.size);
                self.progress.detail(&format!("fetched {url}"));
                finished.map_err(|error| fail(error.into()))?
            }
        };
        let file =
            File::open(&whole).at("opening", &whole).map_err(|source| FetchError::Cache(CacheError::Io { source }))?;
        Ok(Box::new(BufReader::with_capacity(256 << 10, file)))
    }

    /// Fetches a listed file by its hash if the archive supports that; the fallback is its name.
    fn transfer(
        &self,
        base: &Url,
        release: &Release,
        url: &Url,
        path: &str,
        entry: FileEntry,
        sink: &mut dyn Sink,
    ) -> Result<(), FetchError> {
        let client = self.request.client;
        let size = Size::Exactly(entry.size);
        let mut fetched = Err(HttpError::NotThere { url: url.clone(), why: String::new() });
        if release.acquire_by_hash {
            let folder = path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
            let by_hash = format!("{folder}by-hash/{}/{}", entry.hash.directory(), entry.hash.digits());
            fetched = client.fetch(&below(base, &by_hash, &self.suite.name)?, sink, size, self.stop);
        }
        // Copies of an archive often lack the `by-hash` directories.
        if let Err(HttpError::NotThere { .. }) = fetched {
            fetched = client.fetch(url, sink, size, self.stop);
        }
        fetched.map_err(|error| FetchError::Index { url: url.clone(), source: error.into() })
    }
}

/// Whether the mirror does not have the file that Release lists.
fn is_mismatch(error: &FetchError) -> bool {
    let FetchError::Index { source, .. } = error else { return false };
    matches!(
        source,
        IndexError::Cache(CacheError::Mismatch { .. })
            | IndexError::Hash { .. }
            | IndexError::Transfer(HttpError::Size { .. } | HttpError::NotThere { .. })
    )
}

fn below(base: &Url, path: &str, suite: &str) -> Result<Url, FetchError> {
    base.join(path).map_err(|_| FetchError::NoIndex {
        url: base.clone(),
        path: format!("{suite}: {path}"),
        others: Vec::new(),
    })
}

/// The nearest known name, if one is near enough.
pub(in crate::packages) fn nearest(name: &str, known: Vec<String>) -> Option<String> {
    let others: Vec<&str> = known.iter().map(String::as_str).filter(|other| *other != name).collect();
    appliance_contract::nearest::nearest(name, &others).map(str::to_owned)
}

#[cfg(test)]
mod tests;
