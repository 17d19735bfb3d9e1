use super::*;

fn boot(hypervisors: &[Hypervisor]) -> Boot {
    Boot {
        hypervisors: hypervisors.to_vec(),
        kernel: None,
        protocol: Protocol::Linux,
        kernel_arguments: vec!["panic=30".into()],
        xen_arguments: vec!["dom0_mem=512M,max:512M".into()],
        consoles: vec!["tty0".into(), "ttyS0,115200".into()],
        on_missing: OnMissing::Shell,
        menu_timeout: 5,
        secure_boot: false,
    }
}

fn request(boot: &Boot) -> Request<'_> {
    Request {
        boot,
        name: "host",
        version: "2026.11.1",
        role: Role::Host,
        root: Some((
            RootSource::Medium { uuid: "2026-11-01-00-00-00-00".into(), path: medium::ROOT_IMAGE.into() },
            [0xab; 32].into(),
        )),
        kernel: medium::KERNEL,
        has_xen: true,
        has_microcode: true,
    }
}

fn ids(entries: &Entries) -> Vec<&str> {
    entries.entries.iter().map(|entry| entry.id).collect()
}

#[test]
fn the_first_hypervisor_is_the_default() {
    let first = boot(&[Hypervisor::Xen, Hypervisor::Kvm]);
    let entries = Entries::new(&request(&first));
    assert_eq!(ids(&entries), ["xen", "kvm", "check", "rescue"]);
    assert_eq!((entries.default_id(), entries.default_without_multiboot2()), ("xen", "kvm"));
    let second = boot(&[Hypervisor::Kvm, Hypervisor::Xen]);
    let entries = Entries::new(&request(&second));
    assert_eq!(ids(&entries), ["kvm", "xen", "check", "rescue"]);
    assert_eq!((entries.default_id(), entries.default_without_multiboot2()), ("kvm", "kvm"));
}

#[test]
fn each_loader_gets_its_words() {
    let boot = boot(&[Hypervisor::Xen, Hypervisor::Kvm]);
    let entries = Entries::new(&request(&boot));
    let lines = |index: usize| entries.entries[index].steps.iter().map(Step::line).collect::<Vec<_>>();
    let ours = format!("appliance.root=medium:2026-11-01-00-00-00-00 appliance.roothash={}", "ab".repeat(32));
    assert_eq!(
        lines(0),
        [
            "multiboot2 /boot/xen.gz com1=115200,8n1 console=com1,vga ucode=scan dom0_mem=512M,max:512M".to_owned(),
            format!("module2 /boot/vmlinuz {ours} ro earlyprintk=xen console=tty0 console=hvc0 panic=30"),
            "module2 /boot/initramfs.zst".to_owned(),
            "module2 /boot/microcode.cpio".to_owned(),
        ]
    );
    assert_eq!(
        lines(1),
        [
            format!("linux /boot/vmlinuz {ours} ro console=tty0 console=ttyS0,115200 panic=30"),
            "initrd /boot/microcode.cpio /boot/initramfs.zst".to_owned(),
        ]
    );
    let manifest = entries.manifest();
    assert_eq!(manifest[2].id, "check");
    let args = KernelArgs::parse(&manifest[2].kernel_arguments).unwrap();
    assert_eq!((args.action, args.root_hash), (Action::Check, Some([0xab; 32].into())));
}

#[test]
fn an_image_without_xen_has_no_xen_entry_and_says_so() {
    let boot = boot(&[Hypervisor::Xen, Hypervisor::Kvm]);
    let entries = Entries::new(&Request { has_xen: false, ..request(&boot) });
    assert_eq!(ids(&entries), ["kvm", "check", "rescue"]);
    assert_eq!(entries.warnings.len(), 1);
    let only = Boot { hypervisors: vec![Hypervisor::Xen], ..boot };
    let entries = Entries::new(&Request { has_xen: false, ..request(&only) });
    assert_eq!(ids(&entries), ["linux", "check", "rescue"]);
}

#[test]
fn a_profile_that_turns_the_shell_off_has_no_rescue_entry() {
    let boot = Boot { on_missing: OnMissing::Reboot, ..boot(&[Hypervisor::Kvm]) };
    let entries = Entries::new(&request(&boot));
    assert_eq!(ids(&entries), ["kvm", "check"]);
    assert!(entries.entries[0].kernel_arguments.contains("appliance.on-missing=reboot"));
}

#[test]
fn a_foreign_system_is_started_by_its_protocol() {
    for (protocol, line) in [
        (Protocol::Linux, "linux /netbsd console=tty0 console=ttyS0,115200 panic=30"),
        (Protocol::Multiboot, "multiboot /netbsd panic=30"),
        (Protocol::Multiboot2, "multiboot2 /netbsd panic=30"),
        (
            Protocol::Xen,
            "multiboot2 /boot/xen.gz com1=115200,8n1 console=com1,vga dom0_mem=512M,max:512M;module2 /netbsd panic=30",
        ),
    ] {
        let boot = Boot { protocol, ..boot(&[]) };
        let request = Request { root: None, kernel: "/netbsd", has_microcode: false, ..request(&boot) };
        let entries = Entries::new(&request);
        assert_eq!(ids(&entries), ["system"]);
        let lines: Vec<_> = entries.entries[0].steps.iter().map(Step::line).collect();
        assert_eq!(lines.join(";"), line);
    }
}

#[test]
fn words_that_grub_would_read_otherwise_are_quoted() {
    assert_eq!(word("dyndbg=\"file drivers/usb/* +p\""), "'dyndbg=\"file drivers/usb/* +p\"'");
    assert_eq!(word("a;reboot"), "'a;reboot'");
    assert_eq!(word("it's"), r"'it'\''s'");
    assert_eq!(word("a=$b"), "'a=$b'");
}

#[test]
fn reads_serial_consoles() {
    assert_eq!(serial_port("ttyS1,57600n8"), Some((1, 57600)));
    assert_eq!(serial_port("ttyS0"), Some((0, 9600)));
    assert_eq!(serial_port("tty0"), None);
    assert_eq!(serial_port("hvc0"), None);
}
