use super::*;
use appliance_shared::probe::{FileSystemKind, Member};

fn file_system(kind: FileSystemKind) -> FileSystem {
    FileSystem { kind, uuid: None, label: None, needs_recovery: false }
}

fn marker(node: &str) -> MarkerState {
    MarkerState::Valid(Marker::parse(&format!("schema = 1\nrole = \"host\"\nnode = \"{node}\"\n")).unwrap())
}

/// A partition (or, without a digit at the end, a whole disk) with an ext4 and this marker.
fn ext4(name: &str, marker: MarkerState) -> Candidate {
    let disk = name.trim_end_matches(|c: char| c.is_ascii_digit());
    Candidate {
        name: name.into(),
        disk: (disk != name && !name.starts_with("sr")).then(|| disk.to_owned()),
        removable: name.starts_with("sr"),
        boot_medium: false,
        partition_type: None,
        contents: Ok(Contents::FileSystem(file_system(FileSystemKind::Ext4))),
        in_use: None,
        marker,
    }
}

fn holding(name: &str, contents: Contents) -> Candidate {
    Candidate { contents: Ok(contents), ..ext4(name, MarkerState::NotOpened) }
}

fn auto(candidates: &[Candidate]) -> Decision {
    decide(candidates, &ConfigChoice::Auto, Role::Host)
}

fn chosen<'a>(candidates: &'a [Candidate], decision: &Decision) -> (&'a str, Vec<&'a str>) {
    match decision {
        Decision::Chosen { index, others, .. } => {
            (&candidates[*index].name, others.iter().map(|&other| candidates[other].name.as_str()).collect())
        }
        other => panic!("nothing chosen: {other:?}"),
    }
}

