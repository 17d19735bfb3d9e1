//! `appliance uplink`, which the unit of that name runs.

use super::{CommandError, OK, World};
use crate::uplink::events::Events;
use crate::uplink::run::{self, Setting, UplinkError};
use std::io::Write;
use std::time::Instant;

pub fn run(world: &World<'_>, out: &mut dyn Write) -> Result<u8, CommandError> {
    // Before the first look, so that nothing is missed between the two.
    let mut events = Events::open(&world.at("/run/udev")).map_err(UplinkError::Wait)?;
    let begun = Instant::now();
    let mut setting = Setting { world, wait: &mut |bound| events.wait(bound), now: &|| begun.elapsed(), out };
    run::run(&mut setting)?;
    Ok(OK)
}
