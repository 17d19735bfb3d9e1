//! The whole program, from archive to image, with an archive that is created and signed here, and with hostile mirrors.

mod archives;
mod builders;
mod cache;
mod hostile;
mod killed;
mod locks;
mod shell;
mod tar_sets;
