#![no_main]

use applbuild_fuzz::profile;

libfuzzer_sys::fuzz_target!(|data: &[u8]| profile(data));
