use super::*;
use crate::guests::definitions::{Folder, check_all};
use proptest::prelude::*;

const RECORD: &str = r#"{"schema": 1, "role": "ROLE", "image": {"name": "host", "version": "1"},
"root": {"source": "dev:vda", "device": "/dev/vda", "offset": 0, "root_hash": null}, "config": null, "refused": [],
"etc": {"files": 0, "bytes": 0, "dropped": [], "global_links": []}, "var": "image", "machine_id": "", "warnings": [],
"steps": []}"#;

fn planned(booted: Hypervisor, guests: &[(&str, &str)]) -> Vec<UnitFile> {
    let folders: Vec<Folder> = guests
        .iter()
        .map(|(name, rest)| Folder {
            name: (*name).into(),
            text: Ok(format!("schema = 1\nimage = \"guest-web\"\nmemory = \"256M\"\n{rest}")),
        })
        .collect();
    plan(&check_all(&folders), booted)
}

/// All files as one text.
fn shown(files: &[UnitFile]) -> String {
    let show = |file: &UnitFile| match &file.content {
        Content::Text(text) => format!("== {}\n{text}", file.path),
        Content::Link(target) => format!("== {} -> {target}\n", file.path),
    };
    files.iter().map(show).collect()
}

const GOLDEN: &str = "\
== appliance-guest@db.service.d/50-guest.conf
[Unit]
Description=Guest db: guest-web, 256M

[Service]
Type=notify
Restart=no
RemainAfterExit=yes
TimeoutStartSec=690
TimeoutStopSec=90
MemoryMax=256M
TasksMax=64
== appliance-guests.target.wants/appliance-guest@db.service -> /usr/lib/systemd/system/appliance-guest@.service
== appliance-guest@job.service.d/50-guest.conf
[Unit]
Description=Guest job: guest-web, 256M
After=appliance-guest@db.service

[Service]
Type=exec
Restart=no
RemainAfterExit=yes
TimeoutStopSec=40
MemoryMax=256M
TasksMax=64
== appliance-guest@web.service.d/50-guest.conf
[Unit]
Description=Guest web: guest-web, 256M
After=appliance-guest@db.service
After=appliance-guest@job.service
StartLimitIntervalSec=600
StartLimitBurst=5
OnFailure=appliance-guest-rests@%i.service

[Service]
Type=exec
Restart=always
RestartMode=direct
RestartSec=1
RestartSteps=5
RestartMaxDelaySec=60
TimeoutStopSec=90
MemoryMax=1568M
TasksMax=130
CPUQuota=300%
== appliance-guests.target.wants/appliance-guest@web.service -> /usr/lib/systemd/system/appliance-guest@.service
";

#[test]
fn units_are_as_they_were_agreed() {
    let guests = [
        ("db", "mode = \"wait\"\n"),
        ("job", "mode = \"once\"\nafter = [\"db\"]\nstop-timeout = \"10s\"\nautostart = false\n"),
        ("web", "after = [\"job\", \"db\"]\nvcpus = 2\nhypervisor = \"kvm\"\naccel = \"tcg\"\n"),
    ];
    let files = planned(Hypervisor::Xen, &guests);
    assert_eq!(shown(&files), GOLDEN);
    // On plain Linux, auto is KVM.
    let text = shown(&planned(Hypervisor::Kvm, &guests[..1]));
    assert!(text.contains("MemoryMax=544M\nTasksMax=129\nCPUQuota=200%\n"), "{text}");
}

#[test]
fn a_cluster_manager_alone_starts_and_restarts_its_guests() {
    let text = shown(&planned(Hypervisor::Xen, &[("web", "managed-by = \"cluster\"\n")]));
    assert!(text.contains("Restart=no\n") && !text.contains("wants") && !text.contains("RemainAfterExit"), "{text}");
}

#[test]
fn what_is_refused_becomes_a_unit_that_says_why() {
    let files = planned(Hypervisor::Xen, &[("50% $x", ""), ("bad", "mode = \"a\\\"%i\"\n"), ("good", "")]);
    let text = shown(&files);
    let refused = "== appliance-guest@50\\x25\\x20\\x24x.service.d/50-guest.conf
[Unit]
Description=Guest 50%% $x, which is not started

[Service]
Type=oneshot
Restart=no
ExecStart=
ExecStart=/usr/bin/appliance \"guest\" \"refuse\" \"50%% $$x\" \"the folder's name \\\"50%% $$x\\\" is not a host name";
    assert!(text.starts_with(refused), "{text}");
    assert!(text.contains(" \"bad\" \"/config/local/domUs/bad/guest.toml: line 4: mode: unknown variant `a\\\"%%i`"));
    assert!(text.contains("wants/appliance-guest@bad.service"));
    assert!(text.contains("Description=Guest good: "));
}

