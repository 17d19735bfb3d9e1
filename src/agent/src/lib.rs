//! What the agent's two programs are made of: PID 1's boot flow, the node's
//! command, and the choices they make, without I/O of their own so that they can
//! be tested. Two, so that what boots stays below 2 MB.

#![warn(missing_docs)]

pub mod boot;
pub mod commands;
pub mod etc_plan;
pub mod formats;
pub mod generator;
pub mod guests;
pub mod init;
pub mod medium_check;
pub mod probe;
pub mod system;
pub mod uplink;
