//! The squashfs writer, verified by `unsquashfs`.

mod bounds;
mod kept;
mod random_trees;
mod refusals;
