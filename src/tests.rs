use crate::boot::grub::GrubError;
use crate::boot::initramfs::InitramfsError;
use crate::cache::CacheError;
use crate::differ::DiffError;
use crate::fleet::FleetError;
use crate::format::compression::CompressionError;
use crate::format::cpio::CpioError;
use crate::format::ext4::Ext4Error;
use crate::format::fat::FatError;
use crate::format::squashfs::SquashfsError;
use crate::format::tar::TarError;
use crate::output::OutputError;
use crate::packages::error::{IndexError, PackageError};
use crate::packages::fetch::http::HttpError;
use crate::packages::fetch::url::Url;
use crate::packages::{ArchiveError, FetchError};
use crate::pipeline::BuildError;
use crate::profile::ProfileError;
use crate::qemu::QemuError;
use crate::reproduce::ReproduceError;
use crate::rootfs::AssembleError;
use crate::sandbox::SandboxError;
use crate::templates::TemplateError;
use crate::tree::{TreeError, TreePath};
use crate::util::file_error::FileError;
use appliance_contract::causes::WithCauses;
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            found.push(path);
        }
    }
}

/// The rows of the table *Modules* in ARCHITECTURE.md, from the first on.
fn rows(architecture: &str) -> BTreeMap<String, usize> {
    let cells = architecture.lines().filter_map(|line| line.strip_prefix("| `src/")?.split_once("` |"));
    let name = |cell: &str| cell.trim_end_matches('/').trim_end_matches(".rs").to_owned();
    cells.enumerate().map(|(row, (cell, _))| (name(cell), row)).collect()
}

#[test]
fn imports_only_go_down_in_the_table_of_modules() {
    // Tests are started in the directory of their package.
    let rows = rows(&std::fs::read_to_string("ARCHITECTURE.md").unwrap());
    let mut files = Vec::new();
    rust_files(Path::new("src"), &mut files);
    let mut imports = 0;
    for file in files {
        let below = file.strip_prefix("src").unwrap();
        let module = below.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
        // Other crates have their own modules; tests may reach anywhere.
        if matches!(module.as_str(), "lib" | "agent" | "contract" | "shared")
            || below.to_string_lossy().contains("test")
        {
            continue;
        }
        let row = rows.get(&module).unwrap_or_else(|| panic!("{module} is not in the table"));
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for used in code.split("crate::").skip(1) {
            let used: String =
                used.chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '_').collect();
            let Some(lower) = rows.get(&used) else { continue };
            imports += 1;
            assert!(lower >= row, "{}: {module} imports {used}, which stands above it", below.display());
        }
    }
    assert!(imports > 300, "{imports}");
}

/// From the bracket that `text` begins with to the one that closes it.
fn bracketed(text: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' | '{' | '[' if !quoted => depth += 1,
            ')' | '}' | ']' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[..at];
        }
    }
    text
}

/// Whether the message of an error prints what the error also gives as its cause.
fn prints_its_cause(message: &str, fields: &str) -> bool {
    let named = |name: &str| {
        let attribute = |kind: &str| fields.contains(&format!("#[{kind}] {name}: "));
        let field = fields.split([' ', '{', ',']).any(|word| word == format!("{name}:"));
        field && (name == "source" || attribute("source") || attribute("from"))
    };
    let printed = |name: &str| message.contains(&format!("{{{name}}}")) || message.contains(&format!("{{{name}:"));
    ["source", "error", "problem", "last"].into_iter().any(|name| printed(name) && named(name))
        || printed("0") && (fields.contains("(#[from]") || fields.contains("(#[source]"))
}

#[test]
fn no_message_repeats_its_cause() {
    assert!(prints_its_cause("(\"reading {path}: {source}\"", "{ path: PathBuf, source: io::Error"));
    assert!(prints_its_cause("(\"packing: {0}\"", "(#[from] TreeError"));
    assert!(!prints_its_cause("(\"{url}{}\", mend(source)", "{ url: Url, source: IndexError"));
    assert!(!prints_its_cause("(\"found {0:?}\"", "(String"));
    let mut files = Vec::new();
    rust_files(Path::new("src"), &mut files);
    let mut messages = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for after in text.split("#[error").skip(1).filter(|after| after.starts_with('(')) {
            let message = bracketed(after);
            let rest = &after[message.len()..];
            let Some(start) = rest.find(['{', '(']) else { continue };
            let fields = bracketed(&rest[start..]);
            // A variant without fields ends before the next one's begin.
            if rest[..start].contains(',') || rest[..start].contains("#[error") {
                continue;
            }
            messages += 1;
            assert!(!prints_its_cause(message, fields), "{}: #[error{message})]", file.display());
        }
    }
    assert!(messages > 200, "{messages}");
}

