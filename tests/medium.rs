//! The medium's writers, verified by other tools: xorriso, sgdisk, fsck.fat, cpio, zstd, sha256sum.

use applbuild::boot::grub::{GrubError, Loader};
use applbuild::differ;
use applbuild::fleet::{self, ConfigFormat, ConfigImage, ConfigTree};
use applbuild::format::fat::{Fat, FatOptions};
use applbuild::format::gpt::{self, Partition};
use applbuild::format::iso::VolumeUuid;
use applbuild::format::squashfs::Compression;
use applbuild::output::{Artifact, Guest, GuestDirectory, Image, Input, Iso, Output as _, OutputError, Root, Tar};
use applbuild::packages::Lock;
use applbuild::profile::{self, Architecture, Boot, Hypervisor, OnMissing, Profile, Protocol, RootFormat};
use applbuild::progress::Silent;
use applbuild::rootfs;
use applbuild::tree::{Content, Kind, Metadata, Node, Tree, TreePath};
use applbuild_test_support::judges;
use appliance_agent::medium_check::{MediumContext, check};
use appliance_contract::causes::WithCauses as _;
use appliance_contract::guest_image::kernel_arguments;
use appliance_contract::kernel_args::{KernelArgs, RootSource};
use appliance_contract::manifest::{Manifest, Verity};
use appliance_contract::marker::Role;
use appliance_contract::medium_record::{self, MediumRecord, Part};
use appliance_contract::{Schema, initramfs::ModuleIndex};
use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Output;

const VERSION: &str = "6.12.1-test";
const DATE: i64 = 1_790_000_000;

/// A fake boot loader of the right sizes and formats.
#[derive(Debug)]
struct Shapes;

impl Loader for Shapes {
    fn boot_hybrid(&self) -> Result<Vec<u8>, GrubError> {
        Ok(vec![0x90; 440])
    }

    fn core_image(&self, uuid: VolumeUuid) -> Result<Vec<u8>, GrubError> {
        let mut core = vec![0x90; 40_001];
        core[3000..3022].copy_from_slice(uuid.to_string().as_bytes());
        Ok(core)
    }

    fn esp(&self, _: VolumeUuid, _: bool) -> Result<Vec<u8>, GrubError> {
        Ok(esp())
    }

    fn efi_modules(&self) -> Result<Vec<(String, Content)>, GrubError> {
        Ok(vec![("/boot/grub/x86_64-efi/elf.mod".into(), b"module".to_vec().into())])
    }
}

fn esp() -> Vec<u8> {
    let mut tree = Tree::new(Metadata::new(0o755));
    for (name, size) in [("/EFI/BOOT/BOOTX64.EFI", 900_000), ("/EFI/BOOT/a name that is long.efi", 10), ("/empty", 0)] {
        put(&mut tree, name, vec![7; size]);
    }
    Fat::plan(&tree).unwrap().write(&FatOptions { size: 8 << 20, label: "EFI".into(), volume_id: 7 }).unwrap()
}

fn put(tree: &mut Tree, path: &str, bytes: Vec<u8>) {
    let node = Node::file(Metadata::new(0o644).with_mtime(DATE), bytes.into());
    tree.insert(&TreePath::parse(path).unwrap(), node).unwrap();
}

/// An image with all that a medium needs.
fn image() -> Tree {
    let mut tree = Tree::new(Metadata::new(0o755).with_mtime(DATE));
    put(&mut tree, &format!("/boot/vmlinuz-{VERSION}"), vec![1; 100_000]);
    put(&mut tree, "/boot/xen-4.20-amd64.gz", vec![2; 50_000]);
    put(&mut tree, "/usr/lib/firmware/intel-ucode/06-0f-02", vec![3; 2048]);
    let folder = format!("/usr/lib/modules/{VERSION}");
    put(&mut tree, &format!("{folder}/kernel/drivers/block/loop.ko"), b"\x7fELF loop".to_vec());
    put(&mut tree, &format!("{folder}/kernel/drivers/ata/ahci.ko"), b"\x7fELF ahci".to_vec());
    let dependencies = "kernel/drivers/block/loop.ko:\nkernel/drivers/ata/ahci.ko: kernel/drivers/block/loop.ko\n";
    put(&mut tree, &format!("{folder}/modules.dep"), dependencies.into());
    put(&mut tree, &format!("{folder}/modules.alias"), b"alias pci:v*d*sv*sd*bc01sc06i01* ahci\n".to_vec());
    put(&mut tree, &format!("{folder}/modules.softdep"), Vec::new());
    put(&mut tree, &format!("{folder}/modules.builtin"), b"kernel/fs/nls/nls_cp437.ko\n".to_vec());
    tree
}

