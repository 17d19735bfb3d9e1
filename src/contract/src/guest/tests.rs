use super::*;

const EXAMPLE: &str = r#"
schema = 1
image = "guest-web"
memory = "256M"
vcpus = 1
mode = "respawn"
after = ["db"]
vserver = "web"

[[network]]
bridge = "br0"

[[disk]]
name = "data"
source = "/dev/vg0/web-data"
create = true
size = "10G"
"#;

const LEAST: &str = "schema = 1\nimage = \"guest\"\nmemory = \"64M\"\n";

fn refused(rest: &str) -> String {
    let error = GuestConfig::parse(&format!("{LEAST}{rest}")).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error:?}");
    error
}

#[test]
fn reads_the_documented_example() {
    let config = GuestConfig::parse(EXAMPLE).unwrap();
    assert_eq!(config.image.name(), "guest-web");
    assert_eq!(config.memory.mebibytes(), 256);
    assert_eq!(config.mode, Mode::Respawn);
    assert!(config.after.contains(&"db".parse::<GuestName>().unwrap()));
    assert_eq!(config.networks[0].bridge.as_str(), "br0");
    let disk = &config.disks[0];
    assert_eq!(disk.source.logical_volume(), Some(("vg0", "web-data")));
    let size = Some(Size::try_from("10G".to_owned()).unwrap());
    assert_eq!(disk.access, Access::Write { content: Content::Ext4, create: size });
}

#[test]
fn what_is_written_reads_the_same() {
    for text in [
        EXAMPLE,
        LEAST,
        "schema = 1\nimage = \"a@1\"\nmemory = \"1G\"\n[[disk]]\nname = \"s\"\nsource = \"/data/s\"\nswap = true\ncreate = true\nsize = \"1G\"\n[[disk]]\nname = \"r\"\nsource = \"/data/r\"\nread-only = true\n",
    ] {
        let config = GuestConfig::parse(text).unwrap();
        let written = toml::to_string(&config).unwrap();
        assert_eq!(GuestConfig::parse(&written).unwrap(), config, "{written}");
    }
}

#[test]
fn defaults_are_as_documented() {
    let config = GuestConfig::parse(LEAST).unwrap();
    assert_eq!((config.vcpus.get(), config.autostart), (1, true));
    assert_eq!((config.stop_timeout.get(), config.ready_timeout.get()), (60, 300));
    assert_eq!((config.hypervisor, config.accel, config.machine), (Hypervisor::Auto, Accel::Kvm, Machine::Q35));
    assert_eq!(config.managed_by, ManagedBy::Systemd);
}

#[test]
fn unknown_words_are_refused_with_the_nearest_right_one() {
    for (rest, said) in [
        ("memmory = \"1M\"\n", "line 4: memmory: unknown field `memmory`"),
        ("memmory = \"1M\"\n", "(did you mean memory?)"),
        ("mode = \"respwan\"\n", "line 4: mode: unknown variant `respwan`"),
        ("mode = \"respwan\"\n", "(did you mean respawn?)"),
        ("[[disk]]\nname = \"a\"\nsource = \"/a\"\nreadonly = true\n", "line 7: disk.readonly: unknown field"),
        ("[[disk]]\nname = \"a\"\nsource = \"/a\"\nreadonly = true\n", "(did you mean read-only?)"),
        ("[network]\nbridge = \"br0\"\n", "line 4: network: "),
        ("[[netwrok]]\n", "(did you mean network?)"),
    ] {
        let error = refused(rest);
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn errors_name_line_and_key() {
    for (rest, said) in [
        ("vcpus = 0\n", "line 4: vcpus: found 0, expected 1 to 512"),
        ("vcpus = -1\n", "line 4: vcpus: "),
        ("vcpus = \"2\"\n", "line 4: vcpus: invalid type: string"),
        ("after = [\n  \"db\",\n  \"d b\",\n]\n", "after: \"d b\" is not a host name"),
        ("stop-timeout = \"60\"\n", "stop-timeout: found \"60\", expected a whole number and s, min or h"),
        ("stop-timeout = 60\n", "line 4: stop-timeout: invalid type: integer `60`"),
        ("[[network]]\nmac = \"ff:ff:ff:ff:ff:ff\"\n", "line 5: network.mac: found"),
        ("[[network]]\nbridge = \"br0 evil\"\n", "network.bridge: found \"br0 evil\""),
        ("[[disk]]\nname = \"root\"\nsource = \"/a\"\n", "disk.name: found \"root\", which is the name of a disk that"),
        ("[[disk]]\nname = \"a\"\nsource = \"a\"\n", "disk.source: found \"a\", expected the absolute path"),
        ("[[disk]]\nname = \"a\"\nsource = \"/a/../b\"\n", "without . and .."),
        ("[[disk]]\nsource = \"/a\"\n", "missing field `name`"),
        ("ready-port = 0\n", "line 4: ready-port: "),
        ("vcpus = \n", "line 4: vcpus: "),
    ] {
        let error = refused(rest);
        assert!(error.contains(said), "{error:?} lacks {said:?}");
    }
    let error = GuestConfig::parse("schema = 1\nimage = \"a\"\n").unwrap_err();
    assert_eq!((error.line, error.problem.as_str()), (None, "missing field `memory`"));
    let error = GuestConfig::parse("schema = 2\nimage = \"a\"\nmemory = \"64M\"\n").unwrap_err().to_string();
    assert!(error.starts_with("line 1: schema: schema version 2"), "{error}");
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (rest, said) in [
        ("[[disk]]\nname = \"a\"\nsource = \"/a\"\ncreate = true\n", "needs a size"),
        ("[[disk]]\nname = \"a\"\nsource = \"/a\"\nsize = \"1G\"\n", "create = true asks for"),
        ("[[disk]]\nname = \"a\"\nsource = \"/a\"\nread-only = true\nswap = true\n", "exclude each other"),
        ("[[disk]]\nname = \"a\"\nsource = \"/dev/sdb1\"\ncreate = true\nsize = \"1G\"\n", "cannot be made"),
        ("[[disk]]\nname = \"a\"\nsource = \"/dev/mapper/x\"\ncreate = true\nsize = \"1G\"\n", "cannot be made"),
        ("[[disk]]\nname = \"a\"\nsource = \"/a\"\n[[disk]]\nname = \"a\"\nsource = \"/b\"\n", "two disks are named a"),
        ("[[disk]]\nname = \"a\"\nsource = \"/a\"\n[[disk]]\nname = \"b\"\nsource = \"/a\"\n", "same source /a"),
        (
            "[[network]]\nmac = \"02:00:00:00:00:01\"\n[[network]]\nmac = \"02:00:00:00:00:01\"\n",
            "two network cards have the address 02:00:00:00:00:01",
        ),
        ("accel = \"tcg\"\nhypervisor = \"xen\"\n", "asks for Xen"),
        ("machine = \"microvm\"\n[[network]]\nmodel = \"e1000e\"\n", "needs PCI"),
        ("ready-port = 80\n", "needs a network card"),
    ] {
        let error = refused(rest);
        assert!(error.contains(said), "{error:?} lacks {said:?}");
    }
}
