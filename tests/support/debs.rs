//! Packages created in tests: ar and tar written by their crates, as dpkg-deb would.

#[cfg(feature = "builder")]
use applbuild::packages::{Lock, LockedPackage};
#[cfg(feature = "builder")]
use applbuild::rootfs::Files;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A builder of a package.
#[derive(Debug, Clone)]
pub struct Deb {
    pub name: String,
    pub version: String,
    pub architecture: &'static str,
    /// Further fields, one per line.
    fields: String,
    control: Vec<(String, String, u32)>,
    data: Vec<Member>,
}

#[derive(Debug, Clone)]
struct Member {
    path: String,
    header: tar::Header,
    content: Vec<u8>,
    target: Option<String>,
}

impl Deb {
    pub fn new(name: &str) -> Self {
        let (name, version) = (name.into(), "1.0".into());
        Self { name, version, architecture: "all", fields: String::new(), control: vec![], data: vec![] }
    }

    pub fn version(mut self, version: &str) -> Self {
        self.version = version.into();
        self
    }

    pub fn field(mut self, line: &str) -> Self {
        self.fields.push_str(&format!("{line}\n"));
        self
    }

    /// Adds a script or list to the control archive.
    pub fn control(mut self, name: &str, text: &str) -> Self {
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        self.control.push((name.into(), text.into(), mode));
        self
    }

    pub fn script(self, name: &str, lines: &str) -> Self {
        self.control(name, &format!("#!/bin/sh\nset -e\n{lines}\n"))
    }

    fn member(mut self, path: &str, kind: tar::EntryType, mode: u32, content: &[u8], target: Option<&str>) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_000_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        let target = target.map(str::to_owned);
        self.data.push(Member { path: path.into(), header, content: content.to_vec(), target });
        self
    }

    pub fn folder(self, path: &str) -> Self {
        self.member(&format!("./{path}/"), tar::EntryType::Directory, 0o755, b"", None)
    }

    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.program(path, content, 0o644)
    }

    pub fn program(self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> Self {
        self.member(&format!("./{path}"), tar::EntryType::Regular, mode, content.as_ref(), None)
    }

    pub fn owned(mut self, uid: u64, gid: u64) -> Self {
        if let Some(member) = self.data.last_mut() {
            member.header.set_uid(uid);
            member.header.set_gid(gid);
        }
        self
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.member(&format!("./{path}"), tar::EntryType::Symlink, 0o777, b"", Some(target))
    }

    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.member(&format!("./{path}"), tar::EntryType::Link, 0o644, b"", Some(&format!("./{target}")))
    }

    pub fn device(mut self, path: &str, major: u32, minor: u32) -> Self {
        self = self.member(&format!("./{path}"), tar::EntryType::Char, 0o660, b"", None);
        if let Some(member) = self.data.last_mut() {
            member.header.set_device_major(major).unwrap();
            member.header.set_device_minor(minor).unwrap();
        }
        self
    }

    /// The data archive, for a tar set.
    pub fn tar(&self) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for member in &self.data {
            let mut header = member.header.clone();
            match &member.target {
                Some(target) => archive.append_link(&mut header, &member.path, target).unwrap(),
                None => archive.append_data(&mut header, &member.path, member.content.as_slice()).unwrap(),
            }
        }
        archive.into_inner().unwrap()
    }

    /// Its control file, which is also the start of its paragraph in an index.
    pub fn control_text(&self) -> String {
        format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: nobody\n{}Description: made in a test\n",
            self.name, self.version, self.architecture, self.fields
        )
    }

    pub fn bytes(&self) -> Vec<u8> {
        let text = self.control_text();
        let mut control = tar::Builder::new(Vec::new());
        let files = [("control".to_owned(), text, 0o644)].into_iter().chain(self.control.iter().cloned());
        for (name, text, mode) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(text.len() as u64);
            control.append_data(&mut header, format!("./{name}"), text.as_bytes()).unwrap();
        }
        let data = zstd::encode_all(self.tar().as_slice(), 1).unwrap();
        frame(("control.tar", &control.into_inner().unwrap()), ("data.tar.zst", &data))
    }
}

