#![no_main]

use applbuild_fuzz::tar_set;

libfuzzer_sys::fuzz_target!(|data: &[u8]| tar_set(data));
