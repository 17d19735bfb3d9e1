use super::*;
use crate::boot::tests::{World, put};
use appliance_contract::gpt_types;
use appliance_contract::marker::Marker;
use appliance_shared::gpt;
use appliance_shared::probe::FileSystemKind;
use std::time::Duration;

/// A machine with this fstab, whose image has a file below `/var`.
fn world(fstab: &str) -> World {
    let world = World::new();
    world.clock_ticks(Duration::from_millis(10));
    let sysroot = world.places().sysroot;
    put(&sysroot.join("var/lib/state"), "image");
    put(&sysroot.join("sbin/fsck.ext4"), "");
    put(&sysroot.join("etc/fstab"), fstab);
    world.disk("sda", &["sda1", "sda2"], &[0; 4096]);
    world
}

/// Mounts `/var` with the config on `sda1`.
fn mount_in(world: &World) -> Result<Var, String> {
    let index = world.index(&[]);
    let mut boot = world.boot(&index);
    // The devices are known by now: nothing changes any more.
    boot.poll();
    let now = crate::boot::Survey::take(&boot.places);
    let config = Config {
        block: now.blocks[1].clone(),
        look: now.results[1].clone(),
        kind: FileSystemKind::Ext4,
        marker: Marker::parse("schema = 1\nrole = \"host\"\nnode = \"web1\"\n").unwrap(),
        others: Vec::new(),
    };
    mount(&mut boot, &config).map(|(var, _)| var).map_err(|error| error.to_string())
}

fn on(device: &str) -> Result<Var, String> {
    Ok(Var { source: device.into(), degraded: None })
}

#[test]
fn an_empty_disk_that_is_there_is_found_checked_and_filled() {
    let uuid = "12345678-0000-0000-0000-000000000000";
    for source in ["LABEL=var", "/dev/vdb", "/dev//vdb", "/dev/disk/by-label/var", &format!("UUID={uuid}")] {
        let world = world(&format!("{source} /var// auto defaults 0 2\n"));
        world.disk("vdb", &[], b"");
        world.labelled_ext4("vdb", "var", &[]);
        let node = world.places().dev.join("vdb");
        let mut bytes = fs::read(&node).unwrap();
        bytes[1024 + 0x68..][..4].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
        fs::write(node, bytes).unwrap();
        assert_eq!(mount_in(&world), on("/dev/vdb"), "{source}");
        assert_eq!(fs::read_to_string(world.volume("vdb").join("lib/state")).unwrap(), "image");
        let log = world.log();
        let at = |text: &str| log.iter().position(|line| line.starts_with(text)).unwrap_or_else(|| panic!("{log:#?}"));
        let story = ["run /sbin/fsck.ext4 -a /dev/vdb", "mount ext4 ", "move /run/appliance/var-disk /sysroot/var"];
        assert!(story.map(at).is_sorted(), "{log:#?}");
    }
}

#[test]
fn what_lies_on_the_disk_stays() {
    let world = world("LABEL=var /var ext4 defaults 0 0\n");
    world.disk("vdb", &[], b"");
    world.labelled_ext4("vdb", "var", &[("lib/state", "mine")]);
    assert_eq!(mount_in(&world), on("/dev/vdb"));
    assert_eq!(fs::read_to_string(world.volume("vdb").join("lib/state")).unwrap(), "mine");
    assert!(!world.log().iter().any(|line| line.starts_with("run")), "fstab's sixth field is 0");
}

#[test]
fn a_disk_that_can_be_read_later_is_found_though_nothing_changes() {
    for source in ["LABEL=var", "/dev/vdb"] {
        let world = world(&format!("{source} /var ext4 defaults 0 0\n"));
        world.disk("vdb", &[], b"");
        fs::remove_file(world.places().dev.join("vdb")).unwrap();
        world.at(Duration::from_secs(9), |world| world.labelled_ext4("vdb", "var", &[]));
        assert_eq!(mount_in(&world), on("/dev/vdb"), "{source}");
    }
}

