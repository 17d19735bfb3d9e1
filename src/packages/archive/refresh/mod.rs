//! Package indices of suites: signature, age, identity and every hash checked.

use super::inrelease;
use super::keyring::Keyring;
use super::locations::{Archives, known_suites};
use super::release::{FileEntry, Release};
use crate::cache::{Cache, CacheError, Claim, FileKind};
use crate::packages::error::{FetchError, IndexError};
use crate::packages::fetch::http::{Client, HttpError};
use crate::packages::fetch::transfer::{Memory, Size, Stop};
use crate::packages::fetch::url::Url;
use crate::packages::lock::LockedSuite;
use crate::progress::{Progress, Stage, Unit};
use crate::util::file_error::FileError;
use crate::util::sha256;
use appliance_contract::Sha256;
use std::fs::File;
use std::io::{self, Read};

/// A suite of an archive, and the components wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuiteWanted {
    /// `debian` or `debian-security`.
    pub archive: String,
    /// `trixie`, `trixie-updates`, `trixie-security` …
    pub name: String,
    /// `main`, `contrib` …
    pub components: Vec<String>,
}

/// What [`refresh`] is to fetch, and what it takes for that.
#[derive(Debug)]
pub struct RefreshRequest<'a> {
    /// The suites, in the profile's order.
    pub suites: &'a [SuiteWanted],
    /// Debian's name: `amd64`.
    pub architecture: &'a str,
    /// Where the archives are.
    pub archives: &'a Archives,
    /// The keys that may sign.
    pub keyring: &'a Keyring,
    /// Keeps indices, and the newest date seen of each suite.
    pub cache: &'a Cache,
    /// Fetches.
    pub client: &'a Client,
    /// Seconds since 1970.
    pub now: i64,
    /// Off for an old snapshot: then neither Valid-Until nor Date is looked at.
    pub check_age: bool,
    /// The suites as the lock has them: none may be older now.
    pub locked: &'a [LockedSuite],
    /// Whether suites may go back, behind the lock and behind what was seen before.
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
    /// SHA-256 of the suite's InRelease file.
    pub inrelease_sha256: Sha256,
    /// When the archive made the suite's Release file, seconds since 1970.
    pub date: i64,
    /// What [`Release::automatic`] says.
    pub automatic: bool,
    /// The text of `Packages`.
    pub packages: Vec<u8>,
}

/// An InRelease of Debian's largest suite has 220 KB.
const LARGEST_RELEASE: u64 = 16 << 20;

/// What the largest preset of xz needs is 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;

/// Fetches and verifies the indices of all suites at once; gives them in the order asked for.
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
        // A panic in a thread is this program's own fault, and goes on in the caller's.
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