/// The innermost cause of every error below.
const CAUSE: &str = "no-such-cause";

#[test]
fn a_message_has_each_cause_once() {
    let cause = || io::Error::other(CAUSE);
    let path = || PathBuf::from("/directory/file");
    let tree_path = || TreePath::parse("/etc/file").unwrap();
    let url = || Url::parse("http://archive.invalid/debian").unwrap();
    let tree = || TreeError::from(FileError::new("reading", path(), cause()));
    let read = || HttpError::Read { url: url(), source: cause() };
    let cache = || CacheError::Io { source: FileError::new("writing", path(), cause()) };
    let tar = || TarError::Read { at: None, source: cause() };
    let transfer = PackageError::from(HttpError::GaveUp { url: url(), attempts: 5, source: Box::new(read()) });
    let set = AssembleError::Tar { archive: "set.tar".to_owned(), source: tar() };
    let squashfs = SquashfsError::Read { path: tree_path(), source: cause() };
    let fat = FatError::Write { path: tree_path(), size: 1, source: cause() };
    let errors: Vec<Box<dyn Error>> = vec![
        Box::new(BuildError::Fetch(FetchError::Suite { suite: "trixie".to_owned(), source: read() })),
        Box::new(BuildError::Squashfs { path: path(), source: Box::new(squashfs) }),
        Box::new(BuildError::from(FileError::new("reading", path(), cause()))),
        Box::new(FetchError::Index { url: url(), source: IndexError::Corrupt { source: cause() } }),
        Box::new(FetchError::Package { package: "dash 1".to_owned(), source: Box::new(transfer) }),
        Box::new(FetchError::Package { package: "dash 1".to_owned(), source: Box::new(cache().into()) }),
        Box::new(AssembleError::Set { path: path(), origin: "profile".to_owned(), source: Box::new(set) }),
        Box::new(AssembleError::Compression(CompressionError::Read(cause()))),
        Box::new(OutputError::Tree(tree())),
        Box::new(OutputError::from(FileError::new("reading", path(), cause()))),
        Box::new(GrubError::Fat(fat)),
        Box::new(InitramfsError::Cpio(CpioError::Write { path: tree_path(), source: cause() })),
        Box::new(Ext4Error::Entry { path: tree_path(), source: mkext4::Error::Io(cause()).into() }),
        Box::new(FleetError::from(FileError::new("reading", path(), cause()))),
        Box::new(QemuError::Start { source: cause() }),
        Box::new(DiffError::from(FileError::new("reading", path(), cause()))),
        Box::new(ProfileError::from(FileError::new("reading", path(), cause()))),
        Box::new(TemplateError::from(FileError::new("reading template", path(), cause()))),
        Box::new(SandboxError::Start { attempt: "forking", source: cause() }),
        Box::new(ReproduceError::Start { source: cause() }),
    ];
    for error in &errors {
        let message = error.with_causes();
        assert!(message.ends_with(&format!(": {CAUSE}")), "{message}");
        assert_eq!(message.matches(CAUSE).count(), 1, "{message}");
        let mut cause = error.source();
        while let Some(found) = cause {
            let text = found.to_string();
            assert_eq!(message.matches(&text).count(), 1, "{text}: {message}");
            cause = found.source();
        }
    }
    let wrong = Url::parse("nothing").unwrap_err();
    let text = wrong.to_string();
    let error = ArchiveError::Url { from: "--mirror".to_owned(), in_profile: false, source: wrong };
    assert_eq!(error.with_causes(), format!("--mirror: {text}"));
}

/// The contract says what things are called and what they look like; what is done with them is in `shared`.
#[test]
fn the_contract_does_no_io() {
    let mut files = Vec::new();
    rust_files(Path::new("src/contract/src"), &mut files);
    assert!(files.len() > 20, "{}", files.len());
    for file in files.iter().filter(|file| file.file_name() != Some("tests.rs".as_ref())) {
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for module in ["std::fs", "std::net", "std::process", "std::io", "std::os", "std::env"] {
            assert!(!code.contains(module), "{}: {module}", file.display());
        }
    }
}
