#![no_main]

use applbuild_fuzz::iso;

libfuzzer_sys::fuzz_target!(|data: &[u8]| iso(data));
