#![no_main]

use applbuild_fuzz::release;

libfuzzer_sys::fuzz_target!(|data: &[u8]| release(data));
