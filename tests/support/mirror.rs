//! A small signed archive of packages created here, served by a server in this process or written into a directory.

use crate::debs::{self, Deb};
use crate::http_server::{Reply, Request, Server};
use crate::keys::Signer;
use crate::sha256;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

pub const SUITE: &str = "trixie";
/// Dates of the archive's Release files: later than the key's creation, and in the past for any clock.
pub const YESTERDAY: &str = "Thu, 23 Nov 2023 20:00:00 UTC";
pub const TODAY: &str = "Fri, 24 Nov 2023 20:00:00 UTC";
pub const TOMORROW: &str = "Sat, 25 Nov 2023 20:00:00 UTC";

/// File contents by path below the archive's root.
pub type Files = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Clone, Default)]
pub struct Archive {
    pub files: Files,
}

/// A package with its file.
#[derive(Debug, Clone)]
pub struct Made {
    pub deb: Deb,
    pub bytes: Vec<u8>,
}

/// The packages that every image and every build needs.
fn base() -> &'static [Made] {
    static BASE: OnceLock<Vec<Made>> = OnceLock::new();
    BASE.get_or_init(|| debs::base().into_iter().chain(boot_loader()).chain([kernel()]).map(made).collect())
}

pub fn made(deb: Deb) -> Made {
    let bytes = deb.bytes();
    Made { deb, bytes }
}

/// Packages with the names of GRUB's and shim's. Their files have the right format but boot nothing.
fn boot_loader() -> Vec<Deb> {
    let make_image = "#!/bin/sh\nset -e\nfor option; do case $option in --output=*) output=${option#--output=} ;; \
                      --config=*) config=${option#--config=} ;; esac; done\n\
                      cat /usr/lib/grub/i386-pc/shape \"$config\" >\"$output\"\n";
    let package = |name: &str, folders: &[&str]| folders.iter().fold(Deb::new(name), |deb, folder| deb.folder(folder));
    vec![
        package("grub-common", &[]).field("Depends: tools").program("usr/bin/grub-mkimage", make_image, 0o755),
        package("grub-pc-bin", &["usr/lib/grub", "usr/lib/grub/i386-pc"])
            .file("usr/lib/grub/i386-pc/boot_hybrid.img", [0x90; 512])
            .file("usr/lib/grub/i386-pc/shape", [0x90; 40_000]),
        package("grub-efi-amd64-bin", &["usr/lib/grub", "usr/lib/grub/x86_64-efi"])
            .file("usr/lib/grub/x86_64-efi/multiboot2.mod", "a module")
            .file("usr/lib/grub/x86_64-efi/elf.mod", "a module"),
        package("grub-efi-amd64-signed", &["usr/lib/grub", "usr/lib/grub/x86_64-efi-signed"])
            .file("usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed", [7; 10_000]),
        package("shim-signed", &["usr/lib/shim"]).file("usr/lib/shim/shimx64.efi.signed", [8; 10_000]),
        package("shim-helpers-amd64-signed", &["usr/lib/shim"]).file("usr/lib/shim/mmx64.efi.signed", [9; 10_000]),
    ]
}

/// A kernel with the right format.
fn kernel() -> Deb {
    const VERSION: &str = "6.12.1-test";
    let modules = format!("usr/lib/modules/{VERSION}");
    let mut deb = Deb::new("linux-image-test").folder("boot").folder("usr/lib/modules");
    for folder in ["", "/kernel", "/kernel/drivers", "/kernel/drivers/block"] {
        deb = deb.folder(&format!("{modules}{folder}"));
    }
    deb.file(&format!("boot/vmlinuz-{VERSION}"), [1; 50_000])
        .file(&format!("{modules}/kernel/drivers/block/loop.ko"), "\x7fELF loop")
        .file(&format!("{modules}/modules.dep"), "kernel/drivers/block/loop.ko:\n")
        .file(&format!("{modules}/modules.alias"), "")
        .file(&format!("{modules}/modules.softdep"), "")
        .file(&format!("{modules}/modules.builtin"), "kernel/fs/nls/nls_cp437.ko\n")
}

/// A package that the tiny profile requests; its only file contains its version.
pub fn package(name: &str, version: &str) -> Deb {
    let (folder, file) = (format!("usr/share/{name}"), format!("usr/share/{name}/version"));
    Deb::new(name).version(version).folder(&folder).file(&file, format!("{version}\n"))
}