/// Whether a transfer ended only because another one had failed.
fn is_stop(error: &FetchError) -> bool {
    matches!(
        error,
        FetchError::Suite { source: HttpError::Stopped { .. }, .. }
            | FetchError::Index { source: IndexError::Transfer(HttpError::Stopped { .. }), .. }
    )
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
        let base = base.join("dists").and_then(|dists| dists.join(&self.suite.name)).map_err(fail)?;
        let (release, sha256) = self.release(&base)?;
        match self.indices(&base, &release, sha256) {
            // The mirror may have moved between the two requests.
            Err(error) if is_mismatch(&error) => {
                let (newer, newer_sha256) = self.release(&base)?;
                if newer_sha256 == sha256 {
                    return Err(error);
                }
                self.indices(&base, &newer, newer_sha256)
            }
            result => result,
        }
    }

    fn nearest_suite(&self) -> Option<String> {
        nearest(&self.suite.name, known_suites(&self.suite.archive))
    }

    fn release(&self, base: &Url) -> Result<(Release, Sha256), FetchError> {
        let suite = || self.suite.name.clone();
        let url = below(base, "InRelease", &suite())?;
        self.progress.item(&format!("{} InRelease", self.suite.name));
        let mut bytes = Memory::default();
        match self.request.client.fetch(&url, &mut bytes, Size::AtMost(LARGEST_RELEASE), self.stop) {
            Ok(()) => self.progress.detail(&format!("fetched {url}")),
            Err(HttpError::NotThere { .. }) => {
                let (archive, nearest) = (self.suite.archive.clone(), self.nearest_suite());
                return Err(FetchError::UnknownSuite { archive, suite: suite(), url, nearest });
            }
            Err(source) => return Err(FetchError::Suite { suite: suite(), source }),
        }
        self.progress.advance(bytes.0.len() as u64);
        let verified = match inrelease::verify(&bytes.0, self.request.keyring, self.request.now) {
            Ok(verified) => verified,
            Err(source) => return Err(FetchError::Signature { url, source }),
        };
        let checked = Release::parse(&verified.text).and_then(|release| {
            release.check_suite(&self.suite.name)?;
            if self.request.check_age {
                release.check_age(self.request.now)?;
            }
            Ok(release)
        });
        let release = match checked {
            Ok(release) => release,
            Err(source) => return Err(FetchError::Release { url, source }),
        };
        self.check_not_older(&url, &release)?;
        Ok((release, sha256::of(&bytes.0)))
    }

    /// Refuses a file of yesterday, signed as it is: it would bring yesterday's holes back.
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

    fn indices(&self, base: &Url, release: &Release, inrelease: Sha256) -> Result<Vec<SuiteIndex>, FetchError> {
        let suite = &self.suite.name;
        if !release.architectures.iter().any(|known| known == self.request.architecture) {
            let (architecture, known) = (self.request.architecture.to_owned(), release.architectures.clone());
            return Err(FetchError::UnknownArchitecture { suite: suite.clone(), architecture, known });
        }
        let mut indices = Vec::new();
        for component in &self.suite.components {
            if !release.component_names().any(|known| known == component) {
                let known: Vec<String> = release.component_names().map(str::to_owned).collect();
                let nearest = nearest(component, known.clone());
                let (suite, component) = (suite.clone(), component.clone());
                return Err(FetchError::UnknownComponent { suite, component, known, nearest });
            }
            indices.push(SuiteIndex {
                archive: self.suite.archive.clone(),
                suite: suite.clone(),
                component: component.clone(),
                inrelease_sha256: inrelease,
                date: release.date,
                automatic: release.automatic,
                packages: self.index(base, release, component)?,
            });
        }
        Ok(indices)
    }

    /// The text of one `Packages` file, in the smallest form that the suite offers.
    fn index(&self, base: &Url, release: &Release, component: &str) -> Result<Vec<u8>, FetchError> {
        let suite = &self.suite.name;
        let path = format!("{component}/binary-{}/Packages", self.request.architecture);
        let forms = [(Form::Xz, ".xz"), (Form::Gzip, ".gz"), (Form::Plain, "")];
        let offered = forms.iter().find_map(|(form, ending)| {
            let path = format!("{path}{ending}");
            release.files.get(&path).map(|entry| (*form, path, *entry))
        });
        let (Some((form, packed_path, packed)), Some(plain)) = (offered, release.files.get(&path)) else {
            return Err(FetchError::NoIndex { url: base.clone(), path });
        };
        let url = below(base, &packed_path, suite)?;
        self.progress.item(&format!("{suite} {component}"));
        let file = self.packed(base, release, &url, &packed_path, packed)?;
        unpack(file, form, *plain).map_err(|source| FetchError::Index { url, source })
    }

    /// The packed index, in the cache.
    fn packed(
        &self,
        base: &Url,
        release: &Release,
        url: &Url,
        path: &str,
        entry: FileEntry,
    ) -> Result<File, FetchError> {
        let fail = |source: IndexError| FetchError::Index { url: url.clone(), source };
        let waiting = || self.progress.item(&format!("{path}: waiting for another build that fetches it"));
        let claim = self.request.cache.claim(FileKind::Index, entry.sha256, entry.size, &waiting)?;
        let whole = match claim {
            Claim::Whole(path) => path,
            Claim::Part(mut part) => {
                let client = self.request.client;
                let size = Size::Exactly(entry.size);
                let mut fetched = Err(HttpError::NotThere { url: url.clone(), why: String::new() });
                if let (true, Some((folder, _))) = (release.acquire_by_hash, path.rsplit_once('/')) {
                    let by_hash = below(base, &format!("{folder}/by-hash/SHA256/{}", entry.sha256), &self.suite.name)?;
                    fetched = client.fetch(&by_hash, &mut part, size, self.stop);
                }
                // Copies of an archive often lack the files by hash.
                if let Err(HttpError::NotThere { .. }) = fetched {
                    fetched = client.fetch(url, &mut part, size, self.stop);
                }
                fetched.map_err(|error| fail(error.into()))?;
                let resumed = part.resumed;
                let finished = match part.finish(entry.sha256) {
                    // Half a file of an earlier run may be at fault.
                    Err(CacheError::Mismatch { .. }) if resumed => {
                        client.fetch(url, &mut part, size, self.stop).map_err(|error| fail(error.into()))?;
                        part.finish(entry.sha256)
                    }
                    finished => finished,
                };
                self.progress.advance(entry.size);
                self.progress.detail(&format!("fetched {url}"));
                finished.map_err(|error| fail(error.into()))?
            }
        };
        File::open(&whole)
            .map_err(|source| FetchError::Cache(CacheError::Io { source: FileError::new("opening", &whole, source) }))
    }
}

/// Whether the mirror served another file than Release lists.
fn is_mismatch(error: &FetchError) -> bool {
    let FetchError::Index { source, .. } = error else { return false };
    matches!(
        source,
        IndexError::Cache(CacheError::Mismatch { .. })
            | IndexError::Transfer(HttpError::Size { .. } | HttpError::NotThere { .. })
    )
}

fn below(base: &Url, path: &str, suite: &str) -> Result<Url, FetchError> {
    base.join(path).map_err(|_| FetchError::NoIndex { url: base.clone(), path: format!("{suite}: {path}") })
}

/// The nearest of the known names, if one is near enough to be meant.
pub(in crate::packages) fn nearest(name: &str, known: Vec<String>) -> Option<String> {
    let others: Vec<&str> = known.iter().map(String::as_str).filter(|other| *other != name).collect();
    appliance_contract::nearest::nearest(name, &others).map(str::to_owned)
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Xz,
    Gzip,
    Plain,
}

/// Never gives more than Release lists, whatever the file would decompress to.
fn unpack(file: File, form: Form, plain: FileEntry) -> Result<Vec<u8>, IndexError> {
    let file = io::BufReader::with_capacity(256 << 10, file);
    let reader: Box<dyn Read> = match form {
        Form::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED);
            let stream = stream.map_err(|error| IndexError::Corrupt { source: error.into() })?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream))
        }
        Form::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Form::Plain => Box::new(file),
    };
    let mut text = Vec::new();
    reader
        .take(plain.size.saturating_add(1))
        .read_to_end(&mut text)
        .map_err(|source| IndexError::Corrupt { source })?;
    let found = text.len() as u64;
    if found > plain.size {
        return Err(IndexError::TooLarge { expected: plain.size });
    }
    let (length, digest) = (found, sha256::of(&text));
    if length != plain.size || digest != plain.sha256 {
        let expected = format!("{} bytes, SHA-256 {}", plain.size, plain.sha256);
        return Err(IndexError::Plain { expected, found: format!("{length} bytes, SHA-256 {digest}") });
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
