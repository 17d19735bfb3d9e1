//! ISO 9660 volumes (ECMA-119) with Rock Ridge, through hadris-iso.

use crate::tree::{Content, Kind, Metadata, NodeId, Tree, TreePath};
use hadris_fs::{CivilDate, CivilTime, DateTime, DeviceNumber, FileType, Node, Owner, Permissions, SetAttr, Warning};
use hadris_io::ErrorType;
use hadris_iso::{AppendedPartition, BootEntry, ElTorito, Hybrid, IsoDate, IsoId, IsoLevel, IsoOptions};
use hadris_storage::host::FileDevice;
use hadris_storage::sync::BlockDevice;
use hadris_storage::{BlockIndex, BlockSize};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// Bytes of a logical block.
pub const BLOCK: u64 = 2048;

#[derive(Debug, Clone)]
pub struct Options {
    /// At most 32 characters; systems show it.
    pub label: String,
    /// Seconds since 1970: when the volume says that it was made.
    pub created: i64,
    pub uuid: VolumeUuid,
    /// A second set of names for systems without Rock Ridge.
    pub joliet: bool,
    pub boot: Option<Boot>,
    /// What lies in the volume's file before the rest is written.
    pub present: Option<Present>,
}

/// A file of the tree whose bytes are in their place already. What comes before
/// it on the volume gets the room up to there.
#[derive(Debug, Clone)]
pub struct Present {
    pub path: TreePath,
    /// Where its bytes begin in the volume's file: a multiple of [`BLOCK`].
    pub offset: u64,
}

/// What makes a volume boot, as a disc and as a disk.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The file that a BIOS loads whole from a disc.
    pub bios: TreePath,
    /// The first 440 bytes of a disk's first sector.
    pub mbr: Vec<u8>,
    /// A FAT file system for UEFI, from disc and disk; stored once.
    pub esp: Vec<u8>,
}

/// What blkid, udev and GRUB call the UUID of an ISO 9660 volume: the digits
/// of its modification date (ECMA-119, 8.4.27).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VolumeUuid {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    hundredths: u8,
}

impl VolumeUuid {
    /// A date that is valid in each month, drawn by `hash`.
    pub fn from_hash(hash: &[u8; 32]) -> Self {
        let mut rest = u128::from_be_bytes(std::array::from_fn(|index| hash[index]));
        let mut draw = |limit: u128| {
            let drawn = rest % limit;
            rest /= limit;
            drawn as u8
        };
        Self {
            year: 1980 + u16::from(draw(120)),
            month: 1 + draw(12),
            day: 1 + draw(28),
            hour: draw(24),
            minute: draw(60),
            second: draw(60),
            hundredths: draw(100),
        }
    }

    fn date(self) -> Result<DateTime, hadris_fs::DateTimeError> {
        let date = CivilDate::new(self.year.into(), self.month, self.day)?;
        let time = CivilTime::new(self.hour, self.minute, self.second)?;
        DateTime::from_civil(date, time, None)?.with_nanoseconds(u32::from(self.hundredths) * 10_000_000)
    }
}

impl fmt::Display for VolumeUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, hundredths } = self;
        write!(f, "{year:04}-{month:02}-{day:02}-{hour:02}-{minute:02}-{second:02}-{hundredths:02}")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum IsoError {
    #[error("laying out an ISO 9660 volume")]
    Volume { source: hadris_fs::PathError },
    #[error("ISO 9660 cannot hold {path}: {problem}")]
    Unsupported { path: String, problem: String },
    #[error("reading the content of {path}")]
    Content { path: TreePath, source: std::io::Error },
    #[error(
        "laying out an ISO 9660 volume: {path} lies at byte {offset}, but what comes before it ends at byte {needed}; shorter kernel arguments and names take less room"
    )]
    Room { path: TreePath, offset: u64, needed: u64 },
    #[error("the time {seconds} (seconds since 1970) does not fit ISO 9660")]
    Time { seconds: i64, source: hadris_fs::DateTimeError },
    #[error("writing an ISO 9660 volume")]
    Write { source: std::io::Error },
}

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

    pub fn plan(&self) -> Result<Layout, IsoError> {
        let report = hadris_iso::plan(&self.tree, &self.options).map_err(|source| IsoError::Volume { source })?;
        for warning in report.warnings() {
            refuse_loss(warning)?;
        }
        Ok(Layout { report })
    }

    /// Moves the files on by as many blocks as it takes for the content at
    /// `path` to begin at `offset`.
    fn move_to(&mut self, path: &TreePath, offset: u64) -> Result<(), IsoError> {
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

/// Bytes that a volume gets in the place of hadris-iso's.
#[derive(Debug, Clone)]
pub struct Patch {
    pub offset: u64,
    pub bytes: Vec<u8>,
}

impl Patch {
    fn touches(&self, start: u64, end: u64) -> bool {
        self.offset < end && self.offset + self.bytes.len() as u64 > start
    }

    /// Puts what of it lies in `buffer`, which is of the bytes from `start` on.
    fn apply(&self, start: u64, buffer: &mut [u8]) {
        for (place, &byte) in (self.offset..).zip(&self.bytes) {
            let within = place.checked_sub(start).and_then(|place| buffer.get_mut(usize::try_from(place).ok()?));
            if let Some(within) = within {
                *within = byte;
            }
        }
    }
}

/// A file that its owner syncs, when all of it is written, and of which parts are not written here.
struct Unsynced<'a> {
    device: FileDevice,
    /// In ascending order.
    left_out: Vec<Range<u64>>,
    patches: &'a [Patch],
    written: &'a mut dyn FnMut(u64),
}

