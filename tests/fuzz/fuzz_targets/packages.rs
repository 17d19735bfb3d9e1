#![no_main]

use applbuild_fuzz::packages;

libfuzzer_sys::fuzz_target!(|data: &[u8]| packages(data));
