//! The squashfs writer, judged by `unsquashfs`.

mod bounds;
mod judge;
mod kept;
mod random_trees;
mod refusals;
