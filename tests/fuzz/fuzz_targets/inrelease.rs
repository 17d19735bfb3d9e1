#![no_main]

use applbuild_fuzz::signed_release;

libfuzzer_sys::fuzz_target!(|data: &[u8]| signed_release(data));
