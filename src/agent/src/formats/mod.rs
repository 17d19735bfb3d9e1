//! On-disk formats that the agent reads or writes: bytes in, bytes out.

pub mod fnmatch;
pub mod iso;
pub mod iso_writer;
pub mod unit_file;
pub mod verity;