fn profile(format: RootFormat) -> Profile {
    let ours = format == RootFormat::Squashfs;
    Profile {
        name: "host".into(),
        kind: Role::Host,
        version: "2026.11.1".into(),
        architecture: Architecture::Amd64,
        archives: Default::default(),
        suites: Vec::new(),
        packages: Vec::new(),
        recommends: false,
        overlays: Vec::new(),
        sets: Vec::new(),
        boot: Boot {
            hypervisors: if ours { vec![Hypervisor::Xen, Hypervisor::Kvm] } else { Vec::new() },
            kernel: None,
            protocol: Protocol::Linux,
            kernel_arguments: Vec::new(),
            xen_arguments: Vec::new(),
            consoles: vec!["tty0".into(), "ttyS0,115200".into()],
            on_missing: OnMissing::Shell,
            menu_timeout: 5,
            secure_boot: true,
        },
        services: Default::default(),
        root: profile::Root { format, compression: Compression::Zstd { level: 15 }, block_size: 131_072 },
        prune: Default::default(),
        agent: ours,
        initramfs: Default::default(),
        volume_label: "HOST".into(),
        source_date_epoch: Some(DATE),
        variables: Default::default(),
        guests: Vec::new(),
    }
}

fn lock() -> Lock {
    Lock {
        schema: Schema::CURRENT,
        profile: "host".into(),
        architecture: "amd64".into(),
        request: String::new(),
        date: DATE,
        suites: Vec::new(),
        sets: Vec::new(),
        ids: Default::default(),
        packages: Vec::new(),
        tools: Vec::new(),
        guests: Vec::new(),
    }
}

fn recorded(profile: &Profile, lock: &Lock) -> Manifest {
    rootfs::manifest(profile, lock, "2026.11.1", DATE).unwrap()
}

fn described<'a>(profile: &'a Profile, lock: &'a Lock, tree: &'a Tree, manifest: &'a Manifest) -> Image<'a> {
    Image {
        profile,
        version: "2026.11.1",
        lock,
        lock_sha256: [1; 32].into(),
        source_date: DATE,
        tree,
        agent: profile.agent.then_some(b"\x7fELF agent".as_slice()),
        manifest,
        initramfs: None,
    }
}

fn guest_input<'a>(image: Image<'a>, file: &'a Path, verity: &'a Verity, path: &'a Path) -> Input<'a> {
    let root = Root::Squashfs { file, offset: 0, verity };
    Input { image, root, guests: &[], loader: None, templates: None, lock_text: "lock", path }
}

fn manifest_of(artifact: &Artifact) -> Manifest {
    serde_json::from_slice(&artifact.manifest_json).unwrap()
}

/// The directory of a guest image of [`image`].
fn guest_folder(folder: &Path, name: &str, root: &[u8]) -> Result<Manifest, OutputError> {
    let file = folder.join(format!("{name}.squashfs"));
    fs::write(&file, root).unwrap();
    let verity = Verity {
        uuid: String::new(),
        salt: String::new(),
        root_hash: [0xab; 32].into(),
        hash_offset: 0,
        data_blocks: 0,
    };
    let mut profile = profile(RootFormat::Squashfs);
    (profile.name, profile.kind) = (name.to_owned(), Role::Guest);
    let (lock, tree) = (lock(), image());
    let recorded = recorded(&profile, &lock);
    let image = described(&profile, &lock, &tree, &recorded);
    let path = folder.join(name);
    let input = guest_input(image, &file, &verity, &path);
    GuestDirectory.lay_out(&input, &Silent).map(|guest| manifest_of(&guest))
}

/// The medium of [`image`] in `folder`.
fn make(folder: &Path, tree: &Tree, format: RootFormat) -> Artifact {
    make_with(folder, tree, format, &[])
}

