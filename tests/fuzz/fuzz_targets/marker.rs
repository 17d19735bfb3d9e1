#![no_main]

use applbuild_fuzz::marker;

libfuzzer_sys::fuzz_target!(|data: &[u8]| marker(data));
