//! From a configured root to the tree of an image: the profile's own files, users and services, pruning, normalising.

pub(crate) mod accounts;
pub(crate) mod glob;
pub(crate) mod ids;
pub(crate) mod manifest;
pub(crate) mod normalise;
pub(crate) mod overlay;
pub(crate) mod prune;
pub(crate) mod services;
pub(crate) mod tree_edit;
