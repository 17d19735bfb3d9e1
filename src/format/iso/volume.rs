//! Plans, patches and writes a volume with hadris-iso.

use super::convert::{convert, refuse_loss};
use super::device::{Patch, UnsyncedDevice};
use super::{BLOCK, InPlaceFile, IsoError, Options, time};
use crate::tree::{Content, Kind, Tree, TreePath};
use hadris_fs::Node;
use hadris_iso::{AppendedPartition, BootEntry, ElTorito, Hybrid, IsoDate, IsoId, IsoLevel, IsoOptions};
use hadris_storage::host::FileDevice;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// A volume that is not yet written.
#[derive(Debug)]
pub struct Volume {
    tree: hadris_fs::Tree,
    options: IsoOptions,
    in_place: Option<Placeholder>,
}

/// What hadris-iso reads instead of an [`InPlaceFile`]: zeros of the same length, which are not written.
#[derive(Debug)]
struct Placeholder {
    bytes: Range<u64>,
    zeros: File,
}

impl Placeholder {
    fn new(offset: u64, length: u64) -> Result<Self, IsoError> {
        let zeros = memfd_create(c"applbuild-stand-in", MFdFlags::MFD_CLOEXEC).map(File::from);
        let zeros = zeros
            .map_err(Into::into)
            .and_then(|zeros| zeros.set_len(length).map(|()| zeros))
            .map_err(|source| IsoError::Write { source })?;
        Ok(Self { bytes: offset..offset + length, zeros })
    }

    fn content(&self) -> Content {
        let path = format!("/proc/self/fd/{}", self.zeros.as_raw_fd());
        Content::host(path.into(), self.bytes.end - self.bytes.start)
    }
}

/// The layout of a volume.
#[derive(Debug)]
pub struct Layout {
    report: hadris_fs::Report,
}

impl Layout {
    /// Bytes of the whole volume.
    pub fn size(&self) -> u64 {
        self.report.size()
    }

    /// The byte ranges of all files in ascending order, once for each name of a file.
    pub fn contents(&self) -> Vec<Range<u64>> {
        let extents = self.report.files().flat_map(|(_, extents)| extents);
        let places = extents.map(|extent| extent.offset()..extent.end());
        let mut places: Vec<_> = places.filter(|place| !place.is_empty()).collect();
        places.sort_by_key(|place| place.start);
        places
    }

    /// Offset and length of a file's content. Adjacent extents are joined. `None` for an empty file, or if the content
    /// is not contiguous.
    pub fn locate(&self, path: &TreePath) -> Option<(u64, u64)> {
        let bytes = path.to_bytes();
        let extents = self.report.extents(&bytes[1..])?;
        let first = extents.first()?;
        let mut end = first.offset();
        for extent in extents {
            if extent.offset() != end {
                return None;
            }
            end = extent.end();
        }
        Some((first.offset(), end - first.offset()))
    }
}

impl Volume {
    /// Prepares the volume of `tree`. Refuses what it cannot hold, and an in-place file whose offset does not fit.
    pub fn new(tree: &Tree, options: &Options) -> Result<Self, IsoError> {
        let created = time(options.created)?;
        let modified = options.uuid.date().map_err(|source| IsoError::Time { seconds: options.created, source })?;
        let mut iso = IsoOptions::new()
            .with_level(IsoLevel::L3)
            .with_rock_ridge()
            .with_id(IsoId::Volume, &options.label)
            .with_id(IsoId::Application, "APPLBUILD")
            .with_time(created)
            .with_date(IsoDate::Modified, modified)
            // The GUIDs of the partition table are derived from this and the tree.
            .with_seed(modified.unix_seconds() as u64 ^ u64::from(modified.nanoseconds()) << 32);
        if options.joliet {
            iso = iso.with_joliet();
        }
        if let Some(boot) = &options.boot {
            let bios = String::from_utf8_lossy(&boot.bios.to_bytes()).into_owned();
            iso = iso
                .with_el_torito(
                    ElTorito::new()
                        // Four sectors, one CD block: GRUB's cdboot.img loads the rest itself.
                        .with_entry(BootEntry::bios(&bios).with_load_size(4))
                        .with_entry(BootEntry::uefi_appended(0)),
                )
                .with_hybrid(
                    Hybrid::gpt_hybrid_mbr()
                        .with_bootstrap(&boot.mbr)
                        .with_appended(AppendedPartition::esp(hadris_fs::Content::bytes(boot.esp.clone()))),
                );
        }
        let Some(InPlaceFile { path, offset }) = &options.in_place else {
            return Ok(Self { tree: convert(tree)?, options: iso, in_place: None });
        };
        let missing =
            || IsoError::Unsupported { path: path.to_string(), problem: "it is not a file of the tree".into() };
        let id = tree.lookup(path).ok_or_else(missing)?;
        let Kind::File(content) = &tree.node(id).kind else { return Err(missing()) };
        let placeholder = Placeholder::new(*offset, content.len())?;
        let mut tree = tree.clone();
        tree.node_mut(id).kind = Kind::File(placeholder.content());
        let mut volume = Self { tree: convert(&tree)?, options: iso, in_place: Some(placeholder) };
        volume.move_to(path, *offset)?;
        Ok(volume)
    }

