//! A file for each command: its flags in, requests out.

pub mod archive;
pub mod boot;
pub mod cache;
pub mod completions;
pub mod config;
pub mod diff;
pub mod guest;
pub mod help;
pub mod init;
pub mod iso;
pub mod lock;
pub mod man;
pub mod profile;
pub mod schema;
pub mod shell;
pub mod tar;
pub mod test;