impl ErrorType for Unsynced<'_> {
    type Error = std::io::Error;
}

impl BlockDevice for Unsynced<'_> {
    fn block_size(&self) -> BlockSize {
        self.device.block_size()
    }

    fn block_count(&self) -> u64 {
        self.device.block_count()
    }

    fn max_block_count(&self) -> u64 {
        self.device.max_block_count()
    }

    fn writable(&self) -> bool {
        self.device.writable()
    }

    fn read_blocks(&mut self, first: BlockIndex, buffer: &mut [u8]) -> Result<(), hadris_io::Error<std::io::Error>> {
        self.device.read_blocks(first, buffer)
    }

    fn write_blocks(&mut self, first: BlockIndex, buffer: &[u8]) -> Result<(), hadris_io::Error<std::io::Error>> {
        let start = first.get() * u64::from(self.block_size().get());
        let end = start + buffer.len() as u64;
        // hadris-iso writes each file by itself, from a block's start, and all in ascending order.
        let before = self.left_out.partition_point(|range| range.end <= start);
        if let Some(left_out) = self.left_out.get(before).filter(|range| range.contains(&start)) {
            // The rest of its last block exists only once a later block is written.
            (self.written)(end.min(left_out.end));
        } else {
            if self.patches.iter().any(|patch| patch.touches(start, end)) {
                let mut patched = buffer.to_vec();
                self.patches.iter().for_each(|patch| patch.apply(start, &mut patched));
                self.device.write_blocks(first, &patched)?;
            } else {
                self.device.write_blocks(first, buffer)?;
            }
            (self.written)(end);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), hadris_io::Error<std::io::Error>> {
        Ok(())
    }
}

/// What the writer would leave out without failing is an error here, but for
/// names of the systems that know neither Rock Ridge nor long names.
fn refuse_loss(warning: &Warning) -> Result<(), IsoError> {
    use hadris_fs::WarningKind::{Deduplicated, Dropped, Relocated, Renamed, Truncated};
    match warning.kind() {
        Renamed | Truncated | Deduplicated | Relocated | Dropped(_) => Ok(()),
        // Joliet has no symlinks and devices; Rock Ridge, which Linux prefers, has.
        _ if warning.message().to_ascii_lowercase().contains("joliet") => Ok(()),
        _ => Err(IsoError::Unsupported {
            path: String::from_utf8_lossy(warning.path().unwrap_or(b"the volume")).into_owned(),
            problem: warning.message().to_owned(),
        }),
    }
}

fn time(seconds: i64) -> Result<DateTime, IsoError> {
    DateTime::from_unix_seconds(seconds).map_err(|source| IsoError::Time { seconds, source })
}

fn convert(tree: &Tree) -> Result<hadris_fs::Tree, IsoError> {
    let mut out = hadris_fs::Tree::new();
    let mut first_names = HashMap::<NodeId, Vec<u8>>::new();
    for (path, id) in tree.walk() {
        let failed = |source| IsoError::Volume { source };
        let bytes = path.to_bytes();
        let source = tree.node(id);
        if let Some(name) = source.metadata.xattrs.keys().next() {
            return Err(IsoError::Unsupported {
                path: path.to_string(),
                problem: format!("it has the extended attribute {}", String::from_utf8_lossy(name)),
            });
        }
        let node = node(&path, &source.kind)?.with_attrs(attributes(&source.metadata)?);
        if path.is_root() {
            out.replace("/", node).map_err(failed)?;
        } else if let Some(first) = first_names.get(&id) {
            out.link(first, &bytes).map_err(failed)?;
        } else {
            out.insert(&bytes, node).map_err(failed)?;
            first_names.insert(id, bytes);
        }
    }
    Ok(out)
}

