use super::*;
use proptest::prelude::*;

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
        ("[[disk]]\nname = \"root\"\nsource = \"/a\"\n", "disk.name: found \"root\", which is reserved for a disk"),
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
        ("[[disk]]\nname = \"a\"\nsource = \"/a\"\nsize = \"1G\"\n", "size needs create = true"),
        ("[[disk]]\nname = \"a\"\nsource = \"/a\"\nread-only = true\nswap = true\n", "exclude each other"),
        ("[[disk]]\nname = \"a\"\nsource = \"/dev/sdb1\"\ncreate = true\nsize = \"1G\"\n", "cannot be made"),
        ("[[disk]]\nname = \"a\"\nsource = \"/dev/mapper/x\"\ncreate = true\nsize = \"1G\"\n", "cannot be made"),
        ("[[disk]]\nname = \"a\"\nsource = \"/a\"\n[[disk]]\nname = \"a\"\nsource = \"/b\"\n", "two disks are named a"),
        ("[[disk]]\nname = \"a\"\nsource = \"/a\"\n[[disk]]\nname = \"b\"\nsource = \"/a\"\n", "same source /a"),
        (
            "[[network]]\nmac = \"02:00:00:00:00:01\"\n[[network]]\nmac = \"02:00:00:00:00:01\"\n",
            "two network cards have the address 02:00:00:00:00:01",
        ),
        ("accel = \"tcg\"\nhypervisor = \"xen\"\n", "needs KVM"),
        ("machine = \"microvm\"\n[[network]]\nmodel = \"e1000e\"\n", "needs PCI"),
        ("ready-port = 80\n", "needs a network card"),
    ] {
        let error = refused(rest);
        assert!(error.contains(said), "{error:?} lacks {said:?}");
    }
}

/// A line of TOML, or none: the key has its default then.
fn line(key: &'static str, value: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    prop_oneof![Just(String::new()), value.prop_map(move |value| format!("{key} = {value}\n"))].boxed()
}

fn quoted(pattern: &'static str) -> impl Strategy<Value = String> {
    pattern.prop_map(|text| format!("{text:?}"))
}

fn disk() -> impl Strategy<Value = String> {
    let made = (quoted("[1-9][0-9]{0,2}[KMGT]"), prop_oneof![Just("swap = true"), Just("format = \"none\""), Just("")])
        .prop_map(|(size, content)| format!("create = true\nsize = {size}\n{content}\n"));
    prop_oneof![Just(String::new()), Just("read-only = true\n".to_owned()), Just("swap = true\n".to_owned()), made]
}

fn card() -> impl Strategy<Value = String> {
    (line("bridge", quoted("[a-z][a-z0-9._-]{0,14}")), line("mac", quoted("02(:[0-9a-fA-F]{2}){5}")))
        .prop_map(|(bridge, mac)| format!("[[network]]\n{bridge}{mac}"))
}

prop_compose! {
    fn file()(
        image in quoted("[a-z][a-z0-9._-]{0,20}(@[0-9][0-9a-z.+~-]{0,10})?"),
        memory in 16_u64..1 << 24,
        rest in (
            line("vcpus", (1_u16..513).prop_map(|count| count.to_string())),
            line("mode", quoted("respawn|once|wait")),
            line("autostart", any::<bool>().prop_map(|on| on.to_string())),
            line("after", proptest::collection::vec(quoted("[a-z][a-z0-9]{0,10}"), 0..4).prop_map(|all| format!("[{}]", all.join(", ")))),
            line("stop-timeout", quoted("[1-9][0-9]{0,2}(s|min)")),
            line("ready-timeout", quoted("[1-9][0-9]{0,2}(s|min)")),
            line("machine", quoted("q35|microvm")),
            line("managed-by", quoted("systemd|cluster")),
            line("vserver", quoted("[a-z][a-z0-9]{0,10}")),
        ),
        disks in proptest::collection::vec(disk(), 0..4),
        cards in proptest::collection::vec(card(), 0..2),
    ) -> String {
        let (a, b, c, d, e, f, g, h, i) = rest;
        let disks: String = disks
            .iter()
            .enumerate()
            .map(|(index, disk)| format!("[[disk]]\nname = \"d{index}\"\nsource = \"/dev/vg/v{index}\"\n{disk}"))
            .collect();
        format!("schema = 1\nimage = {image}\nmemory = \"{memory}M\"\n{a}{b}{c}{d}{e}{f}{g}{h}{i}{disks}{}", cards.concat())
    }
}

proptest! {
    #[test]
    fn what_is_valid_is_taken_and_written_again(text in file()) {
        let config = GuestConfig::parse(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        let written = toml::to_string(&config).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(GuestConfig::parse(&written), Ok(config), "{}", written);
    }

    /// A valid file that was damaged at one place is taken, or refused in one line that names a line of it.
    #[test]
    fn damage_is_told_in_one_line(text in file(), place in any::<proptest::sample::Index>(), damage in "(?s).{0,3}") {
        let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
        let (before, after) = text.split_at(*place.get(&places));
        let damaged = format!("{before}{damage}{after}");
        if let Err(error) = GuestConfig::parse(&damaged) {
            let shown = error.to_string();
            prop_assert!(!shown.contains('\n'), "{:?}", shown);
            prop_assert!(error.line.is_none_or(|line| (1..=damaged.lines().count() + 1).contains(&line)), "{}", shown);
        }
    }
}
