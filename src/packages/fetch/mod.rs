//! Files from `http:`, `https:` and `file:` URLs: connections, attempts, whole transfers.

pub mod download;
mod hosts;
pub mod http;
mod proxy;
pub(super) mod transfer;
pub mod url;