fn node(path: &TreePath, kind: &Kind) -> Result<Node, IsoError> {
    Ok(match kind {
        Kind::Directory(_) => Node::dir(),
        Kind::File(content) => Node::file(file_content(path, content)?),
        Kind::Symlink(target) => Node::symlink(target),
        Kind::CharacterDevice { major, minor } => {
            Node::special(FileType::CharDevice, Some(DeviceNumber::new(*major, *minor)))
        }
        Kind::BlockDevice { major, minor } => {
            Node::special(FileType::BlockDevice, Some(DeviceNumber::new(*major, *minor)))
        }
        Kind::Fifo => Node::special(FileType::Fifo, None),
        Kind::Socket => Node::special(FileType::Socket, None),
    })
}

/// hadris-iso reads whole host files as it writes; a part of one has to be held.
fn file_content(path: &TreePath, content: &Content) -> Result<hadris_fs::Content, IsoError> {
    if let Content::Host { path: host, offset: 0, length, .. } = content {
        let whole = hadris_fs::host::file(host.as_path()).map_err(|source| IsoError::Volume { source })?;
        if whole.len() == *length {
            return Ok(whole);
        }
    }
    let bytes = content.read().map_err(|source| IsoError::Content { path: path.clone(), source })?;
    Ok(hadris_fs::Content::bytes(bytes))
}

