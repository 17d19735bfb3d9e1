//! The program from archive to image: with an archive that is made and signed here, and a mirror as bad as can be.

mod archives;
mod builders;
mod cache;
mod hostile;
mod killed;
mod locks;
mod shell;
mod tar_sets;
