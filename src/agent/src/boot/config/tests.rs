use super::*;
use crate::boot::tests::World;
use std::time::Duration;

fn marker(node: &str) -> String {
    format!("schema = 1\nrole = \"host\"\nnode = \"{node}\"\n")
}

fn find_in(world: &World) -> Result<(String, Vec<String>), String> {
    let index = world.index(&[]);
    let mut boot = world.boot(&index);
    match find(&mut boot) {
        Ok((config, line)) => Ok((line, config.others)),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn takes_the_one_with_the_marker_and_leaves_the_others_as_they_were() {
    let world = World::new();
    world.disk("vda", &["vda1"], &[0; 4096]);
    world.disk("vdb", &[], b"");
    world.ext4("vda1", &[("data", "")]);
    world.ext4("vdb", &[("appliance.toml", &marker("web1"))]);
    let (line, others) = find_in(&world).unwrap();
    assert_eq!(line, "node web1 on /dev/vdb (ext4)");
    assert_eq!(others, Vec::<String>::new());
    assert!(world.is_set_read_only("vdb"));
    assert!(!world.is_set_read_only("vda1"), "a device that was looked at is as it was");
    assert!(world.log().iter().all(|line| !line.starts_with("mount") || line.ends_with("ro noload,errors=continue")));
}

#[test]
fn a_disk_that_comes_late_is_found_and_the_order_of_arrival_decides_nothing() {
    let world = World::new();
    world.at(Duration::from_secs(15), |world| {
        world.disk("sdb", &[], b"");
        world.ext4("sdb", &[("appliance.toml", &marker("web1"))]);
    });
    world.at(Duration::from_millis(15_200), |world| {
        world.disk("sda", &[], b"");
        world.ext4("sda", &[("appliance.toml", &marker("web1"))]);
    });
    let (line, others) = find_in(&world).unwrap();
    assert_eq!(line, "node web1 on /dev/sda (ext4)");
    assert_eq!(others, ["/dev/sdb"]);
    assert!(world.said().iter().any(|line| line.contains("/dev/sdb also hold a config of node web1")));
}

#[test]
fn a_disc_that_is_put_in_late_is_found_though_no_device_arrives() {
    let world = World::new();
    world.disk("sr0", &[], b"");
    let node = world.places().dev.join("sr0");
    std::fs::remove_file(&node).unwrap();
    world.at(Duration::from_secs(9), |world| world.ext4("sr0", &[("appliance.toml", &marker("web1"))]));
    assert_eq!(find_in(&world).unwrap().0, "node web1 on /dev/sr0 (ext4)");
}

#[test]
fn markers_of_two_nodes_are_no_guess() {
    let world = World::new();
    for (name, node) in [("sda", "web1"), ("sdb", "web2")] {
        world.disk(name, &[], b"");
        world.ext4(name, &[("appliance.toml", &marker(node))]);
    }
    let error = find_in(&world).unwrap_err();
    assert!(error.contains("/dev/sda (ext4) has a marker of node web1"), "{error}");
    assert!(error.contains("/dev/sdb (ext4) has a marker of node web2"), "{error}");
    assert!(!world.is_set_read_only("sda") && !world.is_set_read_only("sdb"));
}

#[test]
fn every_refusal_has_its_reason() {
    let world = World::new();
    let large = "x".repeat(70_000);
    for (name, content) in [
        ("sda", "schema = 2\nrole = \"host\"\nnode = \"a\"\n"),
        ("sdb", "schema = 1\nrole = \"guest\"\nnode = \"a\"\n"),
        ("sdc", large.as_str()),
    ] {
        world.disk(name, &[], b"");
        world.ext4(name, &[("appliance.toml", content)]);
    }
    world.disk("sdd", &[], b"");
    world.ext4("sdd", &[]);
    world.broken_volume("sdd", "structure needs cleaning");
    world.disk("sde", &[], &[0; 4096]);
    world.disk("sdf", &[], b"");
    world.ext4("sdf", &[("appliance.toml/file", "")]);
    let error = find_in(&world).unwrap_err();
    for said in [
        "/dev/sda refused: its appliance.toml is not valid",
        "schema version 2",
        "/dev/sdb refused: its appliance.toml is for the role guest, expected host",
        "/dev/sdc refused: its appliance.toml is not valid: it is larger than 64 KiB",
        "/dev/sdd refused: its appliance.toml could not be read: mounting the ext4 file system: structure needs cleaning",
        "/dev/sde refused: it is empty",
        "/dev/sdf refused: its appliance.toml is not valid: it is no regular file",
    ] {
        assert!(error.contains(said), "{said}:\n{error}");
    }
}

#[test]
fn gives_up_after_the_timeout_and_says_that_it_waits() {
    let world = World::new();
    let error = find_in(&world).unwrap_err();
    assert_eq!(error, "no config partition: no block device was found");
    assert!(world.said().iter().any(|line| line.contains("waiting 2")), "{:?}", world.said());
    assert!(world.places().config.is_dir());
}

#[test]
fn what_is_mounted_by_somebody_is_not_opened() {
    let world = World::new();
    world.disk("sda", &[], b"");
    world.ext4("sda", &[("appliance.toml", &marker("web1"))]);
    let places = world.places();
    crate::boot::tests::put(&places.sys.join("block/sda/dev"), "8:0\n");
    let line = "36 25 8:0 / /mnt rw,relatime - ext4 /dev/sda rw\n";
    crate::boot::tests::put(&places.proc.join("self/mountinfo"), line);
    let error = find_in(&world).unwrap_err();
    assert!(error.contains("/dev/sda refused: it is in use: mounted at /mnt"), "{error}");
    assert_eq!(world.log().iter().filter(|line| line.starts_with("mount")).count(), 0);
}

#[test]
fn the_watcher_tells_what_appears_while_a_shell_is_open() {
    let world = World::new();
    let index = world.index(&[]);
    let mut boot = world.boot(&index);
    world.at(Duration::from_secs(5), |world| {
        world.disk("vdb", &[], b"");
        world.ext4("vdb", &[("appliance.toml", &marker("web1"))]);
    });
    let mut watch = watcher();
    for _ in 0..60 {
        watch(&mut boot);
        boot.machine.sleep(Duration::from_millis(250));
    }
    let said = world.said();
    assert_eq!(said, ["config: /dev/vdb (ext4) has appeared; leave the shell (exit) to boot with it"]);
}
