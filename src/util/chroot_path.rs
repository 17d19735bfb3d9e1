//! Resolves paths below a root as in a chroot: an absolute symlink starts at the root, and `..` never leads above it.

use std::collections::VecDeque;

/// The limit of Linux (path_resolution(7)).
const MAX_SYMLINKS: usize = 40;

/// A path below the root, without symlinks, `.` and `..`. Its default is the root.
pub trait RootedPath: Clone + Default {
    /// Why a name cannot be part of a path.
    type Error;

    /// `None` for the root.
    fn parent(&self) -> Option<Self>;

    /// The path of the entry `name` in this directory.
    fn join(&self, name: &[u8]) -> Result<Self, Self::Error>;
}

/// Why a path cannot be resolved.
#[derive(Debug)]
pub enum ChrootError<P: RootedPath, E> {
    /// The path leads through too many symlinks. The last one is `link`.
    Loop { link: P },
    /// A symlink in the directory `directory`, or the path itself, holds an invalid name.
    Name { directory: P, source: P::Error },
    /// Reading a path failed.
    Read(E),
}

/// The path of the directory at `names`, with all symlinks followed. `read_link` returns the target of a symlink,
/// `None` for a directory, and an error for a path that must not be followed.
pub fn resolve<'n, P: RootedPath, E>(
    names: impl IntoIterator<Item = &'n [u8]>,
    mut read_link: impl FnMut(&P) -> Result<Option<Vec<u8>>, E>,
) -> Result<P, ChrootError<P, E>> {
    let mut left: VecDeque<Vec<u8>> = names.into_iter().map(<[u8]>::to_vec).collect();
    let mut directory = P::default();
    let mut followed = 0;
    while let Some(name) = left.pop_front() {
        match name.as_slice() {
            b"" | b"." => continue,
            b".." => {
                directory = directory.parent().unwrap_or_default();
                continue;
            }
            _ => {}
        }
        let next = match directory.join(&name) {
            Ok(next) => next,
            Err(source) => return Err(ChrootError::Name { directory, source }),
        };
        let Some(target) = read_link(&next).map_err(ChrootError::Read)? else {
            directory = next;
            continue;
        };
        followed += 1;
        if followed > MAX_SYMLINKS {
            return Err(ChrootError::Loop { link: next });
        }
        if target.starts_with(b"/") {
            directory = P::default();
        }
        for name in target.split(|&byte| byte == b'/').rev() {
            left.push_front(name.to_vec());
        }
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::TreePath;
    use proptest::prelude::*;
    use std::convert::Infallible;

    proptest! {
        #[test]
        fn never_leaves_the_root(path in "[a./]{0,12}", target in "[a./]{0,8}", links in 0..60) {
            let mut left = links;
            let found = resolve(path.as_bytes().split(|&byte| byte == b'/'), |_: &TreePath| {
                left -= 1;
                Ok::<_, Infallible>((left > 0).then(|| target.clone().into_bytes()))
            });
            if let Ok(found) = found {
                prop_assert!(found.names().all(|name| !matches!(name, b"" | b"." | b"..")), "{}", found);
            }
        }
    }
}