fn host(role: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for folder in ["run/appliance", "config/local/domUs/web", "sys/hypervisor", "out"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    fs::write(root.path().join("run/appliance/boot.json"), RECORD.replace("ROLE", role)).unwrap();
    let text = "schema = 1\nimage = \"guest\"\nmemory = \"64M\"\n";
    fs::write(root.path().join("config/local/domUs/web/guest.toml"), text).unwrap();
    root
}

fn arguments(root: &Path) -> Vec<PathBuf> {
    ["out", "early", "late"].map(|name| root.join(name)).into()
}

#[test]
fn writes_below_its_folder_and_nowhere_else() {
    let root = host("host");
    let faults = run(root.path(), &arguments(root.path()));
    assert!(faults.is_empty(), "{faults:?}");
    let out = root.path().join("out");
    let text = fs::read_to_string(out.join("appliance-guest@web.service.d/50-guest.conf")).unwrap();
    assert!(text.contains("MemoryMax=328M\n") && text.contains("CPUQuota"), "{text}");
    let link = fs::read_link(out.join("appliance-guests.target.wants/appliance-guest@web.service")).unwrap();
    assert_eq!(link, Path::new("/usr/lib/systemd/system/appliance-guest@.service"));
    assert!(!root.path().join("early").exists() && !root.path().join("late").exists());
    fs::write(root.path().join("sys/hypervisor/type"), "xen\n").unwrap();
    fs::remove_dir_all(&out).unwrap();
    run(root.path(), &arguments(root.path()));
    let text = fs::read_to_string(out.join("appliance-guest@web.service.d/50-guest.conf")).unwrap();
    assert!(text.contains("MemoryMax=256M\n"), "{text}");
}

#[test]
fn guests_and_other_machines_get_nothing() {
    let root = host("guest");
    assert!(run(root.path(), &arguments(root.path())).is_empty());
    assert_eq!(fs::read_dir(root.path().join("out")).unwrap().count(), 0);
    fs::remove_file(root.path().join("run/appliance/boot.json")).unwrap();
    assert!(run(root.path(), &arguments(root.path())).is_empty());
}

#[test]
fn what_goes_wrong_is_said() {
    let root = host("host");
    let faults = run(root.path(), &[PathBuf::from("/nowhere")]);
    assert_eq!(faults[0].to_string(), "found 1 arguments, expected three folders, as systemd gives its generators");
    fs::write(root.path().join("out/appliance-guests.target.wants"), "").unwrap();
    let faults = run(root.path(), &arguments(root.path()));
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(root.path().join("out/appliance-guest@web.service.d/50-guest.conf").exists());
    fs::write(root.path().join("run/appliance/boot.json"), "{").unwrap();
    assert!(run(root.path(), &arguments(root.path()))[0].to_string().contains("no guest is started"));
}

proptest! {
    /// Whatever a guest.toml and its folder hold, every file lies below the
    /// generator's folder, and every line of a unit is a section, a key or empty.
    #[test]
    fn no_input_breaks_out_of_its_unit(name in "[^/\0]{1,80}", text in "\\PC*|(?s).*", key in "[a-z-]{1,12}", value in "(?s).{0,40}") {
        let quoted = format!("schema = 1\nimage = \"a\"\nmemory = \"64M\"\n{key} = {value:?}\n");
        for text in [text, quoted] {
            let checked = check_all(&[Folder { name: name.clone().into(), text: Ok(text) }]);
            for file in plan(&checked, Hypervisor::Kvm) {
                prop_assert!(file.path.split('/').all(|part| !matches!(part, "" | "." | "..") && part.len() < 256));
                prop_assert!(file.path.split('/').count() == 2 && file.path.is_ascii());
                let Content::Text(text) = file.content else { continue };
                let keys = ["Description", "After", "Type", "Restart", "RestartMode", "RestartSec", "RestartSteps", "RestartMaxDelaySec",
                    "StartLimitIntervalSec", "OnFailure", "StartLimitBurst", "TimeoutStopSec", "TimeoutStartSec", "MemoryMax", "TasksMax",
                    "CPUQuota", "RemainAfterExit", "ExecStart"];
                for line in text.split('\n') {
                    let known = line.split_once('=').is_some_and(|(key, _)| keys.contains(&key));
                    prop_assert!(line.is_empty() || ["[Unit]", "[Service]"].contains(&line) || known, "{line:?}");
                    prop_assert!(!line.ends_with('\\'));
                }
            }
        }
    }
}