fn make_with(folder: &Path, tree: &Tree, format: RootFormat, guests: &[Guest<'_>]) -> Artifact {
    let verity = Verity {
        uuid: String::new(),
        salt: String::new(),
        root_hash: [0xab; 32].into(),
        hash_offset: 0,
        data_blocks: 0,
    };
    let (profile, lock) = (profile(format), lock());
    let plain = format == RootFormat::Plain;
    let recorded = recorded(&profile, &lock);
    let image = described(&profile, &lock, tree, &recorded);
    let location = Iso.root_location(&profile);
    let offset = location.map_or(0, |location| (location.offset)(image.manifest, guests.len()));
    let (root, bytes) = (folder.join("medium.part"), vec![5; 1_000_001]);
    if !plain {
        fs::File::create_new(&root).unwrap().write_all_at(&bytes, offset).unwrap();
    }
    let input = Input {
        image,
        root: if plain { Root::Plain } else { Root::Squashfs { file: &root, offset, verity: &verity } },
        guests,
        loader: Some(&Shapes),
        templates: None,
        lock_text: "",
        path: &folder.join("host.iso"),
    };
    Iso.lay_out(&input, &Silent).unwrap()
}

fn judge(program: &str, arguments: &[&str], folder: &Path) -> Output {
    judges::judge(program).args(arguments).current_dir(folder).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

fn xorriso(folder: &Path, arguments: &[&str]) -> String {
    let output = judge("xorriso", arguments, folder);
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn xorriso_finds_all_that_boots() {
    let folder = tempfile::tempdir().unwrap();
    let medium = make(folder.path(), &image(), RootFormat::Squashfs);
    let report =
        xorriso(folder.path(), &["-indev", "host.iso", "-report_el_torito", "plain", "-report_system_area", "plain"]);
    for line in [
        "System area summary: MBR protective-msdos-label grub2-mbr cyl-align-off GPT",
        "El Torito img path :   1  /boot/grub/i386-pc/eltorito.img",
        "El Torito img opts :   1  boot-info-table grub2-boot-info",
        "GPT partname local :   2  EFI System Partition",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
    assert!(report.contains("El Torito boot img :   2  UEFI  y   none  0x0000  0x00  16384"), "{report}");
    let found = judge("sgdisk", &["--verify", "host.iso"], folder.path());
    assert!(text(&found).contains("No problems found"), "{}", text(&found));
    let blkid = judge("blkid", &["-p", "-o", "value", "-s", "UUID", "host.iso"], folder.path());
    assert_eq!(text(&blkid).trim(), manifest_of(&medium).medium_uuid.unwrap());
}

#[test]
fn what_is_extracted_agrees_with_the_checksums_and_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let medium = make(folder.path(), &image(), RootFormat::Squashfs);
    xorriso(folder.path(), &["-osirrox", "on", "-indev", "host.iso", "-extract", "/", "out"]);
    let out = folder.path().join("out");
    let found = judge("sha256sum", &["--check", "--strict", "appliance/SHA256SUMS"], &out);
    assert!(found.status.success(), "{}", text(&found));
    let manifest: Manifest = serde_json::from_slice(&fs::read(out.join("appliance/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest, manifest_of(&medium));
    assert_eq!(fs::read(out.join("appliance/manifest.json")).unwrap(), medium.manifest_json);
    let listed = manifest.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>();
    for path in ["/.disk/info", "/boot/xen.gz", "/appliance/sbom.spdx.json"] {
        assert!(listed.contains(&path), "{path}: {listed:?}");
    }
    // Every file except the manifest and the list of checksums.
    let count = text(&judge("find", &[".", "-type", "f"], &out)).lines().count();
    assert_eq!(listed.len() + 2, count);
    let menu = fs::read_to_string(out.join("boot/grub/grub.cfg")).unwrap();
    for entry in &manifest.boot_entries {
        assert!(menu.contains(&entry.kernel_arguments), "{menu}");
    }
}

#[test]
fn the_root_image_lies_in_one_run_on_a_page() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &image(), RootFormat::Squashfs);
    let report = xorriso(
        folder.path(),
        &["-indev", "host.iso", "-find", "/appliance/root.squashfs", "-exec", "report_lba", "--"],
    );
    let line = report.lines().find(|line| line.contains("root.squashfs")).unwrap();
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let block: usize = fields[1].parse().unwrap();
    assert_eq!(block % 2, 0, "{line}");
    let iso = fs::read(folder.path().join("host.iso")).unwrap();
    assert!(iso[block * 2048..][..1_000_001].iter().all(|&byte| byte == 5));
}

#[test]
fn two_runs_give_the_same_bytes_and_other_input_another_uuid() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut other = image();
    put(&mut other, &format!("/boot/vmlinuz-{VERSION}"), vec![9; 100_000]);
    let first = make(folders[0].path(), &image(), RootFormat::Squashfs);
    let second = make(folders[1].path(), &image(), RootFormat::Squashfs);
    let third = make(folders[2].path(), &other, RootFormat::Squashfs);
    assert_eq!((first.sha256, manifest_of(&first).medium_uuid), (second.sha256, manifest_of(&second).medium_uuid));
    assert_ne!(manifest_of(&first).medium_uuid, manifest_of(&third).medium_uuid);
    assert_eq!(fs::metadata(&first.path).unwrap().len(), first.size);
}

#[test]
fn the_initramfs_is_what_zstd_and_cpio_read() {
    let folder = tempfile::tempdir().unwrap();
    let medium = make(folder.path(), &image(), RootFormat::Squashfs);
    assert!(medium.initramfs_size.is_some_and(|size| size < 8_000_000));
    xorriso(folder.path(), &["-osirrox", "on", "-indev", "host.iso", "-extract", "/boot", "boot"]);
    let boot = folder.path().join("boot");
    let unpacked = judge("zstd", &["-d", "-q", "initramfs.zst", "-o", "initramfs.cpio"], &boot);
    assert!(unpacked.status.success(), "{}", text(&unpacked));
    let listed = text(&judge("cpio", &["-tvn", "--quiet", "-F", "initramfs.cpio"], &boot));
    for line in ["crw-------   1 0        0          5,   1", "-rwxr-xr-x   1 0        0              10"] {
        assert!(listed.contains(line), "{line}\n{listed}");
    }
    let taken = judge("cpio", &["-id", "--quiet", "-F", "initramfs.cpio", "lib/modules/*"], &boot);
    // Works also unprivileged: there is no device among these.
    assert!(taken.status.success() || boot.join("lib/modules/index").exists(), "{}", text(&taken));
    let index = ModuleIndex::parse(&fs::read_to_string(boot.join("lib/modules/index")).unwrap()).unwrap();
    assert_eq!(index.modules["ahci"].needs, ["loop"]);
    assert_eq!(fs::read(boot.join("lib/modules/ahci.ko")).unwrap(), b"\x7fELF ahci");
    let microcode = text(&judge("cpio", &["-t", "--quiet", "-F", "microcode.cpio"], &boot));
    assert!(microcode.contains("kernel/x86/microcode/GenuineIntel.bin"), "{microcode}");
}

#[test]
fn a_plain_root_keeps_modes_owners_links_and_devices() {
    let folder = tempfile::tempdir().unwrap();
    let mut tree = image();
    let path = |text: &str| TreePath::parse(text).unwrap();
    let secret = Metadata::new(0o4750).with_owner(3, 7).with_mtime(DATE - 5);
    let id = tree.insert(&path("/bin/su"), Node::file(secret, b"su".to_vec().into())).unwrap();
    tree.link(&path("/bin/su2"), id).unwrap();
    tree.insert(&path("/etc/link"), Node::symlink("../bin/su", DATE)).unwrap();
    let device = Node { metadata: Metadata::new(0o600), kind: Kind::CharacterDevice { major: 5, minor: 1 } };
    tree.insert(&path("/dev/console"), device).unwrap();
    let medium = make(folder.path(), &tree, RootFormat::Plain);
    let entry = &manifest_of(&medium).boot_entries[0];
    assert_eq!((entry.id.as_str(), medium.initramfs_size), ("system", None));
    let listed = xorriso(folder.path(), &["-indev", "host.iso", "-find", "/", "-exec", "lsdl", "--"]);
    let line =
        |name: &str| listed.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {listed}"));
    let words = line("'/bin/su'").split_whitespace().collect::<Vec<_>>();
    assert_eq!((words[0], &words[2..5]), ("-rwsr-x---", ["3", "7", "2"].as_slice()));
    // Both names have the same content.
    let places = xorriso(folder.path(), &["-indev", "host.iso", "-find", "/bin", "-exec", "report_lba", "--"]);
    let blocks: Vec<_> =
        places.lines().filter(|line| line.contains("/su")).filter_map(|line| line.split(',').nth(1)).collect();
    assert_eq!(blocks.len(), 2, "{places}");
    assert_eq!(blocks[0], blocks[1]);
    assert!(line("'/etc/link'").ends_with("-> '../bin/su'"), "{listed}");
    assert!(line("'/dev/console'").starts_with("crw-------"), "{listed}");
    let menu = xorriso(folder.path(), &["-osirrox", "on", "-indev", "host.iso", "-extract", "/boot/grub", "grub"]);
    let menu = fs::read_to_string(folder.path().join("grub/grub.cfg")).unwrap_or(menu);
    assert!(menu.contains(&format!("  linux /boot/vmlinuz-{VERSION} console=tty0 console=ttyS0,115200\n")), "{menu}");
}

#[test]
fn nothing_stands_under_the_name_of_a_medium_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let (profile, lock, tree) = (profile(RootFormat::Squashfs), lock(), image());
    let verity = Verity {
        uuid: String::new(),
        salt: String::new(),
        root_hash: [0xab; 32].into(),
        hash_offset: 0,
        data_blocks: 0,
    };
    let recorded = recorded(&profile, &lock);
    let input = Input {
        image: described(&profile, &lock, &tree, &recorded),
        root: Root::Squashfs { file: &folder.path().join("gone"), offset: 0, verity: &verity },
        guests: &[],
        loader: Some(&Shapes),
        templates: None,
        lock_text: "",
        path: &folder.path().join("host.iso"),
    };
    let error = Iso.lay_out(&input, &Silent).unwrap_err();
    assert!(error.with_causes().contains("gone"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn sha256sum_and_the_manifest_agree_with_a_guests_folder() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = guest_folder(folder.path(), "guest", &[5; 8192]).unwrap();
    let place = folder.path().join("guest");
    let checked = text(&judge("sha256sum", &["--check", "SHA256SUMS"], &place));
    for name in ["root.squashfs", "vmlinuz", "initramfs.zst", "manifest.json", "sbom.spdx.json", "lock"] {
        assert!(checked.contains(&format!("{name}: OK\n")), "{checked}");
    }
    let read: Manifest = serde_json::from_slice(&fs::read(place.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(read, manifest);
    let arguments = kernel_arguments(&read.guest.unwrap().kernel_arguments, "xvda");
    let parsed = KernelArgs::parse(&arguments).unwrap();
    assert_eq!((parsed.role, parsed.root), (Role::Guest, RootSource::Device { name: "xvda".into() }));
    assert_eq!(parsed.root_hash, Some([0xab; 32].into()));
    // The host chooses the consoles.
    assert!(!arguments.contains("console="), "{arguments}");
}

#[test]
fn a_guest_whose_making_failed_leaves_an_error_and_the_agent_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    guest_folder(folder.path(), "guest", b"a").unwrap();
    assert!(guest_folder(folder.path(), "guest", b"b").unwrap_err().with_causes().contains("guest"));
    let (lock, tree, mut profile) = (lock(), image(), profile(RootFormat::Squashfs));
    profile.agent = false;
    let verity = Verity {
        uuid: String::new(),
        salt: String::new(),
        root_hash: [0xab; 32].into(),
        hash_offset: 0,
        data_blocks: 0,
    };
    let recorded = recorded(&profile, &lock);
    let image = described(&profile, &lock, &tree, &recorded);
    let (root, place) = (folder.path().join("guest.squashfs"), folder.path().join("other"));
    let input = guest_input(image, &root, &verity, &place);
    assert!(matches!(GuestDirectory.lay_out(&input, &Silent), Err(OutputError::NoAgent { .. })));
}

#[test]
fn guests_lie_on_the_medium_and_equal_files_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut manifests = Vec::new();
    for (name, byte) in [("guest", 8), ("guest-web", 9)] {
        manifests.push((folder.path().join(name), guest_folder(folder.path(), name, &[byte; 200_000]).unwrap()));
    }
    let alone = make(folder.path(), &image(), RootFormat::Squashfs).size;
    let guests: Vec<Guest<'_>> =
        manifests.iter().map(|(folder, manifest)| Guest { directory: folder, manifest }).collect();
    let medium = make_with(folder.path(), &image(), RootFormat::Squashfs, &guests);
    let manifest = manifest_of(&medium);
    let listed: Vec<(&str, &str)> =
        manifest.guests.iter().map(|guest| (guest.name.as_str(), guest.path.as_str())).collect();
    assert_eq!(listed, [("guest", "/appliance/guests/guest"), ("guest-web", "/appliance/guests/guest-web")]);
    xorriso(folder.path(), &["-osirrox", "on", "-indev", "host.iso", "-extract", "/appliance/guests", "out"]);
    for (place, manifest) in &manifests {
        for file in ["root.squashfs", "vmlinuz", "initramfs.zst", "manifest.json"] {
            let found = fs::read(folder.path().join("out").join(&manifest.name).join(file)).unwrap();
            assert_eq!(found, fs::read(place.join(file)).unwrap(), "{file}");
        }
    }
    // Two roots of 200 kB, one kernel of 100 kB instead of two, and little else.
    let more = medium.size - alone;
    assert!((500_000..590_000).contains(&more), "{more}");
}

#[test]
fn a_guests_file_that_changed_is_not_laid_onto_a_medium() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = guest_folder(folder.path(), "guest", b"root").unwrap();
    let place = folder.path().join("guest");
    fs::write(place.join("vmlinuz"), "other").unwrap();
    let guests = [Guest { directory: &place, manifest: &manifest }];
    let (profile, lock, tree) = (profile(RootFormat::Squashfs), lock(), image());
    let verity = Verity {
        uuid: String::new(),
        salt: String::new(),
        root_hash: [0xab; 32].into(),
        hash_offset: 0,
        data_blocks: 0,
    };
    let recorded = recorded(&profile, &lock);
    let input = Input {
        image: described(&profile, &lock, &tree, &recorded),
        root: Root::Squashfs { file: &folder.path().join("guest.squashfs"), offset: 0, verity: &verity },
        guests: &guests,
        loader: Some(&Shapes),
        templates: None,
        lock_text: "",
        path: &folder.path().join("host.iso"),
    };
    assert!(matches!(Iso.lay_out(&input, &Silent), Err(OutputError::GuestFile { .. })));
}

fn record_of(iso: &[u8]) -> MediumRecord {
    let bytes = iso[medium_record::OFFSET as usize..][..medium_record::SIZE].try_into().unwrap();
    MediumRecord::parse(bytes).unwrap().unwrap()
}

#[test]
fn the_record_tells_where_the_parts_of_a_medium_are() {
    let folder = tempfile::tempdir().unwrap();
    let medium = make(folder.path(), &image(), RootFormat::Squashfs);
    let iso = fs::read(&medium.path).unwrap();
    let record = record_of(&iso);
    assert_eq!(record.length(), medium.size);
    let bytes = |part| {
        let range = record.range(part);
        &iso[range.start as usize..range.end as usize]
    };
    assert!(bytes(Part::Esp) == esp());
    let found = text(&judge("sgdisk", &["--info=2", "host.iso"], folder.path()));
    assert!(found.contains(&format!("First sector: {} ", record.range(Part::Esp).start / 512)), "{found}");
    let found = text(&judge("sgdisk", &["--info=2", "host.iso"], folder.path()));
    assert!(found.contains(&format!("Last sector: {} ", record.range(Part::Esp).end / 512 - 1)), "{found}");
    // ECMA-119, 8.4.14: the path table; El Torito 1.0, 2.0: the catalog, whose validation entry ends with the key bytes.
    let table = u64::from(u32::from_le_bytes(iso[16 * 2048 + 140..][..4].try_into().unwrap())) * 2048;
    let catalog = u64::from(u32::from_le_bytes(iso[17 * 2048 + 71..][..4].try_into().unwrap())) * 2048;
    assert!(record.range(Part::Catalog).contains(&table) && record.range(Part::Catalog).contains(&catalog));
    assert_eq!(iso[catalog as usize + 30..][..2], [0x55, 0xaa]);
    // Between the catalog and the backup table is only padding; all of the table follows it.
    let (padding, backup) = bytes(Part::End).split_at(bytes(Part::End).len() - 33 * 512);
    assert!(padding.iter().all(|&byte| byte == 0) && padding.len() >= 150 * 2048);
    assert!(backup[32 * 512..].starts_with(b"EFI PART"));
}

/// Offsets to test: each part's first and last byte, and random ones of the whole medium.
#[test]
fn the_agent_finds_a_medium_good_and_every_damage_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let medium = make(folder.path(), &image(), RootFormat::Squashfs);
    let mut iso = fs::read(&medium.path).unwrap();
    let good = check(&iso, &MediumContext::default());
    assert!(good.damaged.is_empty() && !good.is_unrecorded && !good.tables_changed, "{good:#?}");
    assert_eq!(good.length, Some(medium.size));
    let record = record_of(&iso);
    let ends = Part::ALL.map(|part| record.range(part)).into_iter().flat_map(|range| [range.start, range.end - 1]);
    let drawn = (1..60_u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % medium.size);
    for at in ends.chain(drawn).map(|at| at as usize) {
        iso[at] ^= 0x10;
        let found = check(&iso, &MediumContext::default());
        // Bytes that no boot reads: see the agent's own tests.
        let harmless = (440..446).contains(&at) || (604..1024).contains(&at);
        assert!(harmless || !found.damaged.is_empty(), "byte {at}");
        iso[at] ^= 0x10;
    }
    for length in [medium.size - 1, medium.size - (8 << 20), medium.size / 2, 40_000, 100] {
        let found = check(&iso[..length as usize].to_vec(), &MediumContext::default());
        assert!(!found.damaged.is_empty(), "{length}");
    }
}

#[test]
fn a_difference_outside_the_files_is_told_by_its_part() {
    let folder = tempfile::tempdir().unwrap();
    let medium = make(folder.path(), &image(), RootFormat::Squashfs);
    let mut iso = fs::read(&medium.path).unwrap();
    for part in [Part::BootCode, Part::Esp, Part::Catalog] {
        let at = record_of(&iso).range(part).end as usize - 1;
        iso[at] ^= 1;
        let other = folder.path().join("other");
        fs::write(&other, &iso).unwrap();
        let found = differ::compare(&medium.path, &other).unwrap().unwrap();
        assert_eq!(found.place, [part.name()], "{found}");
        iso[at] ^= 1;
    }
}

#[test]
fn a_partition_that_sgdisk_or_applbuild_adds_behind_the_image_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let medium = make(folder.path(), &image(), RootFormat::Squashfs);
    let stick = folder.path().join("stick");
    let fleet = folder.path().join("fleet");
    fleet::init(&fleet).unwrap();
    let config = ConfigImage { node: "node1".into(), format: ConfigFormat::Ext4, partition: 1, time: DATE };
    let tree = ConfigTree::read(&fleet, "node1", DATE).unwrap().tree;
    let by_sgdisk = |stick: &Path| {
        fs::File::options().write(true).open(stick).unwrap().set_len(medium.size + (64 << 20)).unwrap();
        let arguments = ["--move-second-header", "--new=0:-16M:0", "--typecode=0:8300", "stick"];
        let output = judge("sgdisk", &arguments, folder.path());
        assert!(output.status.success(), "{}", text(&output));
    };
    let by_us = |stick: &Path| config.append_to(&tree, stick).unwrap();
    for by in ["sgdisk", "applbuild"] {
        fs::copy(&medium.path, &stick).unwrap();
        if by == "sgdisk" {
            by_sgdisk(&stick)
        } else {
            by_us(&stick)
        }
        let found = check(&fs::read(&stick).unwrap(), &MediumContext::default());
        assert!(found.damaged.is_empty() && !found.is_unrecorded, "{by}: {found:#?}");
        assert!(found.tables_changed, "{by}: {found:#?}");
    }
}

#[test]
fn fsck_finds_nothing_to_mend_in_a_fat_file_system() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("esp"), esp()).unwrap();
    let found = judge("fsck.fat", &["-n", "-v", "esp"], folder.path());
    assert!(found.status.success(), "{}", text(&found));
}

