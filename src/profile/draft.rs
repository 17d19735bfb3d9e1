//! A profile while its files are merged. The farthest ancestor is applied first; later files override earlier ones.

use super::error::{Place, ProfileError, Source, did_you_mean};
use super::keys::KEYS;
use super::overlay;
use super::section::{Item, Located, Section, choice, item_section, string, wrong_type};
use super::values;
use super::{
    Architecture, Archive, Boot, Hypervisor, Initramfs, KeyFile, OnMissing, Overlay, PackageRequest, Profile, Protocol,
    Prune, Root, RootFormat, Services, Suite, TarSet,
};
use crate::format::squashfs::Compression;
use crate::util::bounded_read;
use appliance_contract::marker::Role;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::path::Path;
use std::sync::Arc;
use toml::de::DeValue;

pub(super) const KINDS: [(&str, Role); 2] = [("host", Role::Host), ("guest", Role::Guest)];
pub(super) const ARCHITECTURES: [(&str, Architecture); 1] = [("amd64", Architecture::Amd64)];
pub(super) const HYPERVISORS: [(&str, Hypervisor); 2] = [("xen", Hypervisor::Xen), ("kvm", Hypervisor::Kvm)];
pub(super) const PROTOCOLS: [(&str, Protocol); 4] = [
    ("linux", Protocol::Linux),
    ("multiboot", Protocol::Multiboot),
    ("multiboot2", Protocol::Multiboot2),
    ("xen", Protocol::Xen),
];
pub(super) const FORMATS: [(&str, RootFormat); 2] = [("squashfs", RootFormat::Squashfs), ("plain", RootFormat::Plain)];
pub(super) const ON_MISSING: [(&str, OnMissing); 3] =
    [("shell", OnMissing::Shell), ("wait", OnMissing::Wait), ("reboot", OnMissing::Reboot)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Gzip,
    Xz,
    Zstd,
}

pub(super) const ALGORITHMS: [(&str, Algorithm); 3] =
    [("zstd", Algorithm::Zstd), ("xz", Algorithm::Xz), ("gzip", Algorithm::Gzip)];

/// A suite as written in the file. Without components it uses the profile's.
#[derive(Debug)]
pub(super) struct DraftSuite {
    archive: String,
    name: String,
    components: Option<Vec<String>>,
}

#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) kind: Option<Located<Role>>,
    pub(super) version: Option<Located<String>>,
    pub(super) architecture: Option<Located<Architecture>>,
    pub(super) volume_label: Option<Located<String>>,
    pub(super) source_date_epoch: Option<Located<i64>>,
    pub(super) agent: Option<Located<bool>>,
    pub(super) recommends: Option<Located<bool>>,
    pub(super) archives: BTreeMap<String, Archive>,
    pub(super) components: Vec<String>,
    pub(super) suites: Vec<DraftSuite>,
    pub(super) packages: Vec<PackageRequest>,
    pub(super) overlays: Vec<Overlay>,
    pub(super) sets: Vec<TarSet>,
    pub(super) hypervisors: Option<Vec<Located<Hypervisor>>>,
    pub(super) kernel: Option<Located<String>>,
    pub(super) protocol: Option<Located<Protocol>>,
    pub(super) kernel_arguments: Vec<String>,
    pub(super) xen_arguments: Vec<String>,
    pub(super) consoles: Option<Vec<Located<String>>>,
    pub(super) on_missing: Option<Located<OnMissing>>,
    pub(super) menu_timeout: Option<Located<i64>>,
    pub(super) secure_boot: Option<Located<bool>>,
    pub(super) services: Services,
    pub(super) root_format: Option<Located<RootFormat>>,
    pub(super) algorithm: Option<Located<Algorithm>>,
    pub(super) level: Option<Located<i64>>,
    pub(super) block_size: Option<Located<u32>>,
    pub(super) documentation: Option<Located<bool>>,
    pub(super) keep_locales: Option<Vec<Located<String>>>,
    pub(super) prune_paths: Vec<String>,
    pub(super) initramfs: Initramfs,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) guests: Option<Vec<Located<String>>>,
}

