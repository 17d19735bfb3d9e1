//! What lies in a folder of the kernel's or of ours, where a missing one is an empty one.

use std::fs;
use std::path::Path;

/// The names in `folder` that are text, in order.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}
