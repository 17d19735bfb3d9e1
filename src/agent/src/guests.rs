//! Guests on a booted host: which image each runs, its config, its start under
//! Xen or KVM, and its end.

pub mod images;
pub mod programs;
pub mod served;
pub mod state;
pub mod version;
pub mod world;

#[cfg(test)]
pub(crate) mod tests;
