#![no_main]

use applbuild_fuzz::keyring;

libfuzzer_sys::fuzz_target!(|data: &[u8]| keyring(data));
