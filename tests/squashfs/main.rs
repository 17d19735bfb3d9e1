//! The squashfs writer, judged by `unsquashfs`.

mod bounds;
mod judge;
#[path = "../judges/mod.rs"]
mod judges;
mod kept;
mod random_trees;
mod refusals;
