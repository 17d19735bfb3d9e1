#![no_main]

use applbuild_fuzz::differ;

libfuzzer_sys::fuzz_target!(|data: &[u8]| differ(data));
