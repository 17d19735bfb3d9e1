//! Variables of the environment that commands read.

use crate::cli::report::failure::Failure;
use std::env::VarError;

/// A variable of the environment.
pub fn variable(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(found)) => Err(Failure::usage(format!("{name}: found {found:?}, expected UTF-8"))),
    }
}

/// SOURCE_DATE_EPOCH; file systems count its seconds in 32 bits.
pub fn source_date_epoch() -> Result<Option<i64>, Failure> {
    let Some(text) = variable("SOURCE_DATE_EPOCH")? else { return Ok(None) };
    let seconds: Result<u32, _> = text.parse();
    seconds.map(|seconds| Some(seconds.into())).map_err(|_| {
        Failure::usage(format!("SOURCE_DATE_EPOCH: found {text:?}, expected seconds since 1970, below 4294967296"))
    })
}

/// The time of a config's files: SOURCE_DATE_EPOCH, else 2026-01-01; never the clock's.
pub fn config_time() -> Result<i64, Failure> {
    Ok(source_date_epoch()?.unwrap_or(1_767_225_600))
}