#[test]
fn sgdisk_finds_the_guids_that_were_given() {
    let folder = tempfile::tempdir().unwrap();
    let guid = |text: &str| text.parse().unwrap();
    let partition = Partition {
        type_guid: guid(appliance_contract::gpt_types::CONFIG),
        guid: guid("01234567-89ab-4cde-8f01-23456789abcd"),
        name: "config".into(),
        first_sector: 2048,
        last_sector: 20_479,
    };
    let mut disk =
        fs::File::options().read(true).write(true).create_new(true).open(folder.path().join("disk")).unwrap();
    disk.set_len(32_768 * gpt::SECTOR).unwrap();
    gpt::write(&mut disk, 32_768, guid("fedcba98-7654-4321-8fed-cba987654321"), &[partition]).unwrap();
    let found = text(&judge("sgdisk", &["--verify", "--print", "--info=1", "disk"], folder.path()));
    for line in [
        "No problems found",
        "Disk identifier (GUID): FEDCBA98-7654-4321-8FED-CBA987654321",
        "Partition unique GUID: 01234567-89AB-4CDE-8F01-23456789ABCD",
        "Partition GUID code: 6F9A1B52-3C8E-4D07-A1F4-5B0C9E72D3A8",
    ] {
        assert!(found.contains(line), "{line}\n{found}");
    }
}

