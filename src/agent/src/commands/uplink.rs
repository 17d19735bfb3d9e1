//! `appliance uplink`, run by `appliance-uplink.service`.

use super::{CommandError, OK, World};
use crate::uplink::events::Events;
use crate::uplink::run::{self, UplinkContext, UplinkError};
use std::io::Write;
use std::time::Instant;

pub fn run(world: &World<'_>, out: &mut dyn Write) -> Result<u8, CommandError> {
    // Subscribes before the first scan, so that no event is missed in between.
    let mut events = Events::open(&world.at("/run/udev")).map_err(UplinkError::Wait)?;
    let begun = Instant::now();
    let mut context = UplinkContext { world, wait: &mut |bound| events.wait(bound), now: &|| begun.elapsed(), out };
    run::run(&mut context)?;
    Ok(OK)
}
