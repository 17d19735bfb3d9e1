//! Packs a directory into a squashfs file, for `ci/bench`: `pack FOLDER FILE LEVEL BLOCK-SIZE` (zstd).

use applbuild::format::squashfs::{self, Compression, NoCache, Options};
use applbuild::progress::Silent;
use applbuild::tree::Tree;
use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::num::NonZero;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, file, level, block_size] = &arguments[..] else {
        return Err("usage: pack FOLDER FILE LEVEL BLOCK-SIZE".into());
    };
    let options = Options {
        compression: Compression::Zstd { level: level.parse()? },
        block_size: block_size.parse()?,
        threads: std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN),
        time: 0,
    };
    let mut tree = Tree::from_directory(Path::new(folder))?;
    // mksquashfs leaves them out without a word: the format has no place for them.
    let nodes: Vec<_> = tree.walk().map(|(_, id)| id).collect();
    for id in nodes {
        tree.node_mut(id).metadata.xattrs.retain(|name, _| !name.starts_with(b"system.posix_acl_"));
    }
    let mut out = BufWriter::new(File::create(file)?);
    squashfs::write(&tree, &options, &NoCache, &mut out, &Silent)?;
    out.into_inner()?.sync_data()?;
    Ok(())
}