/// The refusals' texts when nothing was chosen.
fn refused(decision: Decision) -> String {
    match decision {
        Decision::None { refusals } => {
            refusals.iter().map(|r| format!("{}: {}", r.device, r.reason)).collect::<Vec<_>>().join("\n")
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn one_marker_is_taken() {
    let all = [holding("sda", Contents::PartitionTable), ext4("sda1", MarkerState::None), ext4("sda2", marker("web1"))];
    let decision = auto(&all);
    assert_eq!(chosen(&all, &decision), ("sda2", vec![]));
    assert!(decision.lines(&all).contains(&"config of node web1 on /dev/sda2 (ext4)".to_owned()));
}

#[test]
fn two_markers_of_one_node_give_the_first_and_name_the_other() {
    let all = [ext4("sdb1", marker("web1")), ext4("sda10", marker("web1")), ext4("sda2", marker("web1"))];
    let decision = auto(&all);
    assert_eq!(chosen(&all, &decision), ("sda2", vec!["sda10", "sdb1"]));
    assert!(
        decision.lines(&all).iter().any(|line| line.starts_with("/dev/sda10 (ext4) has a marker of the same node"))
    );
}

#[test]
fn arrival_decides_nothing() {
    let mut all = vec![ext4("sda2", marker("a")), ext4("sda10", marker("a")), ext4("sdb1", marker("a"))];
    for _ in 0..3 {
        all.rotate_left(1);
        assert_eq!(chosen(&all, &auto(&all)).0, "sda2");
    }
}

#[test]
fn markers_of_two_nodes_are_no_guess() {
    let all = [ext4("sda1", marker("web1")), ext4("sdb1", marker("web2")), ext4("sdc1", marker("web1"))];
    let decision = auto(&all);
    let Decision::Ambiguous { nodes, .. } = &decision else { panic!("{decision:?}") };
    let nodes: Vec<(usize, &str)> = nodes.iter().map(|(index, node)| (*index, node.as_str())).collect();
    assert_eq!(nodes, [(0, "web1"), (1, "web2"), (2, "web1")]);
    assert!(decision.lines(&all).last().unwrap().contains("appliance.config=UUID="));
}

#[test]
fn an_unreadable_first_gives_the_second_and_says_so() {
    let all = [ext4("sda1", MarkerState::Unreadable("input/output error".into())), ext4("sdb1", marker("web1"))];
    let decision = auto(&all);
    assert_eq!(chosen(&all, &decision), ("sdb1", vec![]));
    assert_eq!(decision.lines(&all)[0], "/dev/sda1 refused: its appliance.toml could not be read: input/output error");
}

#[test]
fn a_wrong_schema_a_wrong_role_and_no_marker_are_told_apart() {
    let schema = Marker::parse("schema = 2\nrole = \"host\"\nnode = \"a\"\n").unwrap_err().to_string();
    let guest = Marker::parse("schema = 1\nrole = \"guest\"\nnode = \"db\"\n").unwrap();
    let text = refused(auto(&[
        ext4("sda1", MarkerState::Invalid(schema)),
        ext4("sda2", MarkerState::Valid(guest.clone())),
        ext4("sda3", MarkerState::None),
    ]));
    assert!(text.contains("/dev/sda1: its appliance.toml is not valid") && text.contains("schema version 2"), "{text}");
    assert!(text.contains("/dev/sda2: its appliance.toml is for the role guest, expected host (node db)"), "{text}");
    assert!(text.contains("/dev/sda3: no appliance.toml is in the root of its file system"), "{text}");

    let all = [ext4("vda", MarkerState::Valid(guest))];
    assert_eq!(chosen(&all, &decide(&all, &ConfigChoice::Auto, Role::Guest)).0, "vda");
}

#[test]
fn what_belongs_to_others_is_not_opened() {
    let all = [
        holding("sda1", Contents::Member(Member::Lvm)),
        holding("sda2", Contents::Member(Member::Raid("1.0"))),
        holding("sda3", Contents::Member(Member::Luks)),
        holding("sda4", Contents::Member(Member::Swap)),
        holding("sda5", Contents::FileSystem(file_system(FileSystemKind::Ntfs))),
        holding("sda6", Contents::Unknown),
        holding("sda7", Contents::Empty),
        Candidate { in_use: Some("mounted on /data".into()), ..ext4("sda8", MarkerState::NotOpened) },
        Candidate { contents: Err("no medium found".into()), ..ext4("sr0", MarkerState::NotOpened) },
    ];
    for index in 0..all.len() {
        assert!(may_open(&all, index, &ConfigChoice::Auto).is_err(), "{}", all[index].name);
    }
    let text = refused(auto(&all));
    for said in [
        "/dev/sda1: it is a physical volume of LVM",
        "/dev/sda2: it is a member of an array (md metadata 1.0)",
        "/dev/sda3: it is an encrypted volume (LUKS)",
        "/dev/sda4: it is swap space",
        "/dev/sda5: its file system is ntfs, expected ext4, vfat, xfs, btrfs or iso9660",
        "/dev/sda6: no file system known",
        "/dev/sda7: it is empty",
        "/dev/sda8: it is in use: mounted on /data",
        "/dev/sr0: it could not be read: no medium found",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
}

#[test]
fn a_members_marker_counts_for_nothing_even_when_it_is_known() {
    let all = [Candidate { contents: Ok(Contents::Member(Member::Lvm)), ..ext4("sda1", marker("web1")) }];
    assert!(refused(auto(&all)).contains("LVM"));
}

#[test]
fn a_partition_of_a_disk_that_is_a_member_is_left_alone_unless_named() {
    let all = [holding("sda", Contents::Member(Member::Raid("imsm"))), ext4("sda1", marker("web1"))];
    assert!(
        refused(auto(&all))
            .contains("its disk /dev/sda is a member of an array (md metadata imsm); appliance.config=/dev/sda1")
    );
    let named = ConfigChoice::Path("/dev/sda1".into());
    assert_eq!(chosen(&all, &decide(&all, &named, Role::Host)).0, "sda1");
}

#[test]
fn where_one_has_our_type_the_others_are_ignored() {
    let typed = Candidate { partition_type: Some(gpt_types::CONFIG.into()), ..ext4("sdb3", marker("web1")) };
    // A guest wrote a marker of its own wish into its raw partition.
    let all = [ext4("sda1", marker("evil")), ext4("vdc", marker("evil")), typed];
    let decision = auto(&all);
    assert_eq!(chosen(&all, &decision), ("sdb3", vec![]));
    assert!(
        decision.lines(&all)[0]
            .contains("/dev/sda1 refused: its partition type is not the config type, which /dev/sdb3 has")
    );
    assert!(may_open(&all, 0, &ConfigChoice::Auto).is_err());
    assert!(may_open(&all, 2, &ConfigChoice::Auto).is_ok());
    // The type alone, without a marker, does not let the others in.
    let all = [ext4("sda1", marker("evil")), Candidate { marker: MarkerState::None, ..all[2].clone() }];
    assert!(refused(auto(&all)).contains("/dev/sdb3: no appliance.toml"));
}

#[test]
fn fixed_disks_then_the_boot_medium_then_other_removables() {
    let stick = Candidate { removable: true, boot_medium: true, ..ext4("sda3", marker("a")) };
    let cd = ext4("sr0", marker("a"));
    let other = Candidate { removable: true, ..ext4("sdb1", marker("a")) };
    let whole = ext4("vda", marker("a"));
    let fixed = ext4("vdb1", marker("a"));
    let mut all = vec![cd, stick, other, whole, fixed];
    let mut seen = Vec::new();
    while !all.is_empty() {
        let Decision::Chosen { index, .. } = auto(&all) else { panic!() };
        seen.push(all.remove(index).name);
    }
    assert_eq!(seen, ["vdb1", "vda", "sda3", "sdb1", "sr0"]);
}

#[test]
fn a_config_on_the_boot_stick_works() {
    let iso = FileSystem { label: Some("HOST".into()), ..file_system(FileSystemKind::Iso9660) };
    let all = [
        Candidate { boot_medium: true, marker: MarkerState::None, ..holding("sda", Contents::FileSystem(iso)) },
        Candidate { boot_medium: true, removable: true, ..ext4("sda4", marker("web1")) },
    ];
    assert_eq!(chosen(&all, &auto(&all)).0, "sda4");
}

#[test]
fn a_name_on_the_command_line_decides() {
    let named = |uuid: &str, label: &str| {
        Ok(Contents::FileSystem(FileSystem {
            uuid: Some(uuid.into()),
            label: Some(label.into()),
            ..file_system(FileSystemKind::Fat)
        }))
    };
    let all = [
        Candidate { contents: named("AAAA-0001", "ONE"), ..ext4("sda1", marker("web1")) },
        Candidate { contents: named("AAAA-0002", "TWO"), ..ext4("sdb1", marker("web2")) },
    ];
    for choice in [
        ConfigChoice::Uuid("aaaa-0002".into()),
        ConfigChoice::Label("TWO".into()),
        ConfigChoice::Path("/dev/sdb1".into()),
    ] {
        assert_eq!(chosen(&all, &decide(&all, &choice, Role::Host)), ("sdb1", vec![]), "{choice:?}");
        assert!(may_open(&all, 0, &choice).is_err());
    }
    let none = decide(&all, &ConfigChoice::Label("THREE".into()), Role::Host);
    assert!(refused(none).contains("/dev/sda1: it is not what appliance.config=LABEL=THREE names"));
}

#[test]
fn naming_one_does_not_excuse_its_faults() {
    let path = ConfigChoice::Path("/dev/sda1".into());
    let all = [ext4("sda1", MarkerState::None), ext4("sdb1", marker("web1"))];
    assert!(refused(decide(&all, &path, Role::Host)).contains("/dev/sda1: no appliance.toml"));
    let all = [holding("sda1", Contents::Member(Member::Luks))];
    assert!(refused(decide(&all, &path, Role::Host)).contains("LUKS"));
}

#[test]
fn a_late_disk_is_found_when_it_is_there() {
    let mut all = vec![ext4("sda1", MarkerState::None)];
    assert!(matches!(auto(&all), Decision::None { .. }));
    all.push(ext4("sdb1", marker("web1")));
    assert_eq!(chosen(&all, &auto(&all)).0, "sdb1");
}

#[test]
fn no_devices_at_all_is_said() {
    assert_eq!(auto(&[]).lines(&[]), ["no config partition: no block device was found"]);
}

#[test]
fn a_guests_own_disk_wins_over_what_the_host_serves() {
    let guest = |node: &str| {
        MarkerState::Valid(Marker::parse(&format!("schema = 1\nrole = \"guest\"\nnode = \"{node}\"\n")).unwrap())
    };
    let label = Some(CONFIG_LABEL.to_owned());
    let contents = Contents::FileSystem(FileSystem { label, ..file_system(FileSystemKind::Iso9660) });
    let served = Candidate { contents: Ok(contents), ..ext4("xvdb", guest("web")) };
    for own in [ext4("xvdc", guest("web")), ext4("xvdc1", guest("web")), ext4("xvdc", guest("other"))] {
        let all = [served.clone(), own];
        let decision = decide(&all, &ConfigChoice::Auto, Role::Guest);
        assert_eq!(chosen(&all, &decision), (all[1].name.as_str(), vec![]));
        let lines = decision.lines(&all).join("\n");
        assert!(lines.contains("/dev/xvdb refused: the host serves it, and the guest's own /dev/xvdc"), "{lines}");
    }
    // Its own without a marker, or with one of a host, is none.
    for own in [ext4("xvdc", MarkerState::None), ext4("xvdc", marker("web"))] {
        let all = [served.clone(), own];
        assert_eq!(chosen(&all, &decide(&all, &ConfigChoice::Auto, Role::Guest)).0, "xvdb");
    }
    // On a host that label is no more than a name.
    let on_host = [Candidate { marker: marker("a"), ..served }, ext4("vdc", marker("b"))];
    assert!(matches!(auto(&on_host), Decision::Ambiguous { .. }));
}
