//! The squashfs writer, judged by `unsquashfs`.

mod bounds;
mod judge;