/// A scalar of a later file replaces the earlier one.
pub(super) fn set<T>(slot: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *slot = value;
    }
}

/// Appends to a list, without duplicates.
pub(super) fn append<T: Clone + Eq + Hash>(list: &mut Vec<T>, more: Option<Vec<Located<T>>>) {
    let mut seen: HashSet<T> = list.iter().cloned().collect();
    let more = more.into_iter().flatten().map(|item| item.value);
    list.extend(more.filter(|value| seen.insert(value.clone())));
}

impl Draft {
    /// Applies one file to the draft. `overlay_root` is the location of the profile's overlay.
    pub fn apply(
        &mut self,
        mut file: Section<'_>,
        overlay_root: &overlay::OverlayRoot<'_>,
        base: &Path,
    ) -> Result<(), ProfileError> {
        if let Some(old) = file.take("mirrors") {
            let help = Some("for example [archives.debian] with the key url".to_owned());
            return Err(old.refuse("the table mirrors is now archives", "not a key any more", help));
        }
        let mut tables: BTreeMap<&str, Section<'_>> = BTreeMap::new();
        for key in KEYS {
            let Some(read) = key.read else { continue };
            match key.split() {
                (None, name) => read(self, &mut file, name, base)?,
                (Some(table), name) => {
                    let section = match tables.entry(table) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => new.insert(file.section(table)?),
                    };
                    read(self, section, name, base)?;
                }
            }
        }
        tables.into_values().try_for_each(Section::finish)?;
        let files = file.section("files")?;
        self.overlays.extend(overlay::read(files, overlay_root)?);
        file.finish()
    }

    pub(super) fn suites(&mut self, file: &mut Section<'_>) -> Result<(), ProfileError> {
        for item in file.items("suites")?.into_iter().flatten() {
            let suite = match &item.value {
                DeValue::String(text) => {
                    let Some((archive, name)) = text.split_once('/') else {
                        let help = Some(format!("for example \"debian/{text}\""));
                        return Err(item.refuse(format!("suites: found {text:?}"), "expected \"ARCHIVE/SUITE\"", help));
                    };
                    let refuse =
                        |expected| item.refuse(format!("suites: found {text:?}"), format!("expected {expected}"), None);
                    DraftSuite {
                        archive: values::word(archive).map_err(refuse)?,
                        name: values::suite(name).map_err(refuse)?,
                        components: None,
                    }
                }
                DeValue::Table(_) => detailed_suite(item)?,
                _ => return Err(wrong_type(&item, "suites", "\"ARCHIVE/SUITE\" or a table")),
            };
            let same = |other: &DraftSuite| other.archive == suite.archive && other.name == suite.name;
            match self.suites.iter().position(same) {
                Some(known) => self.suites[known] = suite,
                None => self.suites.push(suite),
            }
        }
        Ok(())
    }

    pub(super) fn packages(&mut self, file: &mut Section<'_>) -> Result<(), ProfileError> {
        let removed = file.strings("remove-packages")?.unwrap_or_default();
        let known: HashSet<&str> = self.packages.iter().map(|package| package.name.as_str()).collect();
        if let Some(name) = removed.iter().find(|name| !known.contains(name.value.as_str())) {
            let help = did_you_mean(&name.value, known);
            let label = "no profile that this one extends lists it";
            return Err(name.refuse(format!("remove-packages: found {:?}", name.value), label, help));
        }
        let removed: HashSet<String> = removed.into_iter().map(|name| name.value).collect();
        self.packages.retain(|package| !removed.contains(&package.name));
        let place = |(at, package): (usize, &PackageRequest)| (package.name.clone(), at);
        let mut places: HashMap<String, usize> = self.packages.iter().enumerate().map(place).collect();
        let firmware = file.list("firmware", values::firmware)?.into_iter().flatten();
        for package in file.list("packages", values::package)?.into_iter().flatten().chain(firmware) {
            let origin = package.place.origin();
            let (name, version) = package.value;
            match places.get(&name) {
                Some(&at) if version.is_some() => {
                    (self.packages[at].version, self.packages[at].origin) = (version, origin);
                }
                Some(_) => {}
                None => {
                    places.insert(name.clone(), self.packages.len());
                    self.packages.push(PackageRequest { name, version, origin });
                }
            }
        }
        Ok(())
    }

    pub(super) fn sets(&mut self, file: &mut Section<'_>, base: &Path) -> Result<(), ProfileError> {
        for item in file.items("sets")?.into_iter().flatten() {
            let place = item.place.clone();
            let mut set = item_section(item, "sets")?;
            let path = set.string("file")?;
            let sha256 = set.parsed("sha256", values::sha256)?;
            set.finish()?;
            match (path, sha256) {
                (Some(path), Some(sha256)) => {
                    // An absolute path replaces the base.
                    let path = base.join(path.value);
                    self.sets.push(TarSet { path, sha256: sha256.value, origin: place.origin() });
                }
                (None, _) => return Err(place.error("a set has no file", "expected the key file", None)),
                (_, None) => {
                    let help = Some("sha256sum FILE prints it".to_owned());
                    return Err(place.error("a set has no sha256", "expected the key sha256", help));
                }
            }
        }
        Ok(())
    }

    pub(super) fn hypervisors(&mut self, boot: &mut Section<'_>, key: &'static str) -> Result<(), ProfileError> {
        if let Some(texts) = boot.strings(key)? {
            let listed: Result<Vec<_>, _> =
                texts.into_iter().map(|text| choice(text, "boot.hypervisors", &HYPERVISORS)).collect();
            self.hypervisors = Some(listed?);
        }
        Ok(())
    }

    /// `base` is where the profile's file is.
    pub(super) fn archives(&mut self, file: &mut Section<'_>, base: &Path) -> Result<(), ProfileError> {
        for (name, item) in file.entries("archives")? {
            values::word(&name.value)
                .map_err(|expected| name.refuse("an archive's name", format!("expected {expected}"), None))?;
            let mut table = item_section(item, &format!("archives.{}", name.value))?;
            let url = table.string("url")?.map(|text| archive_url(text, &name.value)).transpose()?;
            let key = table.string("key")?.map(|file| key_file(&file, base)).transpose()?;
            let packages = table.list("packages", values::package_pattern)?;
            table.finish()?;
            let archive = self.archives.entry(name.value).or_default();
            set(&mut archive.url, url.map(|url| url.value));
            set(&mut archive.key, key);
            set(&mut archive.packages, packages.map(|list| list.into_iter().map(|item| item.value).collect()));
        }
        Ok(())
    }

    pub(super) fn variables(&mut self, file: &mut Section<'_>) -> Result<(), ProfileError> {
        for (name, item) in file.entries("variables")? {
            let key = values::variable(&name.value)
                .map_err(|expected| name.refuse("a variable's name", format!("expected {expected}"), None))?;
            self.variables.insert(key, string(item, &format!("variables.{}", name.value))?.value);
        }
        Ok(())
    }

    pub fn is_guest(&self) -> bool {
        self.kind.as_ref().is_some_and(|kind| kind.value == Role::Guest)
    }

    /// Makes the profile after all of its files are applied. `file` is the location of the last one.
    pub fn finish(self, name: &str, file: &super::error::Place) -> Result<Profile, ProfileError> {
        let missing = |key: &str, expected: &str| {
            file.error(format!("the profile has no {key}"), format!("expected the key {key}: {expected}"), None)
        };
        let Some(kind) = self.kind.as_ref() else { return Err(missing("kind", "host or guest")) };
        let Some(version) = self.version.as_ref() else { return Err(missing("version", "such as 2026.11.1")) };
        if self.packages.is_empty() && self.sets.is_empty() {
            return Err(missing("packages", "or the key sets"));
        }
        // A system of tar sets alone also needs Debian's boot loader.
        if self.suites.is_empty() {
            return Err(missing("suites", "the sources of packages and the boot loader, such as [\"debian/trixie\"]"));
        }
        let mut suites = Vec::new();
        for suite in &self.suites {
            let flat = suite.name.ends_with('/');
            let components = match &suite.components {
                Some(own) => own.clone(),
                None if flat => Vec::new(),
                None => self.components.clone(),
            };
            if components.is_empty() && !flat {
                return Err(missing("components", "such as [\"main\"]"));
            }
            suites.push(Suite { archive: suite.archive.clone(), name: suite.name.clone(), components });
        }
        if let Some(guest) = self.guests.iter().flatten().next()
            && kind.value == Role::Guest
        {
            return Err(guest.refuse("guests in the profile of a guest", "a guest includes no guests", None));
        }
        self.check_boot()?;
        let root = self.root()?;
        let volume_label =
            self.volume_label.map_or_else(|| values::default_label(name, &version.value), |label| label.value);
        let values_of =
            |list: Option<Vec<Located<String>>>| list.map(|list| list.into_iter().map(|item| item.value).collect());
        let profile = Profile {
            name: name.to_owned(),
            kind: kind.value,
            version: version.value.clone(),
            architecture: self.architecture.map_or(Architecture::Amd64, |found| found.value),
            archives: self.archives,
            suites,
            packages: self.packages,
            recommends: self.recommends.is_some_and(|found| found.value),
            overlays: self.overlays,
            sets: self.sets,
            boot: Boot {
                hypervisors: self.hypervisors.into_iter().flatten().map(|found| found.value).collect(),
                kernel: self.kernel.map(|found| found.value),
                protocol: self.protocol.map_or(Protocol::Linux, |found| found.value),
                kernel_arguments: self.kernel_arguments,
                xen_arguments: self.xen_arguments,
                consoles: values_of(self.consoles)
                    .unwrap_or_else(|| vec!["tty0".to_owned(), "ttyS0,115200".to_owned()]),
                on_missing: self.on_missing.map_or(OnMissing::Shell, |found| found.value),
                // The key's bounds fit in a u32.
                menu_timeout: self.menu_timeout.map_or(5, |found| found.value as u32),
                secure_boot: self.secure_boot.is_none_or(|found| found.value),
            },
            services: self.services,
            root,
            prune: Prune {
                documentation: self.documentation.is_some_and(|found| found.value),
                keep_locales: values_of(self.keep_locales),
                paths: self.prune_paths,
            },
            agent: self.agent.is_none_or(|found| found.value),
            initramfs: self.initramfs,
            volume_label,
            source_date_epoch: self.source_date_epoch.map(|found| found.value),
            variables: self.variables,
            guests: Vec::new(),
        };
        profile.check_templates()?;
        Ok(profile)
    }

    /// Refuses keys that contradict each other.
    fn check_boot(&self) -> Result<(), ProfileError> {
        if let (Some(protocol), Some([_, ..])) = (&self.protocol, self.hypervisors.as_deref()) {
            let help = Some("leave one of the two out: boot.hypervisors boots Debian's kernel by itself".to_owned());
            return Err(protocol.refuse("boot.protocol together with boot.hypervisors", "has no meaning here", help));
        }
        if let (Some(protocol), None) = (&self.protocol, &self.kernel)
            && protocol.value != Protocol::Linux
        {
            let help = Some("boot.kernel = \"/netbsd\", for example".to_owned());
            return Err(protocol.refuse("boot.protocol without boot.kernel", "needs the kernel's path", help));
        }
        if let Some(repeated) = self.hypervisors.as_deref().and_then(|list| {
            list.iter().enumerate().find(|(at, item)| list[..*at].iter().any(|before| before.value == item.value))
        }) {
            return Err(repeated.1.refuse("boot.hypervisors names one twice", "already listed", None));
        }
        if let Some(format) = &self.root_format
            && format.value == RootFormat::Plain
            && self.agent.as_ref().is_none_or(|agent| agent.value)
        {
            let help = Some("set agent = false, or root.format = \"squashfs\"".to_owned());
            return Err(format.refuse("root.format = \"plain\" with the agent", "the agent opens a squashfs", help));
        }
        Ok(())
    }

    fn root(&self) -> Result<Root, ProfileError> {
        let algorithm = self.algorithm.as_ref().map_or(Algorithm::Zstd, |found| found.value);
        let (most, default) = match algorithm {
            Algorithm::Zstd => (22, 15),
            Algorithm::Xz => (9, 6),
            Algorithm::Gzip => (9, 9),
        };
        let level = match &self.level {
            Some(level) if level.value > most => {
                let label = format!("expected 1 to {most} for this compression");
                return Err(level.refuse(format!("root.level: found {}", level.value), label, None));
            }
            Some(level) => level.value,
            None => default,
        };
        // 1 to 22 fit in both integer types.
        let compression = match algorithm {
            Algorithm::Zstd => Compression::Zstd { level: level as i32 },
            Algorithm::Xz => Compression::Xz { level: level as u32 },
            Algorithm::Gzip => Compression::Gzip { level: level as u32 },
        };
        Ok(Root {
            format: self.root_format.as_ref().map_or(RootFormat::Squashfs, |found| found.value),
            compression,
            block_size: self.block_size.as_ref().map_or(1 << 17, |found| found.value),
        })
    }
}

