//! Puts one wired card of the host into the bridge `br0`. Two cards in one bridge
//! could make a loop, so more than one needs a config.
//!
//! Events wake it: link events of the kernel, device events of udev, and the end of
//! udev's queue. It decides by the state in `/sys` and in udev's database.

pub mod cards;
pub mod choice;
pub mod events;
pub mod run;
