//! The whole flow on a made-up machine: the order of the steps, and what failures lead to.

use super::{World, put};
use crate::boot::boot;
use crate::system::machine::Shell;
use appliance_contract::boot_record::BootRecord;
use appliance_contract::kernel_args::{Action, OnMissing, RootSource};
use std::fs;
use std::time::Duration;

const MARKER: &str = "schema = 1\nrole = \"host\"\nnode = \"web1\"\n";

/// A machine with a root image on `vda`.
fn world() -> World {
    let world = World::new();
    world.disk("vda", &[], &[1; 4096]);
    let sysroot = world.places().sysroot;
    for folder in ["config", "run", "sys", "proc", "dev", "etc", "var", "sbin"] {
        fs::create_dir(sysroot.join(folder)).unwrap();
    }
    put(&sysroot.join("sbin/init"), "");
    world
}

fn record(world: &World) -> BootRecord {
    serde_json::from_slice(&fs::read(world.places().run.join("appliance/boot.json")).unwrap()).unwrap()
}

#[test]
fn the_steps_come_in_order_and_stand_in_the_record() {
    let world = world();
    world.disk("vdb", &[], b"");
    world.ext4("vdb", &[("appliance.toml", MARKER), ("local/etc/motd", "hello\n")]);
    let index = world.index(&[]);
    boot(&mut world.boot(&index));
    let said = world.said();
    let steps: Vec<&str> = said.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(steps, ["warning", "root", "config", "etc", "identity", "overlay", "var", "handover"], "{said:#?}");
    let record = record(&world);
    assert_eq!(record.config.unwrap().node, "web1");
    assert_eq!((record.etc.files, record.var.as_str()), (1, "image"));
    assert_eq!(record.warnings, ["appliance.roothash=none: the root image is not verified"]);
    let noted: Vec<&str> = record.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(noted, ["root", "config", "etc", "identity", "overlay", "var"]);
    let layer = world.places().run.join("appliance/etc/config");
    assert_eq!(fs::read_to_string(layer.join("motd")).unwrap(), "hello\n");
    assert_eq!(fs::read_to_string(layer.join("hostname")).unwrap(), "web1\n");
    let mounts: Vec<String> =
        world.log().into_iter().filter(|line| line.starts_with("mount overlay") || line.starts_with("move")).collect();
    assert_eq!(
        mounts,
        [
            "mount overlay appliance /sysroot/etc rw lowerdir=/run/appliance/etc/config:/run/appliance/etc/image,\
             upperdir=/run/appliance/etc/memory,workdir=/run/appliance/etc/work",
            "mount overlay appliance /sysroot/var rw lowerdir=/sysroot/var,upperdir=/run/appliance/var/memory,\
             workdir=/run/appliance/var/work",
            "move /config /sysroot/config",
            "move /run /sysroot/run",
            "move /sys /sysroot/sys",
            "move /proc /sysroot/proc",
            "move /dev /sysroot/dev",
        ]
    );
}

#[test]
fn without_a_config_there_is_a_shell_and_leaving_it_looks_again() {
    let world = world();
    world.shells_end_after(Duration::from_secs(90));
    world.at(Duration::from_secs(60), |world| {
        world.disk("vdb", &[], b"");
        world.ext4("vdb", &[("appliance.toml", MARKER)]);
    });
    let index = world.index(&[]);
    boot(&mut world.boot(&index));
    let log = world.log();
    assert_eq!(log.iter().filter(|line| line.starts_with("shell Image")).count(), 2, "{log:#?}");
    let said = world.said();
    let at = |text: &str| said.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}"));
    let story = [
        "config: /dev/vda refused",
        "a shell of the image is open",
        "/dev/vdb (ext4) has appeared",
        "looking again",
        "config: node web1",
    ];
    assert!(story.map(at).is_sorted(), "{said:#?}");
    assert_eq!(record(&world).config.unwrap().device, "/dev/vdb");
}

/// The rule of every wait: what is there from the start is found however the clock goes and though nothing changes.
#[test]
fn a_clock_that_ticks_at_every_call_makes_no_step_miss_what_is_there() {
    for tick in [0, 1, 10, 333] {
        let world = world();
        world.clock_ticks(Duration::from_millis(tick));
        world.disk("vdb", &[], b"");
        let fstab = "LABEL=var /var ext4 defaults 0 0\n";
        world.ext4("vdb", &[("appliance.toml", MARKER), ("local/etc/fstab", fstab)]);
        world.disk("vdc", &[], b"");
        world.labelled_ext4("vdc", "var", &[]);
        put(&world.places().sysroot.join("var/lib/state"), "");
        let index = world.index(&[]);
        boot(&mut world.boot(&index));
        assert_eq!(record(&world).var, "/dev/vdc", "{tick} ms: {:#?}", world.said());
        assert!(!world.log().iter().any(|line| line.starts_with("shell")), "{tick} ms");
    }
}

/// A machine whose config wants a `/var` that is not there, but comes after a minute and a half.
fn world_with_late_var(options: &str) -> World {
    let world = world();
    world.disk("vdb", &[], b"");
    let fstab = format!("LABEL=var /var/ auto {options} 0 2\n");
    world.ext4("vdb", &[("appliance.toml", MARKER), ("local/etc/fstab", &fstab)]);
    world.at(Duration::from_secs(90), |world| {
        world.disk("vdc", &[], b"");
        world.labelled_ext4("vdc", "var", &[]);
    });
    world
}