/// A URL without a login. The place of one that has a login is shown with stars in its place.
fn archive_url(text: Located<String>, archive: &str) -> Result<Located<String>, ProfileError> {
    let key = format!("archives.{archive}.url");
    let authority = text.value.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    if let Some((login, _)) = authority.and_then(|authority| authority.rsplit_once('@')) {
        let source = &text.place.source;
        let hidden = source.text.replace(login, &"*".repeat(login.len()));
        let place = Place { source: Arc::new(Source::new(source.name.clone(), hidden)), span: text.place.span };
        let help = "put the login into /etc/apt/auth.conf, or into a file that the environment variable APPLBUILD_AUTH_CONF \
                    names: machine HOST login NAME password PASSWORD";
        let message = format!("{key} has a login, and a profile is no place for one");
        return Err(place.error(message, "expected a URL without a login", Some(help.to_owned())));
    }
    match values::url(&text.value) {
        Ok(value) => Ok(Located { value, place: text.place }),
        Err(expected) => {
            Err(text.refuse(format!("{key}: found {:?}", text.value), format!("expected {expected}"), None))
        }
    }
}

fn key_file(file: &Located<String>, base: &Path) -> Result<KeyFile, ProfileError> {
    match bounded_read::read_user_file(&base.join(&file.value)) {
        Ok(bytes) => Ok(KeyFile { name: file.value.clone(), bytes }),
        Err(error) => {
            let help = Some("the path is relative to the profile's file".to_owned());
            Err(file.refuse(format!("reading the key {:?}: {error}", file.value), "expected a file of keys", help))
        }
    }
}

fn detailed_suite(item: Item<'_>) -> Result<DraftSuite, ProfileError> {
    let place = item.place.clone();
    let mut table = item_section(item, "suites")?;
    let archive = table.parsed("archive", values::word)?;
    let name = table.parsed("name", values::suite)?;
    let components = table.list("components", values::component)?;
    table.finish()?;
    if let (Some(name), Some([first, ..])) = (&name, components.as_deref())
        && name.value.ends_with('/')
    {
        let help = Some("leave components out".to_owned());
        return Err(first.refuse("components of a flat archive", "a flat archive has none", help));
    }
    match (archive, name) {
        (Some(archive), Some(name)) => Ok(DraftSuite {
            archive: archive.value,
            name: name.value,
            components: components.map(|list| list.into_iter().map(|item| item.value).collect()),
        }),
        _ => Err(place.error("a suite has no archive or no name", "expected the keys archive and name", None)),
    }
}