fn attributes(metadata: &Metadata) -> Result<SetAttr, IsoError> {
    Ok(SetAttr::new()
        .with_permissions(Permissions::new(metadata.mode.into()))
        .with_owner(Owner::new(metadata.uid, metadata.gid))
        // Neither access nor creation time: they would come from the clock.
        .with_modified(time(metadata.mtime)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;
    use appliance_contract::causes::WithCauses as _;
    use proptest::prelude::*;
    use std::io::Read;
    use std::os::unix::fs::FileExt as _;

    fn options() -> Options {
        Options {
            label: "TEST".into(),
            created: 1_700_000_000,
            uuid: VolumeUuid::from_hash(&[7; 32]),
            joliet: true,
            boot: None,
            present: None,
        }
    }

    fn sample() -> Tree {
        let mut sample = Tree::new(Metadata::new(0o755).with_mtime(5));
        let file = tree::Node::file(Metadata::new(0o640).with_mtime(6).with_owner(3, 4), b"first".to_vec().into());
        sample.insert(&TreePath::parse("/a").unwrap(), file).unwrap();
        let file = tree::Node::file(Metadata::new(0o644).with_mtime(6), vec![1; 5000].into());
        sample.insert(&TreePath::parse("/data/root.squashfs").unwrap(), file).unwrap();
        sample.insert(&TreePath::parse("/link").unwrap(), tree::Node::symlink("a", 6)).unwrap();
        sample
    }

    fn written(volume: &Volume) -> Vec<u8> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        volume.write(file.as_file()).unwrap();
        let mut bytes = Vec::new();
        file.reopen().unwrap().read_to_end(&mut bytes).unwrap();
        file.as_file_mut().sync_all().unwrap();
        bytes
    }

    #[test]
    fn the_volume_holds_the_files_at_the_places_it_tells() {
        let volume = Volume::new(&sample(), &options()).unwrap();
        let path = TreePath::parse("/data/root.squashfs").unwrap();
        let (offset, length) = volume.plan().unwrap().place(&path).unwrap();
        assert_eq!(length, 5000);
        let bytes = written(&volume);
        assert_eq!(bytes.len() as u64, volume.plan().unwrap().size());
        assert!(bytes[offset as usize..][..5000].iter().all(|&byte| byte == 1));
        assert_eq!(bytes, written(&volume));
    }

    #[test]
    fn what_is_present_stays_where_it_is() {
        let path = TreePath::parse("/data/root.squashfs").unwrap();
        let natural = Volume::new(&sample(), &options()).unwrap().plan().unwrap().place(&path).unwrap().0;
        for offset in [natural, natural + BLOCK, 1 << 20] {
            let present = Some(Present { path: path.clone(), offset });
            let volume = Volume::new(&sample(), &Options { present, ..options() }).unwrap();
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(&[2; 5000], offset).unwrap();
            let mut told = 0;
            let layout = volume.write_patched(&file, &[], &mut |end| {
                assert!(end <= file.metadata().unwrap().len(), "told of {end}, which is not written");
                told = end;
            });
            let layout = layout.unwrap();
            assert_eq!(told, layout.size());
            assert_eq!(layout.place(&path), Some((offset, 5000)));
            let mut bytes = vec![0; layout.size() as usize];
            file.read_exact_at(&mut bytes, 0).unwrap();
            assert_eq!(file.metadata().unwrap().len(), layout.size());
            assert!(bytes[offset as usize..][..5000].iter().all(|&byte| byte == 2));
            // The rest is as if it were written whole.
            bytes[offset as usize..][..5000].fill(1);
            let mut whole = Volume::new(&sample(), &options()).unwrap();
            whole.move_to(&path, offset).unwrap();
            assert!(bytes == written(&whole), "{offset}");
        }
    }

    #[test]
    fn patches_what_it_writes_and_tells_how_far_that_is() {
        let volume = Volume::new(&sample(), &options()).unwrap();
        let plain = written(&volume);
        for offset in [0, 432, BLOCK - 4, 16 * BLOCK + 100] {
            let file = tempfile::tempfile().unwrap();
            let patches = [Patch { offset: 8, bytes: vec![0; 3] }, Patch { offset, bytes: vec![7; 8] }];
            let mut ends = Vec::new();
            let layout = volume.write_patched(&file, &patches, &mut |end| ends.push(end)).unwrap();
            let mut bytes = vec![0; layout.size() as usize];
            file.read_exact_at(&mut bytes, 0).unwrap();
            assert!(ends.is_sorted() && ends.last() == Some(&layout.size()), "{ends:?}");
            let mut expected = plain.clone();
            expected[offset as usize..][..8].fill(7);
            assert!(bytes == expected, "{offset}");
        }
    }

    #[test]
    fn an_outline_is_the_volume_without_what_is_in_files() {
        let volume = Volume::new(&sample(), &options()).unwrap();
        let patches = [Patch { offset: 100, bytes: vec![7; 8] }];
        let mut expected = written(&volume);
        expected[100..108].fill(7);
        let contents = volume.plan().unwrap().contents();
        assert_eq!(contents.iter().map(|content| content.end - content.start).sum::<u64>(), 5005);
        for content in contents {
            expected[content.start as usize..content.end as usize].fill(0);
        }
        let mut outline = vec![1; expected.len()];
        volume.outline(&patches).unwrap().read_exact_at(&mut outline, 0).unwrap();
        assert!(outline == expected);
    }

    #[test]
    fn refuses_a_place_that_is_taken_or_no_blocks_start() {
        let path = TreePath::parse("/data/root.squashfs").unwrap();
        let volume = |path: &TreePath, offset| {
            let present = Some(Present { path: path.clone(), offset });
            Volume::new(&sample(), &Options { present, ..options() }).map(drop)
        };
        let natural = Volume::new(&sample(), &options()).unwrap().plan().unwrap().place(&path).unwrap().0;
        for offset in [0, natural - BLOCK, natural + 1] {
            let error = volume(&path, offset).unwrap_err().with_causes();
            let expected = format!("{path} lies at byte {offset}, but what comes before it ends at byte {natural};");
            assert!(error.contains(&expected), "{error}");
        }
        let error = volume(&TreePath::parse("/data").unwrap(), 1 << 20).unwrap_err();
        assert_eq!(error.with_causes(), "ISO 9660 cannot hold /data: it is no file of the tree");
    }

    #[test]
    fn the_modification_date_is_the_uuid() {
        let bytes = written(&Volume::new(&sample(), &options()).unwrap());
        let digits: String = options().uuid.to_string().chars().filter(|digit| *digit != '-').collect();
        // ECMA-119, 8.4.27: bytes 831 to 847 of the primary descriptor, in block 16.
        assert_eq!(&bytes[16 * 2048 + 830..][..16], digits.as_bytes());
        // 8.4.26: the creation date stays true; 1700000000 is 2023-11-14 22:13:20.
        assert_eq!(&bytes[16 * 2048 + 813..][..16], b"2023111422132000");
    }

    #[test]
    fn refuses_extended_attributes_by_name() {
        let mut sample = sample();
        let id = sample.lookup(&TreePath::parse("/a").unwrap()).unwrap();
        sample.node_mut(id).metadata.xattrs.insert(b"security.capability".to_vec(), vec![1]);
        let error = Volume::new(&sample, &options()).unwrap_err();
        assert_eq!(error.with_causes(), "ISO 9660 cannot hold /a: it has the extended attribute security.capability");
    }

    proptest! {
        #[test]
        fn every_hash_gives_a_valid_date(hash: [u8; 32]) {
            let uuid = VolumeUuid::from_hash(&hash);
            prop_assert!(uuid.date().is_ok());
            prop_assert_eq!(uuid.to_string().len(), 22);
        }
    }
}
