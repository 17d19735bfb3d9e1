#![no_main]

use applbuild_fuzz::deb;

libfuzzer_sys::fuzz_target!(|data: &[u8]| deb(data));
