//! CPU microcode as the uncompressed archive that kernel and Xen look for
//! before anything is unpacked (Documentation/arch/x86/microcode.rst).

use crate::format::cpio::{self, CpioError};
use crate::tree::{Kind, Metadata, Node, PathError, Tree, TreeError, TreePath};

/// Why there is no archive of microcode.
#[derive(Debug, thiserror::Error)]
pub enum MicrocodeError {
    /// A microcode file of the image cannot be read.
    #[error("reading microcode {path}")]
    Read {
        /// The file in the image.
        path: TreePath,
        /// The system's error.
        source: std::io::Error,
    },
    /// The archive's tree cannot be made.
    #[error("gathering microcode")]
    Tree(#[from] TreeError),
    /// As `Tree`.
    #[error("gathering microcode")]
    Path(#[from] PathError),
    /// The archive cannot be written.
    #[error("gathering microcode")]
    Cpio(#[from] CpioError),
}

/// Folder of the image's firmware, and the name under which its files, one
/// after the other, are looked for.
const VENDORS: [(&str, &str); 2] = [
    ("/usr/lib/firmware/intel-ucode", "/kernel/x86/microcode/GenuineIntel.bin"),
    ("/usr/lib/firmware/amd-ucode", "/kernel/x86/microcode/AuthenticAMD.bin"),
];

/// The archive, padded to a multiple of 4 bytes so that another may follow;
/// `None` when the image has no microcode.
pub fn build(tree: &Tree, mtime: i64) -> Result<Option<Vec<u8>>, MicrocodeError> {
    let mut out = Tree::new(Metadata::new(0o755).with_mtime(mtime));
    let mut any = false;
    for (folder, name) in VENDORS {
        let folder = TreePath::parse(folder)?;
        let Some(Kind::Directory(entries)) = tree.get(&folder).map(|node| &node.kind) else { continue };
        let mut bytes = Vec::new();
        // `.asc` files beside AMD's are signatures; `.initramfs` ones of Intel's are for just this use.
        for (file, id) in entries.iter().filter(|(name, _)| !name.ends_with(b".asc") && *name != b"README") {
            if let Kind::File(content) = &tree.node(*id).kind {
                let path = folder.join(file)?;
                bytes.append(&mut content.read().map_err(|source| MicrocodeError::Read { path, source })?);
            }
        }
        if !bytes.is_empty() {
            any = true;
            out.insert(&TreePath::parse(name)?, Node::file(Metadata::new(0o644).with_mtime(mtime), bytes.into()))?;
        }
    }
    if !any {
        return Ok(None);
    }
    let mut archive = cpio::write(&out, Vec::new())?;
    archive.resize(archive.len().next_multiple_of(4), 0);
    Ok(Some(archive))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathers_each_makers_files_in_order() {
        let mut tree = Tree::new(Metadata::new(0o755));
        let mut put = |path: &str, bytes: &[u8]| {
            let node = Node::file(Metadata::new(0o644), bytes.to_vec().into());
            tree.insert(&TreePath::parse(path).unwrap(), node).unwrap();
        };
        put("/usr/lib/firmware/intel-ucode/06-0f-06", b"two");
        put("/usr/lib/firmware/intel-ucode/06-0f-02", b"one ");
        put("/usr/lib/firmware/amd-ucode/microcode_amd.bin", b"amd");
        put("/usr/lib/firmware/amd-ucode/microcode_amd.bin.asc", b"signature");
        let archive = build(&tree, 9).unwrap().unwrap();
        assert_eq!(archive.len() % 4, 0);
        let has = |text: &[u8]| archive.windows(text.len()).any(|window| window == text);
        assert!(has(b"kernel/x86/microcode/GenuineIntel.bin\0"));
        assert!(has(b"one two"));
        assert!(has(b"kernel/x86/microcode/AuthenticAMD.bin\0"));
        assert!(!has(b"signature"));
    }

    #[test]
    fn an_image_without_microcode_gives_no_archive() {
        assert!(build(&Tree::new(Metadata::new(0o755)), 0).unwrap().is_none());
    }
}
