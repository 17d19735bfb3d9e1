//! Compares the resolver with apt, on a Debian release's real indices. Needs a mirror, so only `ci/nightly` runs it.

use applbuild::cache::Cache;
use applbuild::packages::archive::index::{Admission, Index, Priority, Source};
use applbuild::packages::resolver::{BaseSet, Conflicts, Request, resolve};
use applbuild::packages::{
    Archives, Client, Keyring, MirrorChoice, Policy, RefreshRequest, SuiteIndex, SuiteWanted, refresh,
};
use applbuild::profile::{Origin, PackageRequest};
use applbuild::progress::Silent;
use applbuild_test_support::judges::judge;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Package lists of typical servers and guests; their dependencies include virtual packages, alternatives and long
/// chains.
const SEEDS: [&str; 30] = [
    "systemd-sysv openssh-server chrony",
    "nginx",
    "apache2 libapache2-mod-php",
    "postgresql",
    "mariadb-server",
    "xen-system-amd64",
    "qemu-system-x86 ovmf",
    "libvirt-daemon-system",
    "linux-image-amd64 grub-pc",
    "corosync pacemaker drbd-utils",
    "postfix",
    "exim4",
    "dovecot-imapd dovecot-lmtpd",
    "bind9",
    "unbound",
    "nftables fail2ban",
    "samba winbind",
    "nfs-kernel-server",
    "lvm2 mdadm cryptsetup-initramfs",
    "docker.io",
    // Of two equal providers apt takes the last one in its cache, so one is named here.
    "netavark podman",
    "git subversion mailutils",
    "python3-django",
    "ruby-rails",
    "default-jre-headless tomcat10",
    "rabbitmq-server",
    "redis-server haproxy keepalived",
    "zabbix-agent prometheus-node-exporter",
    "bacula-client cron at",
    "xfce4 lightdm",
];

fn indices(cache: &Path) -> Vec<SuiteIndex> {
    let suite = |archive: &str, name: &str| SuiteWanted {
        archive: archive.into(),
        name: name.into(),
        components: vec!["main".into()],
    };
    let suites =
        [suite("debian", "trixie"), suite("debian", "trixie-updates"), suite("debian-security", "trixie-security")];
    let choice = MirrorChoice {
        environment: std::env::var("APPLBUILD_MIRROR").ok(),
        environment_security: std::env::var("APPLBUILD_SECURITY_MIRROR").ok(),
        apt: Some("/etc/apt".into()),
        ..MirrorChoice::default()
    };
    let request = RefreshRequest {
        suites: &suites,
        architecture: "amd64",
        archives: &Archives::find(&choice).unwrap(),
        keyring: &Keyring::debian().unwrap(),
        cache: &Cache::new(cache),
        client: &Client::new(Policy::default()),
        now: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64,
        check_age: true,
        locked: &[],
        allow_older: false,
    };
    refresh(&request, &Silent).unwrap_or_else(|error| panic!("{error}"))
}

/// apt with an empty dpkg database, and the indices as local archives.
struct Apt<'a> {
    folder: &'a Path,
}

impl Apt<'_> {
    fn set_up(&self, indices: &[SuiteIndex]) {
        for name in
            ["etc/apt/preferences.d", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg"]
        {
            fs::create_dir_all(self.folder.join(name)).unwrap();
        }
        fs::write(self.folder.join("var/lib/dpkg/status"), "").unwrap();
        let mut sources = String::new();
        for index in indices {
            let archive = self.folder.join(&index.suite);
            fs::create_dir(&archive).unwrap();
            fs::write(archive.join("Packages"), &index.packages).unwrap();
            sources += &format!("deb [trusted=yes] file:{} ./\n", archive.display());
        }
        fs::write(self.folder.join("etc/apt/sources.list"), sources).unwrap();
        self.run(&["update"]);
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut command = judge("apt-get");
        command.arg("-o").arg(format!("Dir={}", self.folder.display()));
        command.arg("-o").arg(format!("Dir::State::status={}", self.folder.join("var/lib/dpkg/status").display()));
        command.args(["-o", "APT::Architecture=amd64", "-o", "APT::Architectures=amd64", "-o", "APT::Sandbox::User="]);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The packages that it would install: name and version.
    fn install(&self, names: &[&str]) -> BTreeMap<String, String> {
        let text = self.run(&[&["-s", "-y", "--no-install-recommends", "install"], names].concat());
        let lines = text.lines().filter_map(|line| line.strip_prefix("Inst "));
        let split = |line: &str| {
            let (name, rest) = line.split_once(" (").unwrap_or_else(|| panic!("{line}"));
            (name.to_owned(), rest.split(' ').next().unwrap_or_default().to_owned())
        };
        lines.map(split).collect()
    }
}

#[test]
fn installs_what_apt_would() {
    let folder = tempfile::tempdir().unwrap();
    let indices = indices(&folder.path().join("cache"));
    let apt = Apt { folder: folder.path() };
    apt.set_up(&indices);
    let sources: Vec<Source<'_>> = indices.iter().map(|index| Source::new(index, Admission::All)).collect();
    let index = Index::read(&sources, "amd64");
    let mut base: Vec<&str> = index
        .ids()
        .map(|id| index.record(id))
        .filter(|record| record.essential || record.priority == Priority::Required)
        .map(|record| record.name)
        .collect();
    base.sort_unstable();
    base.dedup();
    let mut differences = Vec::new();
    for seeds in SEEDS {
        let names: Vec<&str> = seeds.split(' ').collect();
        let origin = Origin { file: "seeds".into(), line: 1 };
        let asked: Vec<PackageRequest> = names
            .iter()
            .map(|name| PackageRequest { name: (*name).into(), version: None, origin: origin.clone() })
            .collect();
        let request = Request {
            architecture: "amd64",
            packages: &asked,
            base: BaseSet::Required,
            recommends: false,
            conflicts: Conflicts::Respect,
            supplied: &[],
            keep: &BTreeMap::new(),
        };
        let resolution = resolve(&index, &request).unwrap_or_else(|error| panic!("{seeds}: {error}"));
        let ours: BTreeMap<String, String> =
            resolution.packages.iter().map(|record| (record.name.to_owned(), record.version.to_string())).collect();
        let apts = apt.install(&[&names[..], &base].concat());
        let only = |one: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
            let packages = one.iter().filter(|(name, version)| other.get(*name) != Some(version));
            packages.map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().join(", ")
        };
        println!("{seeds}: {} packages", ours.len());
        if ours != apts {
            differences.push(format!("{seeds}: only ours: {}; only apt's: {}", only(&ours, &apts), only(&apts, &ours)));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
