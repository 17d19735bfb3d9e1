//! Locations of archives, in order of precedence: flag, environment, profile, the machine's own apt sources.

use super::apt_sources::{Source, Sources};
use super::index::Admission;
use super::keyring::{Keyring, KeyringError};
use super::refresh::nearest;
use crate::packages::error::hint;
use crate::packages::fetch::url::{Url, UrlError};
use crate::profile::{Archive, Suite};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The main archive's name.
pub const DEBIAN: &str = "debian";
/// The security archive's name.
pub const SECURITY: &str = "debian-security";

/// Locations given by flags, the environment and the profile, and the directory of the machine's apt sources.
#[derive(Debug, Clone, Default)]
pub struct MirrorChoice {
    /// `--mirror`
    pub mirror: Option<String>,
    /// `--security-mirror`
    pub security_mirror: Option<String>,
    /// `APPLBUILD_MIRROR`
    pub environment: Option<String>,
    /// `APPLBUILD_SECURITY_MIRROR`
    pub environment_security: Option<String>,
    /// The profile's `archives`.
    pub profile: BTreeMap<String, Archive>,
    /// `/etc/apt`; with `None`, the machine's apt sources are not read.
    pub apt: Option<PathBuf>,
}

/// The URL of each archive by name, with its keys and package patterns from the profile.
#[derive(Debug, Clone, Default)]
pub struct Archives {
    known: BTreeMap<String, Url>,
    keys: BTreeMap<String, ArchiveKey>,
    /// Patterns of the packages that may come from an archive.
    packages: BTreeMap<String, Vec<String>>,
    /// Why the machine's apt sources gave no location, for the error.
    looked_at: String,
}

/// An archive's own keys.
#[derive(Debug, Clone)]
pub struct ArchiveKey {
    /// The file, as the profile names it.
    pub file: String,
    /// The keys in it.
    pub keyring: Keyring,
}

/// Why an archive's location or key is not known.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The key file that the profile names is invalid.
    #[error("the key of the archive {archive}")]
    Key {
        /// The archive's name.
        archive: String,
        /// What is wrong with it.
        source: KeyringError,
    },
    /// A location is not a valid URL.
    #[error("{from}")]
    Url {
        /// Its origin: a flag, an environment variable or the profile.
        from: String,
        /// Whether the profile has it.
        in_profile: bool,
        /// What is wrong with it.
        source: UrlError,
    },
    /// Nothing gives the location of one of Debian's archives.
    #[error(
        "it is not known where the archive {archive} is: {looked_at}; pass {flag} URL, or set {variable} or archives.{archive}.url in the profile"
    )]
    Unknown {
        /// The archive's name.
        archive: String,
        /// The sources that were searched without result.
        looked_at: String,
        /// The flag that sets it.
        flag: &'static str,
        /// The environment variable that sets it.
        variable: &'static str,
    },
    /// The profile gives no location for an archive other than Debian's.
    #[error("it is not known where the archive {archive} is: set archives.{archive}.url in the profile{}", hint(.nearest))]
    Foreign {
        /// The archive's name.
        archive: String,
        /// The nearest known name, if one is near enough.
        nearest: Option<String>,
    },
}

impl Archives {
    /// Fails only on an invalid URL or key. [`Self::base`] reports a missing location, so that a build with all
    /// packages in the cache needs no mirror.
    pub fn find(choice: &MirrorChoice) -> Result<Self, ArchiveError> {
        let mut archives = Self::default();
        match &choice.apt {
            Some(apt) => archives.ask_machine(&Sources::read(apt), &apt.display().to_string()),
            None => archives.looked_at = "the machine's apt sources were not asked".into(),
        }
        for (name, archive) in &choice.profile {
            if let Some(url) = &archive.url {
                archives.set(name, url, &format!("archives.{name}.url in the profile"), true)?;
            }
            if let Some(key) = &archive.key {
                let keyring = Keyring::parse(&key.name, &key.bytes)
                    .map_err(|source| ArchiveError::Key { archive: name.clone(), source })?;
                archives.keys.insert(name.clone(), ArchiveKey { file: key.name.clone(), keyring });
            }
            if let Some(packages) = &archive.packages {
                archives.packages.insert(name.clone(), packages.clone());
            }
        }
        let given = [
            (DEBIAN, &choice.environment, "APPLBUILD_MIRROR"),
            (SECURITY, &choice.environment_security, "APPLBUILD_SECURITY_MIRROR"),
            (DEBIAN, &choice.mirror, "--mirror"),
            (SECURITY, &choice.security_mirror, "--security-mirror"),
        ];
        for (archive, url, from) in given {
            // An empty value counts as not set.
            if let Some(url) = url.as_deref().filter(|url| !url.is_empty()) {
                archives.set(archive, url, from, false)?;
            }
        }
        Ok(archives)
    }

