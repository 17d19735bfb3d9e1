#![no_main]

use applbuild_fuzz::guest;

libfuzzer_sys::fuzz_target!(|data: &[u8]| guest(data));
