//! Roots assembled from packages made here; the machine's own dpkg configures them.

// A test that is not registered does not compile.
#![deny(dead_code)]

mod depmod;
mod dpkg;
mod finish;
mod root_cache;
mod tar_sets;
mod world;

use applbuild_test_support::namespace;
use std::process::ExitCode;

fn main() -> ExitCode {
    namespace::main(&[dpkg::TESTS, finish::TESTS, root_cache::TESTS, depmod::TESTS, tar_sets::TESTS])
}