    /// Archives in local directories: the name and the absolute path of each.
    pub fn in_folders<'n>(folders: impl IntoIterator<Item = (&'n str, PathBuf)>) -> Self {
        let known = folders.into_iter().map(|(name, folder)| (name.to_owned(), Url::of_folder(&folder))).collect();
        Self { known, ..Self::default() }
    }

    /// The archive's own keys, if it has any. Only these may sign it.
    pub fn key(&self, archive: &str) -> Option<&ArchiveKey> {
        self.keys.get(archive)
    }

    /// Which packages may come from an archive. An archive other than Debian's that has its own key and no package
    /// patterns may only add to the packages of the others. If all archives of `suites` are of this kind, none of them
    /// is restricted.
    pub fn admission(&self, archive: &str, suites: &[Suite]) -> Admission<'_> {
        let adds = |name: &str| {
            ![DEBIAN, SECURITY].contains(&name) && self.keys.contains_key(name) && !self.packages.contains_key(name)
        };
        match self.packages.get(archive) {
            Some(patterns) => Admission::Named(patterns),
            None if adds(archive) && suites.iter().any(|suite| !adds(&suite.archive)) => Admission::Additional,
            None => Admission::All,
        }
    }

    /// The base URL of the archive's paths.
    pub fn base(&self, archive: &str) -> Result<&Url, ArchiveError> {
        self.known.get(archive).ok_or_else(|| {
            let (flag, variable) = match archive {
                DEBIAN => ("--mirror", "APPLBUILD_MIRROR"),
                SECURITY => ("--security-mirror", "APPLBUILD_SECURITY_MIRROR"),
                _ => {
                    let known = self.known.keys().map(String::as_str).chain([DEBIAN, SECURITY]);
                    let nearest = nearest(archive, known.map(str::to_owned).collect());
                    return ArchiveError::Foreign { archive: archive.to_owned(), nearest };
                }
            };
            let looked_at = self.looked_at.clone();
            ArchiveError::Unknown { archive: archive.to_owned(), looked_at, flag, variable }
        })
    }

    fn set(&mut self, archive: &str, url: &str, from: &str, in_profile: bool) -> Result<(), ArchiveError> {
        let url = Url::parse(url).map_err(|source| ArchiveError::Url { from: from.to_owned(), in_profile, source })?;
        self.known.insert(archive.to_owned(), url);
        Ok(())
    }

    fn ask_machine(&mut self, sources: &Sources, apt: &str) {
        for (archive, is) in [(DEBIAN, is_debian as fn(&Source) -> bool), (SECURITY, is_security)] {
            let found = sources
                .entries
                .iter()
                .filter(|source| is(source))
                .filter_map(|source| Some((rank(source, sources), Url::parse(&source.uri).ok()?)))
                // Of equal ranks the first source wins: min_by_key keeps the earlier one.
                .min_by_key(|(rank, _)| *rank);
            if let Some((_, url)) = found {
                self.known.insert(archive.to_owned(), url);
            }
        }
        let mut uris: Vec<&str> = sources.entries.iter().map(|source| source.uri.as_str()).collect();
        uris.dedup();
        self.looked_at = match &uris[..] {
            [] => format!("no apt source in {apt} is in use"),
            uris => format!("none of the apt sources in {apt} is it ({})", uris.join(", ")),
        };
        for problem in &sources.problems {
            self.looked_at += &format!("; {problem}");
        }
    }
}

/// Debian's codenames, and the suite names that a source may use instead, such as `stable`.
const CODENAMES: [&str; 15] = [
    "jessie",
    "stretch",
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "experimental",
];

/// Suffixes after the release's name in the main archive's suites.
const MAIN_SUITES: [&str; 5] = ["", "-updates", "-backports", "-proposed-updates", "-backports-sloppy"];

const COMPONENTS: [&str; 4] = ["main", "contrib", "non-free", "non-free-firmware"];

