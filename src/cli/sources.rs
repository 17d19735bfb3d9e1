//! Flags that say where packages come from, for every command that needs some.

use super::failure::Failure;
use applbuild::packages::http::Policy;
use applbuild::packages::{Archives, Cache, Client, Keyring, MirrorChoice, cache};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug, clap::Args)]
pub struct Sources {
    /// Where Debian's archive is [default: as the machine's apt sources say]
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Where Debian's security archive is [default: as the machine's apt sources say]
    #[arg(long, value_name = "URL")]
    security_mirror: Option<String>,
    /// OpenPGP keys that may sign the archives, in the place of Debian's
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    #[command(flatten)]
    cache: Kept,
    /// Use what the cache holds, and no network; needs a lock that says all
    #[arg(long)]
    offline: bool,
}

/// Where packages are kept.
#[derive(Debug, clap::Args)]
pub struct Kept {
    /// Where downloads are kept [default: ~/.cache/applbuild]
    #[arg(long, value_name = "DIR", env = "APPLBUILD_CACHE")]
    cache: Option<PathBuf>,
}

impl Kept {
    pub fn find(&self) -> Result<Cache, Failure> {
        let folder = self.cache.clone().or_else(cache::default_folder);
        folder.map(Cache::new).ok_or_else(|| Failure::usage("HOME is not set, so pass --cache DIR".to_owned()))
    }
}

/// What the flags, the environment, the profile and the machine come to.
#[derive(Debug)]
pub struct Place {
    pub archives: Archives,
    pub keyring: Keyring,
    pub cache: Cache,
    pub client: Client,
}

impl Sources {
    pub fn cache(&self) -> Result<Cache, Failure> {
        self.cache.find()
    }

    /// `mirrors` are the profile's.
    pub fn find(self, mirrors: &BTreeMap<String, String>) -> Result<Place, Failure> {
        let choice = MirrorChoice {
            mirror: self.mirror,
            security_mirror: self.security_mirror,
            environment: super::variable("APPLBUILD_MIRROR")?,
            environment_security: super::variable("APPLBUILD_SECURITY_MIRROR")?,
            profile: mirrors.clone(),
            apt: Some(PathBuf::from("/etc/apt")),
        };
        let archives = Archives::find(&choice)?;
        let keyring = match &self.keyring {
            Some(path) => Keyring::read(path),
            None => Keyring::debian(),
        };
        Ok(Place {
            archives,
            keyring: keyring.map_err(Failure::input)?,
            cache: self.cache.find()?,
            client: if self.offline { Client::offline() } else { Client::new(Policy::default()) },
        })
    }
}

pub fn now() -> i64 {
    // A clock before 1970 is as wrong as one at 1970: the archives' dates then tell.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