    /// Computes the layout. Refuses what hadris-iso would leave out.
    pub fn plan(&self) -> Result<Layout, IsoError> {
        let report = hadris_iso::plan(&self.tree, &self.options).map_err(|source| IsoError::Volume { source })?;
        for warning in report.warnings() {
            refuse_loss(warning)?;
        }
        Ok(Layout { report })
    }

    /// Moves the files by whole blocks, so that the content at `path` begins at `offset`.
    pub(super) fn move_to(&mut self, path: &TreePath, offset: u64) -> Result<(), IsoError> {
        let Some((needed, _)) = self.plan()?.locate(path) else { return Ok(()) };
        let overlap = || IsoError::Overlap { path: path.clone(), offset, needed };
        let missing = offset.checked_sub(needed).filter(|missing| missing % BLOCK == 0).ok_or_else(overlap)? / BLOCK;
        if missing > 0 {
            // 16 blocks of system area, then a descriptor a block (ECMA-119, 6.2.1 and 6.7.1):
            // primary, boot record, Joliet, terminator.
            let descriptors = 2 + u64::from(self.options.joliet()) + u64::from(self.options.el_torito().is_some());
            let first = self.options.min_blocks().max(16 + descriptors);
            self.options = self.options.clone().with_min_blocks(first + missing);
        }
        Ok(())
    }

    /// Replaces the content of the file at `path` by bytes of the same length.
    pub fn replace(&mut self, path: &TreePath, bytes: Vec<u8>) -> Result<(), IsoError> {
        let failed = |source| IsoError::Volume { source };
        let path = path.to_bytes();
        let attributes = self.tree.get(&path).map(|node| *node.attrs()).unwrap_or_default();
        let node = Node::file(hadris_fs::Content::bytes(bytes)).with_attrs(attributes);
        self.tree.replace(&path, node).map_err(failed)
    }

    /// Writes the volume to `file`, which is empty apart from the in-place file. Nothing is synced.
    pub fn write(&self, file: &File) -> Result<Layout, IsoError> {
        self.write_patched(file, &[], &mut |_| {})
    }

    /// [`Volume::write`] with patches. Reports to `written` the offset up to which the file is final.
    pub fn write_patched(
        &self,
        file: &File,
        patches: &[Patch],
        written: &mut dyn FnMut(u64),
    ) -> Result<Layout, IsoError> {
        let left_out = self.in_place.iter().map(|placeholder| placeholder.bytes.clone()).collect();
        self.write_without(left_out, file, patches, written)
    }

    /// The output of [`Volume::write_patched`] in memory, with holes in place of the files' contents.
    pub fn outline(&self, patches: &[Patch]) -> Result<File, IsoError> {
        let file = memfd_create(c"applbuild-outline", MFdFlags::MFD_CLOEXEC).map(File::from);
        let file = file.map_err(|source| IsoError::Write { source: source.into() })?;
        self.write_without(self.plan()?.contents(), &file, patches, &mut |_| {})?;
        Ok(file)
    }

    fn write_without(
        &self,
        left_out: Vec<Range<u64>>,
        file: &File,
        patches: &[Patch],
        written: &mut dyn FnMut(u64),
    ) -> Result<Layout, IsoError> {
        let layout = self.plan()?;
        let device = file.try_clone().and_then(FileDevice::new).map_err(|source| IsoError::Write { source })?;
        hadris_iso::sync::write(UnsyncedDevice { device, left_out, patches, written }, &self.tree, &self.options)
            .map_err(|source| IsoError::Volume { source })?;
        Ok(layout)
    }
}
