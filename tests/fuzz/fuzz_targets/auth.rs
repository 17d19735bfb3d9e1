#![no_main]

use applbuild_fuzz::auth;

libfuzzer_sys::fuzz_target!(|data: &[u8]| auth(data));