#[test]
fn a_missing_var_is_a_failed_step_with_a_shell() {
    let world = world_with_late_var("defaults");
    world.shells_end_after(Duration::from_secs(120));
    let index = world.index(&[]);
    boot(&mut world.boot(&index));
    let said = world.said();
    let at =
        |text: &str| said.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}: {said:#?}"));
    let story = [
        "var: waiting for LABEL=var, 30 s at most",
        "var: looked at:",
        "var: no device for LABEL=var (from /etc/fstab) within 30 s; nofail among the options",
        "a shell of the image is open",
        "var: /dev/vdc (ext4) is there now; leave the shell",
        "looking again",
        "var: /dev/vdc (ext4), filled from the image with 0 files",
    ];
    assert!(story.map(at).is_sorted(), "{said:#?}");
    let record = record(&world);
    assert_eq!((record.var.as_str(), record.var_degraded), ("/dev/vdc", None));
    assert!(!world.log().iter().any(|line| line.contains("/sysroot/var rw lowerdir")), "{:#?}", world.log());
}

#[test]
fn a_missing_var_waits_or_reboots_as_on_missing_says_and_never_gives_a_shell() {
    for choice in [OnMissing::Wait, OnMissing::Reboot] {
        let world = world_with_late_var("defaults");
        let index = world.index(&[]);
        let mut machine = world.boot(&index);
        machine.args.on_missing = choice;
        boot(&mut machine);
        assert_eq!(record(&world).var, "/dev/vdc", "{choice:?}");
        assert_eq!(world.log().contains(&"reboot".to_owned()), choice == OnMissing::Reboot);
        assert!(!world.log().iter().any(|line| line.starts_with("shell")), "{:#?}", world.log());
    }
}

#[test]
fn with_nofail_the_node_is_degraded_and_says_so() {
    let world = world_with_late_var("nofail");
    let index = world.index(&[]);
    boot(&mut world.boot(&index));
    let record = record(&world);
    let reason = "no device for LABEL=var (from /etc/fstab) within 30 s";
    assert_eq!((record.var.as_str(), record.var_degraded.as_deref()), ("image", Some(reason)));
    assert!(record.warnings.iter().any(|warning| warning.starts_with(&format!("/var: {reason}"))), "{record:#?}");
    let unit = fs::read_to_string(world.places().run.join("systemd/system/var.mount")).unwrap();
    assert!(unit.contains("Where=/var\nType=overlay\n"), "{unit}");
}

#[test]
fn a_config_that_is_too_large_does_not_boot_half() {
    let world = world();
    world.disk("vdb", &[], b"");
    world.ext4("vdb", &[("appliance.toml", MARKER), ("local/modes", "etc/x nobody")]);
    let index = world.index(&[]);
    let tree = world.volume("vdb");
    world.at(Duration::from_secs(1), move |_| put(&tree.join("local/modes"), ""));
    world.shells_end_after(Duration::from_secs(3));
    boot(&mut world.boot(&index));
    let said = world.said();
    assert!(said.iter().any(|line| line.starts_with("etc: local/modes of the config: line 1")), "{said:#?}");
    assert_eq!(record(&world).etc.files, 0);
}

#[test]
fn a_root_that_never_comes_is_told_with_all_that_was_looked_at() {
    let world = World::new();
    world.disk("sda", &["sda1"], &[0; 4096]);
    world.at(Duration::from_secs(40), |world| world.disk("vda", &[], &[1; 4096]));
    let sysroot = world.places().sysroot;
    for folder in ["config", "run", "sys", "proc", "dev", "etc", "var", "sbin"] {
        fs::create_dir(sysroot.join(folder)).unwrap();
    }
    put(&sysroot.join("sbin/init"), "");
    world.disk("vdb", &[], b"");
    world.ext4("vdb", &[("appliance.toml", MARKER)]);
    world.shells_end_after(Duration::from_secs(50));
    let index = world.index(&[]);
    boot(&mut world.boot(&index));
    let said = world.said();
    let at = |text: &str| said.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}"));
    let story = [
        "root: waiting for the device /dev/vda",
        "root: no device /dev/vda within 30 s; looked at:",
        "/dev/sda: 0 MiB, empty",
        "the agent's own shell",
        "root: /dev/vda has what was missing",
        "looking again",
        "root: image without manifest from /dev/vda",
    ];
    assert!(story.map(at).is_sorted(), "{said:#?}");
    assert_eq!(world.log().iter().filter(|line| line.starts_with("shell BuiltIn")).count(), 2);
}

#[test]
fn sources_that_are_not_supported_are_refused_by_name() {
    let world = World::new();
    let index = world.index(&[]);
    for source in [
        RootSource::Http { url: "http://localhost/x".into() },
        RootSource::File { uuid: "1".into(), path: "/x".into() },
    ] {
        let mut boot = world.boot(&index);
        boot.args.root = source.clone();
        let error = crate::boot::root::open(&mut boot).unwrap_err().to_string();
        assert!(error.starts_with(&format!("appliance.root={source} is not supported")), "{error}");
    }
}

#[test]
fn a_shell_that_is_turned_off_stays_off_whatever_fails() {
    let world = World::new();
    let index = world.index(&[]);
    for action in [Action::Boot, Action::Rescue] {
        let mut boot = world.boot(&index);
        boot.args.action = action;
        boot.args.on_missing = OnMissing::Reboot;
        let error = crate::boot::root::open(&mut boot).unwrap_err();
        boot.console.say(error.to_string());
        crate::boot::operator::on_missing(&mut boot, Shell::BuiltIn, &mut |_| {});
        crate::boot::operator::rescue(&mut boot);
    }
    assert_eq!(world.log().iter().filter(|line| *line == "reboot").count(), 2);
    assert!(!world.log().iter().any(|line| line.contains("shell")), "{:?}", world.log());
}
