//! Files from `http:`, `https:` and `file:` URLs: connections, attempts, whole transfers.

pub(super) mod credentials;
pub(crate) mod download;
mod hosts;
pub mod http;
mod proxy;
pub(super) mod transfer;
pub(crate) mod url;
