//! Puts one wired card of the host into the bridge `br0`. Two cards in one
//! bridge could make a loop, so more are the config's to say.
//!
//! Events wake it: the kernel's of links, udev's of devices, and the end of
//! udev's queue. What it does then depends on what `/sys` and udev's records say.

pub mod cards;
pub mod choice;
pub mod events;
pub mod run;
