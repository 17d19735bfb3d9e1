//! A volume: planned, patched and written by hadris-iso.

use super::convert::{convert, refuse_loss};
use super::device::{Patch, Unsynced};
use super::{BLOCK, IsoError, Options, Present, time};
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
    present: Option<StandIn>,
}

/// What hadris-iso reads in the place of a file that is in its place already:
/// nothing but zeros, of the same length, and none of them is written.
#[derive(Debug)]
struct StandIn {
    bytes: Range<u64>,
    zeros: File,
}

impl StandIn {
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

/// Where a volume's parts lie.
#[derive(Debug)]
pub struct Layout {
    report: hadris_fs::Report,
}

impl Layout {
    /// Bytes of the whole volume.
    pub fn size(&self) -> u64 {
        self.report.size()
    }

    /// The bytes of all files, each time one is named, in the order of their places.
    pub fn contents(&self) -> Vec<Range<u64>> {
        let extents = self.report.files().flat_map(|(_, extents)| extents);
        let places = extents.map(|extent| extent.offset()..extent.end());
        let mut places: Vec<_> = places.filter(|place| !place.is_empty()).collect();
        places.sort_by_key(|place| place.start);
        places
    }

    /// Where the file's bytes begin and how many they are; they lie in one
    /// run, however many extents the directory needs to say so. `None` for an
    /// empty file.
    pub fn place(&self, path: &TreePath) -> Option<(u64, u64)> {
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
    /// Prepares the volume of `tree`. Refuses what it cannot hold, and a present file that its place does not fit.
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
            // The partition table's GUIDs come from this and the tree.
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
        let Some(Present { path, offset }) = &options.present else {
            return Ok(Self { tree: convert(tree)?, options: iso, present: None });
        };
        let missing = || IsoError::Unsupported { path: path.to_string(), problem: "it is no file of the tree".into() };
        let id = tree.lookup(path).ok_or_else(missing)?;
        let Kind::File(content) = &tree.node(id).kind else { return Err(missing()) };
        let stand_in = StandIn::new(*offset, content.len())?;
        let mut tree = tree.clone();
        tree.node_mut(id).kind = Kind::File(stand_in.content());
        let mut volume = Self { tree: convert(&tree)?, options: iso, present: Some(stand_in) };
        volume.move_to(path, *offset)?;
        Ok(volume)
    }

    /// Where everything will lie. Refuses what hadris-iso would leave out.
    pub fn plan(&self) -> Result<Layout, IsoError> {
        let report = hadris_iso::plan(&self.tree, &self.options).map_err(|source| IsoError::Volume { source })?;
        for warning in report.warnings() {
            refuse_loss(warning)?;
        }
        Ok(Layout { report })
    }

    /// Moves the files on by as many blocks as it takes for the content at
    /// `path` to begin at `offset`.
    pub(super) fn move_to(&mut self, path: &TreePath, offset: u64) -> Result<(), IsoError> {
        let Some((needed, _)) = self.plan()?.place(path) else { return Ok(()) };
        let room = || IsoError::Room { path: path.clone(), offset, needed };
        let missing = offset.checked_sub(needed).filter(|missing| missing % BLOCK == 0).ok_or_else(room)? / BLOCK;
        if missing > 0 {
            // 16 blocks of system area, then a descriptor a block (ECMA-119, 6.2.1 and 6.7.1):
            // primary, boot record, Joliet, terminator.
            let descriptors = 2 + u64::from(self.options.joliet()) + u64::from(self.options.el_torito().is_some());
            let first = self.options.min_blocks().max(16 + descriptors);
            self.options = self.options.clone().with_min_blocks(first + missing);
        }
        Ok(())
    }

    /// Puts other bytes, of the same length, into the file at `path`.
    pub fn replace(&mut self, path: &TreePath, bytes: Vec<u8>) -> Result<(), IsoError> {
        let failed = |source| IsoError::Volume { source };
        let path = path.to_bytes();
        let attributes = self.tree.get(&path).map(|node| *node.attrs()).unwrap_or_default();
        let node = Node::file(hadris_fs::Content::bytes(bytes)).with_attrs(attributes);
        self.tree.replace(&path, node).map_err(failed)
    }

    /// Writes the volume to `file`, which is empty but for what is present. Nothing is synced.
    pub fn write(&self, file: &File) -> Result<Layout, IsoError> {
        self.write_patched(file, &[], &mut |_| {})
    }

    /// [`Volume::write`] with some bytes replaced on the way; tells `written` up to where the file is what it will be.
    pub fn write_patched(
        &self,
        file: &File,
        patches: &[Patch],
        written: &mut dyn FnMut(u64),
    ) -> Result<Layout, IsoError> {
        let present = self.present.iter().map(|present| present.bytes.clone()).collect();
        self.write_without(present, file, patches, written)
    }

    /// What [`Volume::write_patched`] would write, in memory, with nothing in the place of the files' contents.
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
        hadris_iso::sync::write(Unsynced { device, left_out, patches, written }, &self.tree, &self.options)
            .map_err(|source| IsoError::Volume { source })?;
        Ok(layout)
    }
}