/// A package file made of its two archives.
pub fn frame(control: (&str, &[u8]), data: (&str, &[u8])) -> Vec<u8> {
    let mut archive = ar::Builder::new(Vec::new());
    for (name, bytes) in [("debian-binary", b"2.0\n".as_slice()), control, data] {
        archive.append(&ar::Header::new(name.into(), bytes.len() as u64), bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

/// Writes the packages into the directory `folder`, and a lock that lists them.
#[cfg(feature = "builder")]
pub fn lock(debs: &[Deb], folder: &Path) -> (Lock, Files) {
    let mut packages = Vec::new();
    let mut files = Vec::new();
    for deb in debs {
        let bytes = deb.bytes();
        let path = folder.join(format!("{}.deb", deb.name));
        fs::write(&path, &bytes).unwrap();
        let sha256 = applbuild::util::sha256::of(&bytes);
        files.push((sha256, path));
        packages.push(LockedPackage {
            name: deb.name.clone(),
            version: deb.version.clone(),
            architecture: deb.architecture.into(),
            sha256,
            size: bytes.len() as u64,
            archive: "debian".into(),
            path: format!("pool/{}.deb", deb.name),
        });
    }
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    let lock = Lock {
        schema: Default::default(),
        profile: "t".into(),
        architecture: "amd64".into(),
        request: String::new(),
        date: 1_600_000_000,
        suites: vec![],
        sets: vec![],
        ids: Default::default(),
        packages,
        tools: vec![],
        guests: vec![],
    };
    (lock, files.into_iter().collect())
}

/// base-files and the host's dpkg and shell, with the libraries that they load.
pub fn base() -> Vec<Deb> {
    let mut files = Deb::new("base-files").field("Essential: yes").folder(".");
    for path in ["dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr", "usr/bin", "usr/sbin", "usr/lib"] {
        files = files.folder(path);
    }
    for path in ["usr/lib64", "usr/share", "usr/share/doc", "var", "var/lib", "var/lib/dpkg", "var/log"] {
        files = files.folder(path);
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        files = files.symlink(name, &format!("usr/{name}"));
    }
    files = files
        .file("usr/lib/os-release", "ID=test\n")
        .symlink("etc/os-release", "../usr/lib/os-release")
        .file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n_a:x:500:500::/:/bin/false\n")
        .file("etc/group", "root:x:0:\n_a:x:500:\n")
        .file("etc/shadow", "root:*:19000:0:99999:7:::\n_a:!:19000::::::\n");
    let mut tools = Deb::new("tools").field("Essential: yes");
    tools.architecture = "amd64";
    let mut libraries = std::collections::BTreeSet::new();
    for name in ["sh", "dpkg", "dpkg-divert", "dpkg-query", "dpkg-trigger", "rm", "cat", "mkdir", "chmod", "chown"] {
        let program = which(name);
        tools = tools.program(&format!("usr/bin/{name}"), fs::read(&program).unwrap(), 0o755);
        libraries.extend(loaded(&program));
    }
    // dpkg requires that these exist; no test here needs them to do anything.
    for name in ["dpkg-deb", "dpkg-split", "tar", "diff", "ldconfig", "start-stop-daemon", "update-rc.d"] {
        tools = tools.program(&format!("usr/sbin/{name}"), "#!/bin/sh\n", 0o755);
    }
    let mut folders = std::collections::BTreeSet::new();
    for library in &libraries {
        let place = if library.starts_with("/usr") { library[1..].to_owned() } else { format!("usr{library}") };
        let parent = Path::new(&place).parent().unwrap().to_str().unwrap().to_owned();
        if folders.insert(parent.clone()) {
            tools = tools.folder(&parent);
        }
        tools = tools.program(&place, fs::read(library).unwrap(), 0o755);
    }
    vec![files, tools]
}

/// The path of the host's program.
pub fn which(name: &str) -> PathBuf {
    ["/usr/bin", "/bin", "/usr/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| {
            panic!("this test runs the machine's {name}; install it: sudo apt install dpkg dash coreutils")
        })
}

/// The libraries of a program and its dynamic loader.
fn loaded(program: &Path) -> Vec<String> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| {
            let path = line.split("=> ").last()?.trim().split(' ').next()?;
            path.starts_with('/').then(|| path.to_owned())
        })
        .collect()
}
