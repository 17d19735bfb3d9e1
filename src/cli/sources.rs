//! Flags that say where packages come from, for every command that needs some.

use super::failure::Failure;
use applbuild::packages::http::Policy;
use applbuild::packages::{Archives, Cache, Client, Credentials, Keyring, MirrorChoice, cache};
use applbuild::profile::Archive;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Debug, Clone, clap::Args)]
pub struct Sources {
    /// Where Debian's archive is [default: as the machine's apt sources say]
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Where Debian's security archive is [default: as the machine's apt sources say]
    #[arg(long, value_name = "URL")]
    security_mirror: Option<String>,
    /// OpenPGP keys that may sign the archives, in the place of Debian's; an archive with a key in the profile has that one
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    #[command(flatten)]
    cache: CacheArguments,
    /// Use what the cache holds, and no network; needs a lock that says all
    #[arg(long)]
    offline: bool,
    /// How many seconds a mirror may be silent, and how long at most to wait before it is asked again
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// How often a transfer that failed is tried again
    #[arg(long, value_name = "N", default_value_t = 5)]
    retries: u32,
    /// Take a suite's Release file though it is older than the one in the lock, or than one seen there before
    #[arg(long)]
    allow_older: bool,
}

/// Where packages are kept.
#[derive(Debug, Clone, clap::Args)]
pub struct CacheArguments {
    /// Where downloads are kept [default: ~/.cache/applbuild]
    #[arg(long, value_name = "DIR", env = "APPLBUILD_CACHE")]
    cache: Option<PathBuf>,
}

impl CacheArguments {
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
    pub allow_older: bool,
}

impl Sources {
    fn policy(&self) -> Policy {
        let usual = Policy::default();
        let timeout = Duration::from_secs(self.timeout);
        let connect_timeout = usual.connect_timeout.min(timeout);
        Policy { connect_timeout, read_timeout: timeout, retries: self.retries, longest_wait: timeout, ..usual }
    }

    /// `archives` are the profile's.
    pub fn find(self, archives: BTreeMap<String, Archive>) -> Result<Place, Failure> {
        let apt = PathBuf::from("/etc/apt");
        let client = if self.offline {
            Client::offline()
        } else {
            let named = super::variable("APPLBUILD_AUTH_CONF")?.filter(|path| !path.is_empty()).map(PathBuf::from);
            let credentials = Credentials::find(named.as_deref(), Some(&apt)).map_err(Failure::input)?;
            Client::new(self.policy()).with_credentials(credentials)
        };
        let choice = MirrorChoice {
            mirror: self.mirror,
            security_mirror: self.security_mirror,
            environment: super::variable("APPLBUILD_MIRROR")?,
            environment_security: super::variable("APPLBUILD_SECURITY_MIRROR")?,
            profile: archives,
            apt: Some(apt),
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
            client,
            allow_older: self.allow_older,
        })
    }
}

pub fn now() -> i64 {
    // A clock before 1970 is as wrong as one at 1970: the archives' dates then tell.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
