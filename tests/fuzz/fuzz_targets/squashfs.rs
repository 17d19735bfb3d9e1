#![no_main]

use applbuild_fuzz::squashfs_image;

libfuzzer_sys::fuzz_target!(|data: &[u8]| squashfs_image(data));
