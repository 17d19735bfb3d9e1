use crate::packages::{Archives, Cache, Client, Keyring};
use crate::profile::Profile;
use std::path::PathBuf;

/// What a build is asked for, with all that it needs from outside.
#[derive(Debug)]
pub struct Order {
    pub profile: Profile,
    pub archives: Archives,
    pub keyring: Keyring,
    pub cache: Cache,
    pub client: Client,
    /// A lock to build from, in the place of what the archives have now.
    pub lock: Option<PathBuf>,
    /// Seconds since 1970, for the age of what the archives say.
    pub now: i64,
    /// `SOURCE_DATE_EPOCH`, for a profile that says none.
    pub source_date_epoch: Option<i64>,
    /// The user's own templates.
    pub templates: Option<PathBuf>,
    /// Where images go.
    pub output: PathBuf,
    /// Whether an image of the same version may be overwritten.
    pub replace: bool,
}
