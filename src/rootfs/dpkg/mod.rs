//! dpkg's part of an installation, by dpkg's rules: database, diversions, triggers, maintainer scripts.

pub(crate) mod base_set;
pub(crate) mod control;
pub(crate) mod database;
pub(crate) mod depmod;
pub(crate) mod diversions;
pub(crate) mod scripts;
pub(crate) mod triggers;