/// A package that creates a user when it is configured.
pub fn with_user(name: &str, version: &str) -> Deb {
    let script = "case \"$(cat /etc/passwd)\" in *_hello:*) exit 0 ;; esac\n\
                  echo '_hello:x:321:321::/:/bin/false' >>/etc/passwd\n\
                  echo '_hello:x:321:' >>/etc/group";
    package(name, version).script("postinst", script)
}

fn signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| Signer::new(20))
}

/// The key that signs the archive, in the format of `--keyring`.
pub fn keyring() -> Vec<u8> {
    signer().keyring(&Default::default())
}

pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub const INRELEASE: &str = "dists/trixie/InRelease";
pub const PACKAGES: &str = "dists/trixie/main/binary-amd64/Packages";

impl Archive {
    /// An archive of this date with the packages that every build needs, and these.
    pub fn new(date: &str, debs: &[Deb]) -> Self {
        let mut archive = Self::default();
        archive.publish(date, debs);
        archive
    }

    /// Publishes a new state: these packages replace the listed ones; files that were listed before stay in the pool.
    pub fn publish(&mut self, date: &str, debs: &[Deb]) {
        self.publish_made(date, &debs.iter().cloned().map(made).collect::<Vec<_>>());
    }

    /// Lists `extra` unchanged: a package's file need not match its description in the index.
    pub fn publish_made(&mut self, date: &str, extra: &[Made]) {
        let mut packages = String::new();
        for Made { deb, bytes } in base().iter().chain(extra) {
            let path = pool(&deb.name, &deb.version);
            packages += &format!(
                "{}Filename: {path}\nSize: {}\nSHA256: {}\n\n",
                deb.control_text(),
                bytes.len(),
                sha256(bytes)
            );
            self.files.insert(path, bytes.clone());
        }
        self.index(date, packages.as_bytes(), &xz(packages.as_bytes()), |release| release);
    }

    /// Adds an index and signs it; `change` may corrupt the Release text first.
    pub fn index(&mut self, date: &str, plain: &[u8], packed: &[u8], change: impl FnOnce(String) -> String) {
        let mut listed = String::new();
        for (ending, bytes) in [("", plain), (".xz", packed)] {
            let digest = sha256(bytes);
            listed += &format!(" {digest} {} main/binary-amd64/Packages{ending}\n", bytes.len());
            self.files.insert(format!("{PACKAGES}{ending}"), bytes.to_vec());
            self.files.insert(by_hash(bytes), bytes.to_vec());
        }
        let release = format!(
            "Suite: stable\nCodename: {SUITE}\nDate: {date}\nAcquire-By-Hash: yes\nArchitectures: all amd64\n\
             Components: main\nSHA256:\n{listed}"
        );
        self.files.insert(INRELEASE.to_owned(), signer().sign(&change(release)).into_bytes());
    }

    pub fn write(&self, folder: &Path) {
        for (path, bytes) in &self.files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}

pub fn by_hash(bytes: &[u8]) -> String {
    format!("dists/{SUITE}/main/binary-amd64/by-hash/SHA256/{}", sha256(bytes))
}

pub fn pool(name: &str, version: &str) -> String {
    format!("pool/main/{name}_{version}.deb")
}

/// An archive with its server.
#[derive(Debug)]
pub struct Mirror {
    pub server: Server,
    archive: Arc<Mutex<Archive>>,
}

impl Mirror {
    pub fn start(archive: Archive) -> Self {
        Self::with(archive, |_, _| None)
    }

    /// `spoil` may answer instead of a correct server; it gets the archive's content at the path.
    pub fn with(
        archive: Archive,
        spoil: impl Fn(&Request, Option<&[u8]>) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let archive = Arc::new(Mutex::new(archive));
        let shared = archive.clone();
        let server = Server::start(move |request| {
            let bytes = shared.lock().unwrap().files.get(request.path.trim_start_matches("/debian/")).cloned();
            let good = || bytes.as_ref().map_or(Reply::status(404, ""), |bytes| Reply::file(request, bytes));
            spoil(request, bytes.as_deref()).unwrap_or_else(good)
        });
        Self { server, archive }
    }

    pub fn url(&self) -> String {
        self.server.url("debian")
    }

    pub fn change<T>(&self, change: impl FnOnce(&mut Archive) -> T) -> T {
        change(&mut self.archive.lock().unwrap())
    }
}