#[test]
fn fstab_says_how_long_a_disk_is_waited_for() {
    for (option, comes_at, waited) in [
        ("x-systemd.device-timeout=5s", 20, "within 5 s"),
        ("x-systemd.device-timeout=soon", 40, "within 30 s"),
        ("x-systemd.device-timeout=2min", 100, ""),
        ("x-systemd.device-timeout=infinity", 10_000, ""),
        ("x-systemd.device-timeout=0", 10_000, ""),
        ("defaults", 40, "within 30 s"),
    ] {
        let world = world(&format!("LABEL=var /var ext4 {option} 0 0\n"));
        world.at(Duration::from_secs(comes_at), |world| {
            world.disk("vdb", &[], b"");
            world.labelled_ext4("vdb", "var", &[]);
        });
        match mount_in(&world) {
            Ok(found) => assert_eq!((found.source.as_str(), waited), ("/dev/vdb", ""), "{option}"),
            Err(error) => assert!(!waited.is_empty() && error.contains(waited), "{option}: {error}"),
        }
        let warned = world.said().iter().any(|line| line.contains("device-timeout=soon, expected a span of time"));
        assert_eq!(warned, option.contains("soon"), "{:?}", world.said());
    }
}

#[test]
fn nofail_never_waits_for_ever() {
    let world = world("LABEL=var /var ext4 nofail,x-systemd.device-timeout=infinity 0 0\n");
    let var = mount_in(&world).unwrap();
    assert_eq!(var.source, "image");
    assert!(var.degraded.unwrap().contains("within 30 s"));
    assert!(world.said()[0].contains("expected a limit with nofail; taking 30 s"), "{:?}", world.said());
}

/// Each is an error without nofail, and the same reason in the record with it.
fn fails(world: impl Fn(&str) -> World, said: &str) {
    let error = mount_in(&world("defaults")).unwrap_err();
    assert!(error.contains(said) && error.contains("nofail among the options"), "{error}");
    let degraded = world("nofail");
    let var = mount_in(&degraded).unwrap();
    assert_eq!(var.source, "image");
    assert!(var.degraded.as_ref().unwrap().contains(said), "{var:?}");
    assert!(degraded.places().run.join("systemd/system/var.mount").exists());
    assert!(degraded.log().last().unwrap().contains("mount overlay appliance /sysroot/var"), "{:?}", degraded.log());
}

#[test]
fn a_disk_that_cannot_be_var_fails_with_its_reason() {
    let with_disk = |line: &'static str, prepare: &'static dyn Fn(&World)| {
        move |options: &str| {
            let world = world(&line.replace("OPTIONS", options));
            world.disk("vdb", &[], b"");
            world.labelled_ext4("vdb", "var", &[]);
            prepare(&world);
            world
        }
    };
    let line = "LABEL=var /var ext4 OPTIONS 0 2\n";
    fails(with_disk("LABEL=gone /var ext4 OPTIONS 0 2\n", &|_| {}), "no device for LABEL=gone");
    fails(with_disk("LABEL=var /var xfs OPTIONS 0 2\n", &|_| {}), "/dev/vdb is ext4, but /etc/fstab says xfs");
    fails(with_disk("/dev/sda2 /var ext4 OPTIONS 0 2\n", &|_| {}), "/dev/sda2 holds no file system, found: empty");
    fails(with_disk("/dev/disk/by-id/x /var ext4 OPTIONS 0 2\n", &|_| {}), "udev creates that name");
    fails(with_disk("/dev/mapper/vg-var /var ext4 OPTIONS 0 2\n", &|_| {}), "assembled later, by the running system");
    fails(with_disk("server:/var /var nfs OPTIONS 0 2\n", &|_| {}), "only the running system");
    fails(
        with_disk(line, &|world| *world.ends_with.borrow_mut() = (4, "x\nUNEXPECTED INCONSISTENCY\n\n".into())),
        "/sbin/fsck.ext4 /dev/vdb ended with status 4: UNEXPECTED INCONSISTENCY; repair it by hand",
    );
    fails(
        with_disk(line, &|world| world.broken_volume("vdb", "structure needs cleaning")),
        "mounting /dev/vdb: struct",
    );
    fails(
        with_disk(line, &|world| {
            put(&world.places().sys.join("block/vdb/holders/dm-0/x"), "");
        }),
        "/dev/vdb is in use: held by dm-0",
    );
    fails(
        with_disk("/dev/vdb /var auto OPTIONS 0 0\n", &|world| {
            fs::remove_file(world.places().dev.join("vdb")).unwrap();
        }),
        "/dev/vdb cannot be read: No such file",
    );
    fails(
        with_disk("/dev/vdb /var auto OPTIONS 0 0\n", &|world| {
            let mut volume = vec![0; 0x9000];
            volume[0x8000..0x8006].copy_from_slice(b"\x01CD001");
            world.content("vdb", &volume);
        }),
        "/dev/vdb is iso9660, expected one of ext4",
    );
}

