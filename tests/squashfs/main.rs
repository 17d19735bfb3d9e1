//! The squashfs writer, judged by `unsquashfs`.

mod bounds;
mod kept;
mod random_trees;
mod refusals;