/// All suite names of the archive, from which the nearest to a misspelled one is suggested.
pub(in crate::packages) fn known_suites(archive: &str) -> Vec<String> {
    let endings: &[&str] = if archive == SECURITY { &["-security"] } else { &MAIN_SUITES };
    CODENAMES.iter().flat_map(|name| endings.iter().map(move |ending| format!("{name}{ending}"))).collect()
}

fn is_main_suite(suite: &str) -> bool {
    CODENAMES.iter().any(|name| suite.strip_prefix(name).is_some_and(|ending| MAIN_SUITES.contains(&ending)))
}

fn is_security_suite(suite: &str) -> bool {
    // Up to buster the suite was called buster/updates.
    let name = suite.strip_suffix("-security").or_else(|| suite.strip_suffix("/updates"));
    name.is_some_and(|name| CODENAMES.contains(&name))
}

/// Whether the suite has security updates: by the name of its archive, or by its own as Debian and Ubuntu form it.
pub(crate) fn is_security_suite_of(archive: &str, suite: &str) -> bool {
    archive == SECURITY || suite.ends_with("-security") || suite.ends_with("/updates")
}

fn last_segment(uri: &str) -> &str {
    uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// Whether the source may be one of Debian's archives. Third parties use Debian's suite names and paths that end in
/// `/debian`, but they sign with their own keys, and most have their own components.
fn may_be_debians(source: &Source) -> bool {
    let signed = source.signed_by.as_deref();
    let own_key = signed.is_none_or(|by| by.contains("debian-archive") || !by.contains('/') && by != "embedded");
    own_key && source.components.iter().all(|component| COMPONENTS.contains(&last_segment(component)))
}

fn is_debian(source: &Source) -> bool {
    may_be_debians(source) && last_segment(&source.uri) != SECURITY && is_main_suite(&source.suite)
}

fn is_security(source: &Source) -> bool {
    may_be_debians(source)
        && (is_security_suite(&source.suite)
            || last_segment(&source.uri) == SECURITY && is_main_suite(source.suite.trim_end_matches("-security")))
}

/// A lower rank is a better match: signed by Debian's keyring; same URI as an `-updates` suite; usual name.
fn rank(source: &Source, sources: &Sources) -> u8 {
    let signed = source.signed_by.as_deref().is_some_and(|by| by.contains("debian-archive"));
    let updates = sources.entries.iter().any(|other| other.uri == source.uri && other.suite.ends_with("-updates"));
    let usual = [DEBIAN, SECURITY].contains(&last_segment(&source.uri));
    u8::from(!signed) * 4 + u8::from(!updates) * 2 + u8::from(!usual)
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::causes::WithCauses as _;

    fn machine(text: &str) -> (tempfile::TempDir, MirrorChoice) {
        let apt = tempfile::tempdir().unwrap();
        std::fs::write(apt.path().join("sources.list"), text).unwrap();
        let choice = MirrorChoice { apt: Some(apt.path().to_owned()), ..MirrorChoice::default() };
        (apt, choice)
    }

    fn at(url: &str) -> Archive {
        Archive { url: Some(url.to_owned()), ..Archive::default() }
    }

    fn places(text: &str) -> [Option<String>; 2] {
        let (_apt, choice) = machine(text);
        let archives = Archives::find(&choice).unwrap();
        [DEBIAN, SECURITY].map(|archive| archives.base(archive).ok().map(ToString::to_string))
    }

    const BOOKWORM: &str = "deb http://mirror.example.org/debian bookworm main\n\
                            deb http://mirror.example.org/debian bookworm-updates main\n\
                            deb http://mirror.example.org/debian-security bookworm-security main\n";

    #[test]
    fn an_older_machine_tells_where_the_archives_are() {
        let expected = ["http://mirror.example.org/debian", "http://mirror.example.org/debian-security"];
        assert_eq!(places(BOOKWORM), expected.map(|url| Some(url.to_owned())));
    }

    #[test]
    fn a_mirror_with_a_name_of_its_own_is_found_by_its_suites() {
        let found =
            places("deb file:/srv/mirror trixie main\ndeb http://example.org/sec trixie-security updates/main\n");
        assert_eq!(found, [Some("file:/srv/mirror".into()), Some("http://example.org/sec".into())]);
    }

    #[test]
    fn other_archives_are_never_taken() {
        let none = [None, None];
        assert_eq!(
            places(
                "deb http://archive.example.com/ubuntu noble main universe\n\
                 deb http://security.example.com/ubuntu noble-security main\n\
                 deb https://download.example.com/linux/debian bookworm stable\n\
                 deb [signed-by=/usr/share/keyrings/acme.gpg] https://acme.example.com/debian bookworm main\n\
                 deb cdrom:[Debian 13]/ trixie main\n\
                 deb https://flat.example.com/debian ./\n"
            ),
            none
        );
    }

    #[test]
    fn the_surest_source_wins_over_the_first() {
        let found = places(&format!("deb https://acme.example.com/apt bookworm main\n{BOOKWORM}"));
        assert_eq!(found[0].as_deref(), Some("http://mirror.example.org/debian"));
        let signed = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] file:/srv/d trixie main\n";
        assert_eq!(places(&format!("{BOOKWORM}{signed}"))[0].as_deref(), Some("file:/srv/d"));
    }

    #[test]
    fn flag_then_environment_then_profile_then_machine() {
        let (_apt, mut choice) = machine(BOOKWORM);
        let base = |choice: &MirrorChoice| Archives::find(choice).unwrap().base(DEBIAN).unwrap().to_string();
        choice.profile.insert(DEBIAN.into(), at("http://profile.example.org/debian"));
        assert_eq!(base(&choice), "http://profile.example.org/debian");
        choice.environment = Some("http://environment.example.org/debian".into());
        assert_eq!(base(&choice), "http://environment.example.org/debian");
        choice.mirror = Some("file:/srv/debian".into());
        assert_eq!(base(&choice), "file:/srv/debian");
        choice.mirror = Some(String::new());
        assert_eq!(base(&choice), "http://environment.example.org/debian");
    }

    #[test]
    fn an_archive_with_a_key_adds_to_those_without() {
        let key =
            || crate::profile::KeyFile { name: "k".into(), bytes: include_bytes!("keys/trixie-stable.gpg").to_vec() };
        let keyed = |packages| Archive { key: Some(key()), packages, ..Archive::default() };
        let mut choice = MirrorChoice::default();
        for (name, packages) in
            [(DEBIAN, None), ("vendor", None), ("ubuntu", None), ("some", Some(vec!["a*".to_owned()]))]
        {
            choice.profile.insert(name.into(), keyed(packages));
        }
        let archives = Archives::find(&choice).unwrap();
        let suites = |names: &[&str]| -> Vec<Suite> {
            let suite = |name: &&str| Suite { archive: (*name).into(), name: "x".into(), components: vec![] };
            names.iter().map(suite).collect()
        };
        let admission = |archive: &str, beside: &[&str]| archives.admission(archive, &suites(beside));
        assert_eq!(admission("vendor", &[DEBIAN, "vendor"]), Admission::Additional);
        assert_eq!(admission("vendor", &["some", "vendor"]), Admission::Additional);
        assert_eq!(admission(DEBIAN, &[DEBIAN, "vendor"]), Admission::All);
        // Another distribution and the vendor each have their own key: there is no archive to add to.
        assert_eq!(admission("ubuntu", &["ubuntu", "vendor"]), Admission::All);
        assert_eq!(admission("some", &["some"]), Admission::Named(&["a*".to_owned()]));
    }

    #[test]
    fn what_is_missing_is_named_with_its_flag() {
        let (_apt, mut choice) = machine("deb http://archive.example.com/ubuntu noble main\nrpm x y\n");
        choice.mirror = Some("file:/srv/debian".into());
        let archives = Archives::find(&choice).unwrap();
        assert!(archives.base(DEBIAN).is_ok());
        let said = archives.base(SECURITY).unwrap_err().with_causes();
        for part in ["debian-security", "--security-mirror URL", "http://archive.example.com/ubuntu", "sources.list:2"]
        {
            assert!(said.contains(part), "{said}");
        }
        assert!(archives.base("acme").unwrap_err().with_causes().contains("archives.acme.url"));
    }

    #[test]
    fn a_flag_that_is_no_url_is_refused_by_name() {
        let choice = MirrorChoice { mirror: Some("/srv/debian".into()), ..MirrorChoice::default() };
        let said = Archives::find(&choice).unwrap_err().with_causes();
        assert!(said.starts_with("--mirror: found \"/srv/debian\", expected an http:, https: or file: URL"), "{said}");
    }
}
