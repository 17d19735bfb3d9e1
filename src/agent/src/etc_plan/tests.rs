use super::*;
use appliance_shared::local_etc::{Entry, Kind, Source};
use std::cell::RefCell;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use tempfile::TempDir;

/// A config partition and an image in a directory of their own.
struct World {
    folder: TempDir,
    marker: String,
    has_modes: bool,
}

impl World {
    fn new() -> Self {
        let world = Self { folder: TempDir::new().unwrap(), marker: String::new(), has_modes: true };
        fs::create_dir_all(world.at("config/local/etc")).unwrap();
        fs::create_dir_all(world.at("config/global")).unwrap();
        fs::create_dir_all(world.at("image/etc")).unwrap();
        fs::set_permissions(world.at("image/etc"), Permissions::from_mode(0o755)).unwrap();
        world
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn file(self, path: &str, mode: u32, text: &str) -> Self {
        let place = self.at(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, text).unwrap();
        fs::set_permissions(&place, Permissions::from_mode(mode)).unwrap();
        self
    }

    fn link(self, path: &str, target: &str) -> Self {
        let place = self.at(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        symlink(target, place).unwrap();
        self
    }

    fn marker(mut self, text: &str) -> Self {
        self.marker += text;
        self
    }

    fn try_plan(&self) -> Result<Plan, EtcError> {
        let marker = format!("schema = 1\nrole = \"host\"\nnode = \"web1\"\n{}", self.marker);
        let config = self.at("config");
        let image = self.at("image");
        let places = Places { config: &config, image: &image, has_modes: self.has_modes };
        prepare(places, &Marker::parse(&marker).unwrap(), &|_| Vec::new())
    }

    fn plan(&self) -> Plan {
        self.try_plan().unwrap()
    }

    /// Applies the plan; returns the owners that were set, by path in the target.
    fn apply(&self, plan: &Plan) -> Vec<(String, u32, u32)> {
        let owners = RefCell::new(Vec::new());
        let target = self.at("target");
        let record = |path: &Path, uid: u32, gid: u32| {
            let relative = path.strip_prefix(&target).unwrap().to_str().unwrap().to_owned();
            owners.borrow_mut().push((relative, uid, gid));
            Ok(())
        };
        apply(plan, &self.at("config/local/etc"), &target, &record).unwrap();
        owners.into_inner()
    }

    fn mode(&self, path: &str) -> u32 {
        fs::symlink_metadata(self.at(path)).unwrap().mode() & 0o7777
    }
}

fn reasons(plan: &Plan) -> Vec<String> {
    plan.dropped.iter().map(|refused| format!("{}: {}", refused.device, refused.reason)).collect()
}

fn links(plan: &Plan) -> Vec<(&str, &str)> {
    let link = |step: &'_ Step| matches!(step.what, What::Link { .. });
    let steps = plan.steps.iter().filter(|(_, step)| link(step));
    steps
        .map(|(path, step)| match &step.what {
            What::Link { target } => (path.as_str(), target.as_str()),
            _ => unreachable!("filtered above"),
        })
        .collect()
}

#[test]
fn copies_with_own_modes_and_roots_ownership() {
    let world = World::new()
        .file("config/local/etc/hostname", 0o644, "web1\n")
        .file("config/local/etc/cron.d/job", 0o640, "x")
        .file("config/local/etc/rc.local", 0o755, "#!/bin/sh\n")
        .link("config/local/etc/localtime", "/usr/share/zoneinfo/Europe/Berlin");
    let plan = world.plan();
    assert_eq!((plan.files, plan.bytes), (3, 16));
    assert_eq!((reasons(&plan), &plan.warnings), (vec![], &vec![]));
    let owners = world.apply(&plan);
    // /etc itself keeps the image's owner, who is whoever runs this test.
    assert!(owners.iter().all(|(path, uid, gid)| path.is_empty() || (*uid, *gid) == (0, 0)));
    assert_eq!(owners.len(), 6);
    assert_eq!(fs::read_to_string(world.at("target/hostname")).unwrap(), "web1\n");
    assert_eq!(world.mode("target/cron.d/job"), 0o640);
    assert_eq!(world.mode("target/rc.local"), 0o755);
    assert_eq!(fs::read_link(world.at("target/localtime")).unwrap(), Path::new("/usr/share/zoneinfo/Europe/Berlin"));
    let time = |path: &str| fs::metadata(world.at(path)).unwrap().modified().unwrap();
    assert_eq!(time("target/hostname"), time("config/local/etc/hostname"));
}

#[test]
fn modes_have_the_last_word() {
    let world = World::new()
        .file("image/etc/passwd", 0o644, "root:x:0:0::/root:/bin/sh\n_chrony:x:100:101::/:/x\n")
        .file("image/etc/group", 0o644, "ssl-cert:x:110:\n")
        .file("config/local/etc/group", 0o644, "ssl-cert:x:120:\n")
        .file("config/local/etc/ssl/private/key", 0o644, "k")
        .file("config/local/etc/chrony/keys", 0o644, "k")
        .file("config/local/etc/odd", 0o644, "k")
        .file(
            "config/local/modes",
            0o644,
            "etc/ssl/private root:ssl-cert 0710\netc/ssl/private/** root:ssl-cert 0640\netc/chrony/keys _chrony 0400\n\
             etc/odd wheel 0600\netc/gone root 0600\n",
        );
    let plan = world.plan();
    let step = |path: &str| (plan.steps[path].uid, plan.steps[path].gid, plan.steps[path].mode);
    assert_eq!(step("ssl/private"), (0, 120, 0o710));
    assert_eq!(step("ssl/private/key"), (0, 120, 0o640));
    assert_eq!(step("chrony/keys"), (100, 101, 0o400));
    assert_eq!(step("odd"), (0, 0, 0o600));
    assert_eq!(
        plan.warnings,
        [
            "/etc/odd stays root's: local/modes: there is no user wheel",
            "local/modes names etc/gone, which is not in the config"
        ]
    );
    let owners = world.apply(&plan);
    assert!(owners.contains(&("ssl/private/key".into(), 0, 120)));
    assert_eq!(world.mode("target/ssl/private"), 0o710);
}

#[test]
fn bad_modes_are_an_error_and_not_open_secrets() {
    let world = World::new().file("config/local/modes", 0o644, "etc/key root\n");
    assert!(world.try_plan().unwrap_err().to_string().starts_with("local/modes of the config: line 1 of modes"));
    let world = World::new();
    fs::create_dir(world.at("config/local/modes")).unwrap();
    assert!(matches!(world.try_plan(), Err(EtcError::ModesUnreadable)));
}

#[test]
fn folders_of_the_image_keep_the_images_mode() {
    let world = World::new().file("config/local/etc/ssh/sshd_config", 0o644, "").file("image/etc/ssh/x", 0o644, "");
    fs::set_permissions(world.at("config/local/etc/ssh"), Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(world.at("image/etc/ssh"), Permissions::from_mode(0o751)).unwrap();
    let plan = world.plan();
    assert_eq!(plan.steps["ssh"].mode, 0o751);
    let own = fs::metadata(world.at("image/etc/ssh")).unwrap();
    assert_eq!((plan.steps["ssh"].uid, plan.steps["ssh"].gid), (own.uid(), own.gid()));
    assert_eq!(plan.steps[""].mode, 0o755);
}

#[test]
fn a_file_system_without_modes_gets_sane_ones() {
    let mut world = World::new().file("config/local/etc/ssh/ssh_host_ed25519_key", 0o777, "k").file(
        "config/local/etc/ssh/ssh_host_ed25519_key.pub",
        0o777,
        "k",
    );
    world.has_modes = false;
    let plan = world.plan();
    let mode = |path: &str| plan.steps[path].mode;
    assert_eq!(mode("ssh"), 0o755);
    assert_eq!(mode("ssh/ssh_host_ed25519_key"), 0o600);
    assert_eq!(mode("ssh/ssh_host_ed25519_key.pub"), 0o644);
}

#[test]
fn a_private_host_key_of_a_checkout_is_private() {
    let world = World::new().file("config/local/etc/ssh/ssh_host_rsa_key", 0o644, "k");
    assert_eq!(world.plan().steps["ssh/ssh_host_rsa_key"].mode, 0o600);
}

#[test]
fn what_cannot_go_in_is_dropped_and_told() {
    let world = World::new();
    let entry = |path: &str, kind, attributes: &[&str]| Entry {
        path: path.into(),
        kind,
        mode: 0o644,
        attributes: attributes.iter().map(|name| name.to_string()).collect(),
    };
    let source = Source {
        entries: vec![
            entry("a", Kind::Other("a whiteout of an overlay"), &[]),
            entry("b", Kind::Other("a block device"), &[]),
            entry("c", Kind::Directory, &["trusted.overlay.opaque", "user.note"]),
            entry("d", Kind::File { size: 0 }, &["security.capability"]),
        ],
        dropped: Vec::new(),
    };
    let marker = Marker::parse("schema = 1\nrole = \"host\"\nnode = \"a\"\n").unwrap();
    let view = RootView::new(&world.at("image"));
    let plan = plan(&Inputs {
        source: &source,
        has_modes: true,
        marker: &marker,
        modes: &Modes::default(),
        image: &view,
        local: &view,
        global: &view,
    });
    assert_eq!(
        reasons(&plan),
        [
            "local/etc/a: it is a whiteout of an overlay",
            "local/etc/b: it is a block device",
            "local/etc/c: its attribute trusted.overlay.opaque is left out",
            "local/etc/d: its attribute security.capability is left out",
        ]
    );
    assert_eq!(plan.steps.keys().collect::<Vec<_>>(), ["", "c", "d"]);
}

#[test]
fn pipes_and_sockets_are_never_opened() {
    let world = World::new();
    nix::unistd::mkfifo(&world.at("config/local/etc/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(world.at("config/local/etc/socket")).unwrap();
    let plan = world.plan();
    assert_eq!(reasons(&plan), ["local/etc/pipe: it is a named pipe", "local/etc/socket: it is a socket"]);
    assert_eq!(world.apply(&plan).len(), 1);
}

#[test]
fn a_missing_folder_is_an_empty_one_and_told() {
    let world = World::new();
    fs::remove_dir(world.at("config/local/etc")).unwrap();
    let plan = world.plan();
    assert_eq!((plan.files, plan.steps.len()), (0, 1));
    assert_eq!(reasons(&plan), ["local/etc: it is missing, so /etc is the image's own"]);
    let world = world.link("config/local/etc", "/etc");
    assert!(reasons(&world.plan())[0].contains("it is not a directory"));
}

#[test]
fn too_much_is_an_error_that_names_size_and_bound() {
    let world = World::new().file("config/local/etc/a", 0o644, "12345").file("config/local/etc/b/c", 0o644, "12345");
    let folder = world.at("config/local/etc");
    let said = |bounds| local_etc::read(&folder, bounds, &|_| Vec::new()).unwrap_err().to_string();
    assert!(said(Bounds { bytes: 9, ..Bounds::default() }).contains("holds 10 bytes, expected 9 at most"));
    assert!(said(Bounds { entries: 2, ..Bounds::default() }).contains("more than 2 files and directories"));
    assert!(said(Bounds { depth: 0, ..Bounds::default() }).contains("deeper than 0 directories"));
    assert!(local_etc::read(&folder, Bounds { bytes: 10, entries: 3, depth: 1 }, &|_| Vec::new()).is_ok());
    let big = fs::File::create(world.at("config/local/etc/big")).unwrap();
    big.set_len(64 * 1024 * 1024).unwrap();
    assert!(world.try_plan().unwrap_err().to_string().contains("holds 67108874 bytes, expected 67108864 at most"));
}

#[test]
fn a_file_that_grows_meanwhile_is_an_error() {
    let world = World::new().file("config/local/etc/a", 0o644, "12345");
    let plan = world.plan();
    let world = world.file("config/local/etc/a", 0o644, "123456");
    let error = apply(&plan, &world.at("config/local/etc"), &world.at("target"), &|_, _, _| Ok(())).unwrap_err();
    assert!(error.to_string().ends_with("found 6 bytes, expected 5"), "{error}");
}

#[test]
fn a_file_that_turns_into_a_link_is_not_followed() {
    let world = World::new().file("config/local/etc/a", 0o644, "12345").file("secret", 0o644, "12345");
    let plan = world.plan();
    fs::remove_file(world.at("config/local/etc/a")).unwrap();
    let world = world.link("config/local/etc/a", "../../../secret");
    let error = apply(&plan, &world.at("config/local/etc"), &world.at("target"), &|_, _, _| Ok(())).unwrap_err();
    assert!(matches!(error, ApplyError::Read { .. }), "{error}");
}

#[test]
fn enables_and_masks_units() {
    let unit = "[Install]\nWantedBy=multi-user.target\nAlias=www.service\nAlso=nginx.socket\n";
    let world = World::new()
        .file("image/usr/lib/systemd/system/nginx.service", 0o644, unit)
        .file("image/usr/lib/systemd/system/nginx.socket", 0o644, "[Install]\nRequiredBy=sockets.target\n")
        .file("image/usr/lib/systemd/system/getty@.service", 0o644, "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n")
        .file("image/usr/lib/systemd/system/vpn@.service", 0o644, "[Install]\nWantedBy=%p-%i.target\n")
        .file("image/usr/lib/systemd/system/dbus.service", 0o644, "[Unit]\n")
        .file("image/usr/lib/systemd/system/off.service", 0o644, unit)
        .link("image/etc/systemd/system/off.service", "/dev/null")
        .file("config/local/etc/systemd/system/own.timer", 0o644, "[Install]\nWantedBy=timers.target\n")
        .marker("enable = [\"nginx\", \"getty@.service\", \"vpn@.service\", \"vpn@x.service\", \"own.timer\", \"dbus.service\", ")
        .marker("\"gone\", \"../x\", \"off\"]\nmask = [\"cron.service\", \"a/b\"]\n");
    let plan = world.plan();
    assert_eq!(
        links(&plan),
        [
            ("systemd/system/cron.service", "/dev/null"),
            ("systemd/system/getty.target.wants/getty@tty1.service", "/usr/lib/systemd/system/getty@.service"),
            ("systemd/system/multi-user.target.wants/nginx.service", "/usr/lib/systemd/system/nginx.service"),
            ("systemd/system/sockets.target.requires/nginx.socket", "/usr/lib/systemd/system/nginx.socket"),
            ("systemd/system/timers.target.wants/own.timer", "/etc/systemd/system/own.timer"),
            ("systemd/system/vpn-x.target.wants/vpn@x.service", "/usr/lib/systemd/system/vpn@.service"),
            ("systemd/system/www.service", "/usr/lib/systemd/system/nginx.service"),
        ]
    );
    let reasons = reasons(&plan).join("\n");
    for said in [
        "enable vpn@.service: /usr/lib/systemd/system/vpn@.service is a template: name an instance",
        "enable dbus.service: /usr/lib/systemd/system/dbus.service has no [Install] section",
        "enable gone: there is no such unit in the image or the config",
        "enable ../x: it is not a unit's name",
        "enable off: it is masked in the image (/etc/systemd/system/off.service)",
        "mask a/b: it is not a unit's name",
    ] {
        assert!(reasons.contains(said), "{said} in {reasons}");
    }
    world.apply(&plan);
    assert_eq!(world.mode("target/systemd/system/multi-user.target.wants"), 0o755);
}

#[test]
fn units_that_name_each_other_end() {
    let world = World::new()
        .file("image/usr/lib/systemd/system/a.service", 0o644, "[Install]\nAlso=b.service\nWantedBy=x.target\n")
        .file("image/usr/lib/systemd/system/b.service", 0o644, "[Install]\nAlso=a.service\n")
        .marker("enable = [\"a\"]\n");
    let plan = world.plan();
    assert_eq!(links(&plan).len(), 1);
    assert_eq!(reasons(&plan), Vec::<String>::new());
}

#[test]
fn links_of_the_marker_stay_below_etc() {
    let world = World::new()
        .link("config/local/etc/out", "/tmp")
        .link("image/etc/lib", "/usr/lib")
        .marker("[links]\n\"/etc/a/b\" = \"../c\"\n\"/etc/../x\" = \"y\"\n\"/usr/x\" = \"y\"\n\"/etc/out/x\" = \"y\"\n")
        .marker("\"/etc/lib/x\" = \"y\"\n\"/etc/e\" = \"\"\n");
    let plan = world.plan();
    assert_eq!(links(&plan), [("a/b", "../c"), ("out", "/tmp")]);
    let reasons = reasons(&plan).join("\n");
    for said in [
        "links /etc/../x: expected a path below /etc",
        "links /usr/x: expected a path below /etc",
        "links /etc/out/x: /etc/out is no directory in the config",
        "links /etc/lib/x: /etc/lib is no directory in the image",
        "links /etc/e: its target is empty",
    ] {
        assert!(reasons.contains(said), "{said} in {reasons}");
    }
}

#[test]
fn global_links_are_made_where_the_target_is_there() {
    let world = World::new()
        .file("config/global/hosts", 0o644, "127.0.0.1 localhost\n")
        .file("config/global/apt/sources", 0o644, "")
        .file("config/local/etc/hosts", 0o644, "old\n")
        .marker("global-links = [\"/etc/hosts\", \"/etc/apt/sources\", \"/etc/motd\", \"/root/x\"]\n");
    let plan = world.plan();
    assert_eq!(links(&plan), [("apt/sources", "/config/global/apt/sources"), ("hosts", "/config/global/hosts")]);
    assert_eq!(plan.global_links, ["/etc/hosts", "/etc/apt/sources"]);
    assert_eq!(reasons(&plan), ["global-links /root/x: expected a path below /etc, without . and .."]);
    assert_eq!(plan.warnings, ["/etc/hosts of the config is hidden by the marker's global-links"]);
    assert_eq!((plan.files, plan.bytes), (0, 0));
}

#[test]
fn hiding_a_folder_of_the_image_is_told() {
    let world = World::new()
        .file("config/local/etc/ssh", 0o644, "")
        .file("config/local/etc/lib/x", 0o644, "")
        .file("image/etc/ssh/x", 0o644, "")
        .link("image/etc/lib", "/usr/lib");
    assert_eq!(
        world.plan().warnings,
        [
            "/etc/lib: the config's directory hides the image's file or link",
            "/etc/ssh: the config's file or link hides the image's directory"
        ]
    );
}

#[test]
fn a_view_stays_inside_its_root() {
    let world = World::new()
        .file("secret", 0o644, "outside")
        .file("image/etc/real", 0o644, "inside")
        .link("image/etc/up", "../../secret")
        .link("image/etc/absolute", "/etc/real")
        .link("image/etc/dangling", "nowhere");
    let view = RootView::new(&world.at("image"));
    assert_eq!(view.read("/etc/up"), None);
    assert_eq!(view.read("../secret"), None);
    assert_eq!(view.read("etc/absolute").as_deref(), Some("inside"));
    assert_eq!(view.link("etc/absolute").as_deref(), Some("/etc/real"));
    assert_eq!((view.exists("etc/dangling"), view.exists("etc/none")), (true, false));
    assert_eq!((view.directory("etc").is_some(), view.directory("etc/absolute").is_some()), (true, false));
    assert_eq!(RootView::new(&world.at("none")).read("etc/real"), None);
}
