#![no_main]

use applbuild_fuzz::lock;

libfuzzer_sys::fuzz_target!(|data: &[u8]| lock(data));