/// Everything that an archive may hold: every kind of node, long and unusual names, attributes, a hard link.
fn archived_tree() -> Tree {
    let mut tree = Tree::new(Metadata::new(0o755).with_mtime(DATE));
    let mut add = |path: &str, metadata: Metadata, kind: Kind| {
        tree.insert(&TreePath::parse(path).unwrap(), Node { metadata, kind }).unwrap()
    };
    let plain = |mode| Metadata::new(mode).with_mtime(DATE).with_owner(7, 3_000_000);
    add("/etc/shadow", plain(0o640), Kind::File(b"secret".to_vec().into()));
    add("/usr/bin/su", plain(0o4755), Kind::File(vec![3; 100_000].into()));
    add("/usr/bin/empty", plain(0o755), Kind::File(Vec::new().into()));
    add(&format!("/long/{}/name", "x".repeat(150)), plain(0o600), Kind::File(b"long".to_vec().into()));
    add("/long/to", plain(0o777), Kind::Symlink(format!("{}/name", "y".repeat(200)).into()));
    add("/stränge \\ name", plain(0o644), Kind::File(b"name".to_vec().into()));
    add("/dev/null", plain(0o666), Kind::CharacterDevice { major: 1, minor: 3 });
    add("/dev/vda", plain(0o660), Kind::BlockDevice { major: 254, minor: 0 });
    add("/run/pipe", plain(0o600), Kind::Fifo);
    add("/run/socket", plain(0o600), Kind::Socket);
    let mut attributed = plain(0o644);
    attributed.xattrs.insert(b"user.mime".to_vec(), b"text\0\n=".to_vec());
    let id = add("/usr/share/text", attributed, Kind::File(b"text".to_vec().into()));
    tree.link(&TreePath::parse("/usr/share/again").unwrap(), id).unwrap();
    tree
}

