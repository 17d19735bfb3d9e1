//! Extended attributes of files. A file system without any may refuse the question: a squashfs without an attribute
//! table answers EOPNOTSUPP (Linux, fs/squashfs/xattr.c). That means none.

use std::ffi::OsString;
use std::io;
use std::path::Path;

/// Names of the attributes of `path`, of a link itself.
pub fn names(path: &Path) -> io::Result<Vec<OsString>> {
    Ok(none_where_unsupported(xattr::list(path).map(Some))?.into_iter().flatten().collect())
}

/// Gives `to` the attributes of `from`. A file system that cannot hold one is an error that names it: file
/// capabilities and access lists must not get lost in silence.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for name in names(from)? {
        if let Some(value) = none_where_unsupported(xattr::get(from, &name))? {
            xattr::set(to, &name, &value).map_err(|error| {
                io::Error::new(error.kind(), format!("setting the attribute {}: {error}", name.display()))
            })?;
        }
    }
    Ok(())
}

fn none_where_unsupported<T>(answer: io::Result<Option<T>>) -> io::Result<Option<T>> {
    match answer {
        // ENOTSUP is the same number on Linux.
        Err(error) if error.raw_os_error() == Some(nix::libc::EOPNOTSUPP) => Ok(None),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_a_file_system_without_attributes_means_none() {
        let answer = |number| none_where_unsupported::<u8>(Err(io::Error::from_raw_os_error(number)));
        assert_eq!(answer(nix::libc::EOPNOTSUPP).unwrap(), None);
        assert_eq!(answer(nix::libc::EIO).unwrap_err().raw_os_error(), Some(nix::libc::EIO));
        assert_eq!(none_where_unsupported(Ok(Some(1))).unwrap(), Some(1));
    }

    #[test]
    fn an_attribute_that_cannot_be_held_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        if xattr::set(file.path(), "user.kept", b"value").is_err() {
            // The temporary folder's file system holds none of its own: then there is nothing to lose.
            assert_eq!(names(file.path()).unwrap(), Vec::<OsString>::new());
            return;
        }
        let copied = tempfile::NamedTempFile::new().unwrap();
        copy(file.path(), copied.path()).unwrap();
        assert_eq!(xattr::get(copied.path(), "user.kept").unwrap().as_deref(), Some(&b"value"[..]));
        // procfs holds no attributes of users.
        let error = copy(file.path(), Path::new("/proc/self/comm")).unwrap_err().to_string();
        assert!(error.starts_with("setting the attribute user.kept: "), "{error}");
        assert!(copy(Path::new("/proc/self/no such file"), copied.path()).is_err());
        fs::remove_file(file.path()).unwrap();
    }
}
