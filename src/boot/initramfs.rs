//! The initramfs: the agent, the chosen modules and their index; nothing else.

use super::modules::{self, Choice, KernelModules, ModulesError, module, read_module};
use crate::format::cpio::{self, CpioError};
use crate::format::squashfs::{BlockCache, BlockKey, Hit};
use crate::identity;
use crate::profile;
use crate::tree::{Fingerprint, Kind, Metadata, Node, PathError, Tree, TreeError, TreePath};
use crate::util::sha256;
use appliance_contract::initramfs::INDEX;
use std::sync::Arc;

/// A build that passes this has packed more drivers than a start needs.
pub const LIMIT: u64 = 8_000_000;

/// zstd's level: 12 makes an archive of 34 MB smaller by 1.3 %, and takes three times as long.
const LEVEL: i32 = 8;
/// A window of 8 MiB is what the kernel's decompressor takes (lib/decompress_unzstd.c).
const WINDOW_LOG: u32 = 23;

/// A compressed cpio archive for the kernel.
#[derive(Debug, Clone)]
pub struct Initramfs {
    /// zstd-compressed cpio.
    pub bytes: Vec<u8>,
    /// How many kernel modules it holds.
    pub modules: usize,
    /// Bytes before compression.
    pub unpacked: u64,
}

/// Why there is no initramfs.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// Its kernel modules cannot be chosen or read.
    #[error(transparent)]
    Modules(#[from] ModulesError),
    /// Its tree cannot be made.
    #[error("packing the initramfs")]
    Tree(#[from] TreeError),
    /// As `Tree`.
    #[error("packing the initramfs")]
    Path(#[from] PathError),
    /// The archive cannot be written.
    #[error("packing the initramfs")]
    Cpio(#[from] CpioError),
    /// zstd failed.
    #[error("compressing the initramfs")]
    Compress {
        /// The compressor's error.
        source: std::io::Error,
    },
}

impl Initramfs {
    /// Builds it from the modules that `tree` has for kernel `version`, unless
    /// `keeper` has what came of the same modules before: decompressing them, and
    /// compressing them as one, is what takes time.
    pub fn build(
        tree: &Tree,
        version: &str,
        profile: &profile::Initramfs,
        agent: &[u8],
        mtime: i64,
        keeper: &dyn BlockCache,
    ) -> Result<Self, InitramfsError> {
        let choice = KernelModules::read(tree, version)?.choose(profile, version)?;
        let known = fingerprints(tree, version, &choice)?;
        let key = key(&choice, &known, agent, mtime);
        let mut bytes = Vec::new();
        if keeper.get(&key, &mut bytes) != Some(Hit::Compressed) {
            let files = content(tree, version, &choice, &known, agent, mtime)?;
            let archive = cpio::write(&files, Vec::new())?;
            bytes = compress(&archive).map_err(|source| InitramfsError::Compress { source })?;
            keeper.put(&key, Some(&bytes));
        }
        // `compress` has it in the frame's header (RFC 8878 3.1.1.1.4).
        let unpacked = zstd::zstd_safe::get_frame_content_size(&bytes).ok().flatten().unwrap_or(0);
        Ok(Self { bytes, modules: choice.packed.len(), unpacked })
    }
}

/// What the chosen modules' files are known by, in their order.
fn fingerprints(tree: &Tree, version: &str, choice: &Choice) -> Result<Vec<Arc<Fingerprint>>, ModulesError> {
    let known = choice.packed.iter().map(|(_, below)| {
        let path = || format!("{}/kernel/{below}", modules::folder(version));
        module(tree, version, below)?.fingerprint().map_err(|source| ModulesError::Read { path: path(), source })
    });
    known.collect()
}

/// All that [`content`] is made of, and how it is made and compressed.
fn key(choice: &Choice, known: &[Arc<Fingerprint>], agent: &[u8], mtime: i64) -> BlockKey {
    let program = identity::sha256();
    let mut text = format!("{program}\n{mtime}\n{}\n", sha256::of(agent));
    for ((name, below), known) in choice.packed.iter().zip(known) {
        // Its ending says how it is compressed.
        text.push_str(&format!("{name} {below} {}\n", hex::encode(known.digest())));
    }
    text.push_str(&choice.index.render());
    BlockKey::of(&format!("initramfs, zstd {LEVEL}, window {WINDOW_LOG}"), text.as_bytes())
}

/// One thread and the content's length in the header: the bytes depend on nothing else.
fn compress(archive: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.set_parameter(zstd::zstd_safe::CParameter::WindowLog(WINDOW_LOG))?;
    compressor.compress(archive)
}

fn content(
    tree: &Tree,
    version: &str,
    choice: &Choice,
    known: &[Arc<Fingerprint>],
    agent: &[u8],
    mtime: i64,
) -> Result<Tree, InitramfsError> {
    let metadata = |mode| Metadata::new(mode).with_mtime(mtime);
    let mut files = Tree::new(metadata(0o755));
    let mut put = |path: &str, node: Node| files.insert(&TreePath::parse(path)?, node).map(drop);
    for folder in ["/proc", "/sys", "/dev", "/run", "/sysroot", "/config"] {
        put(folder, Node::directory(metadata(0o755)))?;
    }
    // The kernel opens /dev/console before /init has mounted anything.
    put("/dev/console", Node { metadata: metadata(0o600), kind: Kind::CharacterDevice { major: 5, minor: 1 } })?;
    put("/dev/null", Node { metadata: metadata(0o666), kind: Kind::CharacterDevice { major: 1, minor: 3 } })?;
    put("/init", Node::file(metadata(0o755), agent.to_vec().into()))?;
    for ((name, below), known) in choice.packed.iter().zip(known) {
        let module = read_module(tree, version, below, known)?;
        let path = choice.index.modules[name].file.as_deref().unwrap_or(name);
        put(path, Node::file(metadata(0o644), module.into()))?;
    }
    put(INDEX, Node::file(metadata(0o644), choice.index.render().into_bytes().into()))?;
    Ok(files)
}
