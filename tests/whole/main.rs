//! The way from an archive to an image, walked by the program itself: with an archive that is made here and signed
//! here, and a mirror as bad as can be.

mod archives;
mod builders;
mod cache;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../inside/debs.rs"]
mod debs;
mod hostile;
mod killed;
mod locks;
mod mirror;
mod place;
#[path = "../inside/sets.rs"]
mod sets;
mod shell;
mod tar_sets;
#[allow(dead_code, reason = "unit tests use the rest")]
#[path = "../../src/packages/test_keys.rs"]
mod test_keys;
#[allow(dead_code, reason = "unit tests use the rest")]
#[path = "../../src/packages/test_server.rs"]
mod test_server;

/// Where test_keys.rs looks for it.
use applbuild::packages::keyring;
