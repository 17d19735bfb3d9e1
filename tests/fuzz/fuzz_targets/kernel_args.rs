#![no_main]

use applbuild_fuzz::kernel_args;

libfuzzer_sys::fuzz_target!(|data: &[u8]| kernel_args(data));
