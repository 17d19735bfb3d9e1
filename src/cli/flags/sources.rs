//! Flags for the sources of packages, for every command that needs packages.

use crate::cli::flags::environment::variable;
use crate::cli::report::failure::Failure;
use applbuild::cache::{self, Cache};
use applbuild::packages::{Archives, Client, Credentials, Keyring, MirrorChoice, Policy};
use applbuild::profile::{Archive, Profile};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Debug, Clone, clap::Args)]
pub struct Sources {
    /// Mirror of Debian's archive [default: from the machine's apt sources]
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Mirror of Debian's security archive [default: from the machine's apt sources]
    #[arg(long, value_name = "URL")]
    security_mirror: Option<String>,
    /// OpenPGP keys to trust for archives that have no key in the profile, instead of Debian's
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
    #[command(flatten)]
    cache: CacheArguments,
    /// Use only the cache, without network; needs a complete lock
    #[arg(long)]
    offline: bool,
    /// Seconds without data after which a transfer is retried; also the longest delay between retries
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Number of retries of a failed transfer
    #[arg(long, value_name = "N", default_value_t = 5)]
    retries: u32,
    /// Accept a Release file that is older than the lock's or than one seen before
    #[arg(long)]
    allow_older: bool,
}

/// The flag that names the cache.
#[derive(Debug, Clone, clap::Args)]
pub struct CacheArguments {
    /// Directory of the cache [default: ~/.cache/applbuild]
    #[arg(long, value_name = "DIR", env = "APPLBUILD_CACHE", global = true)]
    cache: Option<PathBuf>,
}

impl CacheArguments {
    pub fn find(&self) -> Result<Cache, Failure> {
        self.directory().map(Cache::new)
    }

    /// The cache's directory.
    pub fn directory(&self) -> Result<PathBuf, Failure> {
        let directory = self.cache.clone().or_else(cache::default_directory);
        directory.ok_or_else(|| Failure::usage("HOME is not set, so pass --cache DIR".to_owned()))
    }
}

/// The package sources that result from the flags, the environment, the profile and the machine.
#[derive(Debug)]
pub struct PackageSources {
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

    /// With the archives of the profile and of its guests.
    pub fn find(self, profile: &Profile) -> Result<PackageSources, Failure> {
        self.find_with(profile.all_archives().map_err(Failure::input)?)
    }

    /// With these archives of profiles.
    pub fn find_with(self, archives: BTreeMap<String, Archive>) -> Result<PackageSources, Failure> {
        let apt = PathBuf::from("/etc/apt");
        let client = if self.offline {
            Client::offline()
        } else {
            let named = variable("APPLBUILD_AUTH_CONF")?.filter(|path| !path.is_empty()).map(PathBuf::from);
            let credentials = Credentials::find(named.as_deref(), Some(&apt)).map_err(Failure::input)?;
            Client::new(self.policy()).with_credentials(credentials)
        };
        let choice = MirrorChoice {
            mirror: self.mirror,
            security_mirror: self.security_mirror,
            environment: variable("APPLBUILD_MIRROR")?,
            environment_security: variable("APPLBUILD_SECURITY_MIRROR")?,
            profile: archives,
            apt: Some(apt),
        };
        let archives = Archives::find(&choice)?;
        let keyring = match &self.keyring {
            Some(path) => Keyring::read(path),
            None => Keyring::debian(),
        };
        Ok(PackageSources {
            archives,
            keyring: keyring.map_err(Failure::input)?,
            cache: self.cache.find()?,
            client,
            allow_older: self.allow_older,
        })
    }
}

pub fn now() -> i64 {
    // A clock before 1970 is as wrong as one at 1970: the check of the archives' dates reports both.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
