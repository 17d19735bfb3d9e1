//! Lists of kernel modules, which are made while the scripts run.

use crate::world::{Listener, text, with_base, world};
use applbuild::packages::Ids;
use applbuild::progress::Silent;
use applbuild::rootfs::{AssembleError, Request, WorkFolder, configure};
use applbuild::tree::Tree;
use applbuild_test_support::debs::{Deb, lock};
use applbuild_test_support::namespace::{Test, tests};

pub const TESTS: &[Test] = tests![
    modules_are_listed_beside_the_scripts,
    modules_are_listed_as_scripts_leave_them,
    tools_that_make_an_initramfs_find_the_lists,
    modules_that_cannot_be_listed_are_an_error,
];

/// A depmod that tells of what it sees, and a package with modules.
fn with_modules(depmod: &str) -> Vec<Deb> {
    let program = format!("#!/bin/sh\ncd /lib/modules/$1\n{depmod}\n");
    let kmod = Deb::new("kmod")
        .folder("usr")
        .folder("usr/sbin")
        .program("usr/sbin/depmod", program, 0o755)
        .folder("etc")
        .folder("etc/depmod.d")
        .file("etc/depmod.d/own.conf", "override x\n")
        .control("conffiles", "/etc/depmod.d/own.conf\n");
    let kernel = Deb::new("linux-image")
        .folder("boot")
        .file("boot/vmlinuz-6.1", "kernel")
        .folder("usr")
        .folder("usr/lib")
        .folder("usr/lib/modules")
        .folder("usr/lib/modules/6.1")
        .file("usr/lib/modules/6.1/a.ko", "a")
        .script("postinst", "depmod 6.1");
    let other = Deb::new("more-modules").folder("usr/lib/modules/6.1").file("usr/lib/modules/6.1/b.ko", "b");
    with_base([kmod, kernel, other])
}

fn modules_are_listed_beside_the_scripts() {
    let world = world("", &[]);
    let debs = with_modules("echo *.ko >modules.dep; cat /etc/depmod.d/own.conf >modules.conf");
    let (lock, files) = lock(&debs, &world.path().join("debs"));
    let (listener, others) = (Listener::default(), Ids::default());
    let request = Request { profile: &world.profile, lock: &lock, files: &files, others: &others, ahead: &listener };
    let work = WorkFolder::new(&world.path().join("work")).unwrap();
    let assembled = configure(&request, work, &Silent).unwrap().assemble(&world.profile, &lock, "1").unwrap();
    let list = |tree: &Tree, name: &str| text(tree, &format!("/usr/lib/modules/6.1/{name}"));
    assert_eq!(list(&assembled.tree, "modules.dep"), "a.ko b.ko\n");
    assert_eq!(list(&assembled.tree, "modules.conf"), "override x\n");
    let told = listener.modules.into_inner().unwrap().unwrap();
    assert_eq!((list(&told, "modules.dep"), list(&told, "b.ko")), ("a.ko b.ko\n".into(), "b".into()));
}

fn modules_are_listed_as_scripts_leave_them() {
    let listed = |more: Deb| {
        let world = world("", &[]);
        let depmod = "for file in *.ko; do cat $file >/dev/null || echo \"depmod: ERROR: $file\" >&2; done\n\
            echo *.ko >modules.dep; cat /etc/depmod.d/*.conf >modules.conf";
        let assembled = world.assemble(&[with_modules(depmod), vec![more]].concat()).unwrap();
        let list = |name: &str| text(&assembled.tree, &format!("/usr/lib/modules/6.1/{name}"));
        (list("modules.dep"), list("modules.conf"))
    };
    let (all, config) = ("a.ko b.ko\n".to_owned(), "override x\n".to_owned());
    let stale = Deb::new("stale").file("usr/lib/modules/6.1/modules.dep", "stale\n");
    assert_eq!(listed(stale), (all.clone(), config.clone()));
    let made = Deb::new("made").script("postinst", "echo c >/usr/lib/modules/6.1/c.ko");
    assert_eq!(listed(made), ("a.ko b.ko c.ko\n".into(), config.clone()));
    let gone = Deb::new("gone").script("postinst", "rm /usr/lib/modules/6.1/b.ko");
    assert_eq!(listed(gone), ("a.ko\n".into(), config.clone()));
    let configured = Deb::new("configured").script("postinst", "echo y >/etc/depmod.d/script.conf");
    assert_eq!(listed(configured), (all.clone(), "override x\ny\n".into()));
    // Where the packages with modules alone are, this link leads nowhere; in the image it does not.
    let linked = Deb::new("vendor").symlink("usr/lib/modules/6.1/c.ko", "/usr/lib/os-release");
    assert_eq!(listed(linked), ("a.ko b.ko c.ko\n".into(), config));
}

fn tools_that_make_an_initramfs_find_the_lists() {
    let world = world("", &[]);
    let tool = Deb::new("maker")
        .field("Provides: linux-initramfs-tool")
        .script("postinst", "cat /usr/lib/modules/6.1/modules.dep >/var/lib/found");
    let debs = [with_modules("echo *.ko >modules.dep"), vec![tool]].concat();
    let assembled = world.assemble(&debs).unwrap();
    assert_eq!(text(&assembled.tree, "/var/lib/found"), "a.ko b.ko\n");
}

fn modules_that_cannot_be_listed_are_an_error() {
    // As the real one does where it cannot read a module.
    for depmod in ["echo 'depmod: ERROR: failed to load symbols' >&2", "echo 'no such thing' >&2; exit 3"] {
        let world = world("", &[]);
        match world.assemble(&with_modules(depmod)) {
            Err(AssembleError::Program { program, log, .. }) => {
                assert_eq!(program, "/usr/sbin/depmod 6.1");
                assert!(log.contains("failed to load") || log.contains("no such thing"), "{log}");
            }
            other => panic!("{depmod}: {other:?}"),
        }
        assert!(world.work_is_empty());
    }
}