fn archive(path: &Path, tree: &Tree) -> Result<Artifact, OutputError> {
    let (profile, lock) = (profile(RootFormat::Squashfs), lock());
    let recorded = recorded(&profile, &lock);
    let image = described(&profile, &lock, tree, &recorded);
    Tar.lay_out(
        &Input { image, root: Root::Plain, guests: &[], loader: None, templates: None, lock_text: "", path },
        &Silent,
    )
}

#[test]
fn tar_lists_and_extracts_what_was_archived() {
    // Not on a file system without extended attributes.
    let folder = tempfile::tempdir_in(applbuild_test_support::target_tmp()).unwrap();
    let made = archive(&folder.path().join("root.tar.zst"), &archived_tree()).unwrap();
    let listed = text(&judge(
        "tar",
        &["--list", "--verbose", "--numeric-owner", "--utc", "--quoting-style=literal", "-f", "root.tar.zst"],
        folder.path(),
    ));
    let name = "x".repeat(150);
    let target = "y".repeat(200);
    for line in [
        "drwxr-xr-x 0/0               0 2026-09-21 14:13 ./".to_owned(),
        "-rw-r----- 7/3000000         6 2026-09-21 14:13 ./etc/shadow".to_owned(),
        "-rwsr-xr-x 7/3000000    100000 2026-09-21 14:13 ./usr/bin/su".to_owned(),
        "-rwxr-xr-x 7/3000000         0 2026-09-21 14:13 ./usr/bin/empty".to_owned(),
        format!("-rw------- 7/3000000         4 2026-09-21 14:13 ./long/{name}/name"),
        format!("lrwxrwxrwx 7/3000000         0 2026-09-21 14:13 ./long/to -> {target}/name"),
        "crw-rw-rw- 7/3000000       1,3 2026-09-21 14:13 ./dev/null".to_owned(),
        "brw-rw---- 7/3000000     254,0 2026-09-21 14:13 ./dev/vda".to_owned(),
        "prw------- 7/3000000         0 2026-09-21 14:13 ./run/pipe".to_owned(),
        "-rw-r--r-- 7/3000000         4 2026-09-21 14:13 ./stränge \\ name".to_owned(),
        "hrw-r--r-- 7/3000000         0 2026-09-21 14:13 ./usr/share/text link to ./usr/share/again".to_owned(),
    ] {
        assert!(listed.contains(&format!("{line}\n")), "{line}\n{listed}");
    }
    assert!(!listed.contains("socket"), "{listed}");

    fs::create_dir(folder.path().join("out")).unwrap();
    let extract = ["-x", "-f", "root.tar.zst", "-C", "out", "--no-same-owner", "--exclude=./dev/*", "--xattrs"];
    let found = judge("tar", &[&extract[..], &["--xattrs-include=*"]].concat(), folder.path());
    assert!(found.status.success(), "{}", text(&found));
    let out = folder.path().join("out");
    assert_eq!(fs::read(out.join("usr/bin/su")).unwrap(), vec![3; 100_000]);
    assert_eq!(fs::read(out.join("stränge \\ name")).unwrap(), b"name");
    assert_eq!(fs::read_link(out.join("long/to")).unwrap(), Path::new(&format!("{target}/name")));
    let inodes = ["text", "again"].map(|name| fs::metadata(out.join("usr/share").join(name)).unwrap().ino());
    assert_eq!(inodes[0], inodes[1]);
    assert_eq!(xattr::get(out.join("usr/share/text"), "user.mime").unwrap().unwrap(), b"text\0\n=");

    let bytes = fs::read(&made.path).unwrap();
    assert_eq!((made.size, made.sha256), (bytes.len() as u64, applbuild::util::sha256::of(&bytes)));
    let manifest = manifest_of(&made);
    assert_eq!((manifest.files[0].path.as_str(), manifest.files[0].size), ("host-2026.11.1.tar.zst", made.size));
    let again = archive(&folder.path().join("again.tar.zst"), &archived_tree()).unwrap();
    assert_eq!(again.sha256, made.sha256);
}

#[test]
fn a_file_that_became_shorter_ends_the_archive_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (file, mut tree) = (folder.path().join("file"), Tree::new(Metadata::new(0o755)));
    fs::write(&file, "short").unwrap();
    let content = Content::host(file, 6);
    tree.insert(&TreePath::parse("/file").unwrap(), Node::file(Metadata::new(0o644), content)).unwrap();
    let error = archive(&folder.path().join("root.tar.zst"), &tree).unwrap_err().with_causes();
    assert!(error.contains("root.tar.zst: 1 bytes are missing"), "{error}");
    // An existing file is not overwritten.
    fs::write(folder.path().join("there"), "").unwrap();
    assert!(archive(&folder.path().join("there"), &tree).unwrap_err().with_causes().starts_with("creating "));
}