#[test]
fn errors_that_fsck_corrected_are_told() {
    let world = world("LABEL=var /var ext4 defaults 0 2\n");
    world.disk("vdb", &[], b"");
    world.labelled_ext4("vdb", "var", &[]);
    world.ends_with.borrow_mut().0 = 1;
    assert_eq!(mount_in(&world), on("/dev/vdb"));
    assert!(world.said().iter().any(|line| line.contains("corrected errors (status 1)")), "{:?}", world.said());
}

#[test]
fn a_line_for_memory_is_obeyed_without_a_warning() {
    let world = world("tmpfs /var tmpfs size=10% 0 0\n");
    assert_eq!(mount_in(&world), on("image"));
    assert!(world.said().is_empty(), "{:?}", world.said());
    assert!(world.places().run.join("systemd/system/var.mount").exists());
}

/// A GPT whose second partition has the standard type: [`gpt_types::VAR`] as it is stored on disk.
fn standard(world: &World) {
    const VAR: [u8; 16] =
        [0x16, 0xb0, 0x21, 0x4d, 0x34, 0xb5, 0xc2, 0x45, 0xa9, 0xfb, 0x5c, 0x16, 0xe0, 0x91, 0xfd, 0x2d];
    let disk = gpt::fixture::disk_of_types(200, &[(gpt::fixture::LINUX, 40, 59), (VAR, 60, 99)]);
    assert_eq!(gpt::partitions(&disk).unwrap().unwrap()[1].type_guid, gpt_types::VAR);
    world.content("sda", &disk);
}

#[test]
fn a_partition_is_found_by_its_own_names() {
    let uuid = "00000002-0000-0000-0000-000000000000";
    for source in [&format!("PARTUUID={uuid}"), &format!("/dev/disk/by-partuuid/{uuid}"), "/dev/sda2"] {
        let world = world(&format!("{source} /var ext4 defaults 0 0\n"));
        standard(&world);
        world.ext4("sda2", &[]);
        assert_eq!(mount_in(&world), on("/dev/sda2"), "{source}");
    }
    // Both partitions of that table have this name: the first counts.
    for source in ["PARTLABEL=conü", "/dev/disk/by-partlabel/con\\xc3\\xbc"] {
        let world = world(&format!("{source} /var ext4 defaults 0 0\n"));
        standard(&world);
        world.ext4("sda1", &[]);
        assert_eq!(mount_in(&world), on("/dev/sda1"), "{source}");
    }
}

#[test]
fn the_partition_of_the_standard_type_is_taken_and_must_not_be_replaced_by_memory() {
    let good = world("");
    standard(&good);
    good.ext4("sda2", &[]);
    assert_eq!(mount_in(&good), on("/dev/sda2"));
    let unformatted = world("");
    standard(&unformatted);
    let error = mount_in(&unformatted).unwrap_err();
    assert!(error.starts_with("/dev/sda2 holds no file system"), "{error}");
    assert!(error.contains("a line for /var in /etc/fstab overrides it"), "{error}");
    let overruled = world("LABEL=other /var ext4 nofail 0 0\n");
    standard(&overruled);
    assert_eq!(mount_in(&overruled).unwrap().source, "image");
    assert_eq!(mount_in(&world("")), on("image"), "without either there is nothing to fail");
}

#[test]
fn of_several_lines_the_first_counts_as_it_does_for_systemd() {
    let world = world("LABEL=var /var ext4 defaults 0 0\nLABEL=gone /var/ ext4 defaults 0 0\n");
    world.disk("vdb", &[], b"");
    world.labelled_ext4("vdb", "var", &[]);
    assert_eq!(mount_in(&world), on("/dev/vdb"));
    assert!(world.said()[0].contains("/etc/fstab has 2 lines for /var; the first, LABEL=var, counts"));
}
