//! What the profile adds to a configured root: overlay, users, services.

use crate::world::{EPOCH, link, listing, node, text, with_base, world};
use applbuild::packages::Ids;
use applbuild::rootfs::AssembleError;
use applbuild::tree::Tree;
use applbuild_test_support::debs::{Deb, base};
use applbuild_test_support::namespace::{Test, tests};
use appliance_contract::causes::WithCauses as _;

pub const TESTS: &[Test] = tests![overlays_are_laid_over, passwords_are_refused, users_keep_the_ids_that_the_lock_has];

fn overlays_are_laid_over() {
    let profile = "[files.modes]\n\"/etc/of-a\" = { mode = \"0640\", owner = \"_a\", group = \"_a\" }\n\
        [files.links]\n\"/etc/link\" = \"of-a\"\n\"/root\" = \"var/roothome\"\n[variables]\ncolour = \"red\"\n";
    let files = [("etc/of-a", "a"), ("etc/rendered.hbs", "{{vars.colour}} {{version}}"), ("deep/er/file", "x")];
    let rich = world(profile, &files);
    let assembled = rich.assemble(&base()).unwrap_or_else(|error| panic!("{error}"));
    let tree = &assembled.tree;
    let metadata = &node(tree, "/etc/of-a").unwrap().metadata;
    assert_eq!((metadata.mode, metadata.uid, metadata.gid, metadata.mtime), (0o640, 500, 500, EPOCH));
    assert_eq!(text(tree, "/etc/rendered"), "red 1-2");
    assert_eq!((link(tree, "/etc/link"), link(tree, "/root")), ("of-a".into(), "var/roothome".into()));
    assert_eq!(node(tree, "/deep/er").unwrap().metadata.mode, 0o755);
    let stranger =
        world("[files.modes]\n\"/etc/x\" = { mode = \"0640\", owner = \"nobody-here\" }\n", &[("etc/x", "")]);
    let error = stranger.assemble(&base()).unwrap_err();
    assert!(error.with_causes().contains("nobody-here"), "{error}");
    let services = world("[services]\nenable = [\"x.service\"]\n", &[]);
    assert!(matches!(services.assemble(&base()), Err(AssembleError::NoSystemctl { key: "enable" })));
}

fn passwords_are_refused() {
    let error = world("", &[("etc/shadow", "root:$y$j9T$x:1::::::\n")]).assemble(&base()).unwrap_err();
    assert!(matches!(&error, AssembleError::Password { user, .. } if user == "root"), "{error}");
}

/// A package whose script makes a user and a group of its name, with the next free id, and files of theirs.
fn service(name: &str, after: &str) -> Deb {
    let script = format!(
        "next=100; while read -r line; do\n\
         rest=${{line#*:*:}}; [ \"${{rest%%:*}}\" -lt \"$next\" ] || [ \"${{rest%%:*}}\" -gt 499 ] || next=$((${{rest%%:*}} + 1))\n\
         done < /etc/passwd\n\
         echo \"{name}:x:$next:$next::/:/bin/false\" >> /etc/passwd; echo \"{name}:x:$next:\" >> /etc/group\n\
         echo \"{name}:!:19000::::::\" >> /etc/shadow\n\
         mkdir /var/{name}; echo state > /var/{name}/state; chown -R \"$next:$next\" /var/{name}\n\
         chown \"0:$next\" /usr/bin/{name}; chmod 2755 /usr/bin/{name}"
    );
    Deb::new(name)
        .field(&format!("Depends: {after}"))
        .program(&format!("usr/bin/{name}"), "#!/bin/sh\n", 0o755)
        .hard_link(&format!("usr/bin/{name}-too"), &format!("usr/bin/{name}"))
        .script("postinst", &script)
}

fn users_keep_the_ids_that_the_lock_has() {
    let world = world("", &[]);
    let owner = |tree: &Tree, path: &str| {
        let metadata = &node(tree, path).unwrap().metadata;
        (metadata.uid, metadata.gid, metadata.mode)
    };
    // m is configured first: its script gives 100, that of z 101.
    let (first, old) =
        world.assemble_with(&with_base([service("m", "tools"), service("z", "m")]), &Ids::default()).unwrap();
    assert_eq!((old.users["m"], old.users["z"], old.groups["m"], old.groups["z"]), (100, 101, 100, 101));
    // _a is base-files' own, of an id that the script of neither takes.
    assert_eq!(old.users["_a"], 500);
    assert_eq!(owner(&first.tree, "/var/z/state"), (101, 101, 0o644));
    drop(first);
    // One that comes before both, and one less: the others keep theirs, whatever scripts say.
    let (second, new) = world.assemble_with(&with_base([service("a", "tools"), service("z", "a")]), &old).unwrap();
    assert_eq!((new.users["z"], new.users["m"], new.users["a"]), (101, 100, 999));
    assert_eq!(owner(&second.tree, "/var/z/state"), (101, 101, 0o644));
    assert_eq!(owner(&second.tree, "/var/a"), (999, 999, 0o755));
    assert_eq!(owner(&second.tree, "/usr/bin/a"), (0, 999, 0o2755));
    assert_eq!(owner(&second.tree, "/usr/bin/z-too"), (0, 101, 0o2755));
    let passwd = text(&second.tree, "/etc/passwd");
    assert!(passwd.contains("\na:x:999:999:") && passwd.contains("\nz:x:101:101:"), "{passwd}");
    assert!(text(&second.tree, "/etc/group").ends_with("a:x:999:\nz:x:101:\n"));
    let shown = listing(&second.tree);
    drop(second);
    // Alone its script would give 100.
    let (alone, _) = world.assemble_with(&with_base([service("z", "tools")]), &new).unwrap();
    assert_eq!(owner(&alone.tree, "/var/z/state"), (101, 101, 0o644));
    assert_eq!(owner(&alone.tree, "/usr/bin/z"), (0, 101, 0o2755));
    drop(alone);
    // From the lock that this made, the same again.
    let (third, same) = world.assemble_with(&with_base([service("a", "tools"), service("z", "a")]), &new).unwrap();
    assert_eq!((listing(&third.tree), same), (shown, new));
}
