//! The identity of the program that builds an image: its source, the embedded agent, its compiler and its compression
//! libraries. Build options are left out: builders that differ only in them make the same images.

#[cfg(test)]
mod source;

use crate::util::sha256;
use appliance_contract::Sha256;
use appliance_contract::manifest::Program;
use std::sync::LazyLock;

/// The identity of this program.
static OWN: LazyLock<Program> = LazyLock::new(|| {
    let library = |name: &str, version: &str| (name.to_owned(), version.to_owned());
    with_hash(Program {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sha256: Sha256::default(),
        source_sha256: env!("APPLBUILD_SOURCE").parse().ok(),
        init_sha256: env!("APPLBUILD_INIT").parse().ok(),
        appliance_sha256: env!("APPLBUILD_APPLIANCE").parse().ok(),
        compiler: env!("APPLBUILD_COMPILER").to_owned(),
        libraries: [
            library("liblzma-sys", env!("APPLBUILD_LIBLZMA_SYS")),
            library("zlib-rs", env!("APPLBUILD_ZLIB_RS")),
            // The others are always compiled in. zstd may be the system's (ZSTD_SYS_USE_PKG_CONFIG).
            library("zstd", zstd::zstd_safe::version_string()),
        ]
        .into(),
    })
});

/// The identity of this program, as a manifest records it.
pub fn current() -> &'static Program {
    &OWN
}

/// The SHA-256 of [`current`].
pub fn sha256() -> Sha256 {
    OWN.sha256
}

/// The version in one line, for `-V`.
pub fn short() -> &'static str {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| format!("{} (source {})", env!("CARGO_PKG_VERSION"), &env!("APPLBUILD_SOURCE")[..16]));
    &TEXT
}

/// The whole identity, for `--version`, which prints the program's name before it.
pub fn long() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| describe(&OWN));
    TEXT.strip_prefix("applbuild ").unwrap_or(&TEXT)
}

/// The text that `--version` prints for a program.
pub fn describe(program: &Program) -> String {
    format!("{}identity {}", text(program), program.sha256)
}

/// The text whose SHA-256 is the identity.
fn text(program: &Program) -> String {
    // Names every field, so that a new field does not compile until it is added here.
    let Program { version, sha256: _, source_sha256, init_sha256, appliance_sha256, compiler, libraries } = program;
    let hex = |hash: &Option<Sha256>| hash.map_or(String::new(), |hash| hash.to_string());
    let (source, init, appliance) = (hex(source_sha256), hex(init_sha256), hex(appliance_sha256));
    let mut text = format!(
        "applbuild {version}\nsource {source}\ninit {init}\nappliance {appliance}\n\
         compiler {compiler}\n"
    );
    for (name, version) in libraries {
        text.push_str(&format!("library {name} {version}\n"));
    }
    text
}

fn with_hash(mut program: Program) -> Program {
    program.sha256 = sha256::of(text(&program));
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded;
    use std::path::Path;

    #[test]
    fn the_source_is_the_one_that_was_compiled() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(current().source_sha256, source::sha256(root).unwrap().parse().ok());
    }

    #[test]
    fn the_agent_is_the_one_that_is_carried() {
        assert_eq!(current().init_sha256, Some(sha256::of(embedded::AGENT)));
        assert_eq!(current().appliance_sha256, Some(sha256::of(embedded::COMMAND)));
    }

    #[test]
    fn every_part_changes_the_identity() {
        let changes: [fn(&mut Program); 7] = [
            |program| program.version.push('1'),
            |program| program.source_sha256 = Some(Sha256::default()),
            |program| program.init_sha256 = Some(Sha256::default()),
            |program| program.appliance_sha256 = Some(Sha256::default()),
            |program| program.compiler.push('1'),
            |program| drop(program.libraries.insert("zstd".to_owned(), "1.5.8".to_owned())),
            |program| drop(program.libraries.remove("zlib-rs")),
        ];
        let mut met = vec![current().sha256];
        assert_eq!(with_hash(current().clone()).sha256, met[0]);
        for change in changes {
            let mut program = current().clone();
            change(&mut program);
            met.push(with_hash(program).sha256);
        }
        let all = met.len();
        met.sort();
        met.dedup();
        assert_eq!(met.len(), all);
    }

    #[test]
    fn the_libraries_are_those_of_the_lock() {
        let lock: toml::Table = include_str!("../../Cargo.lock").parse().unwrap();
        let packages = lock["package"].as_array().unwrap();
        for name in ["liblzma-sys", "zlib-rs"] {
            let package = packages.iter().find(|package| package["name"].as_str() == Some(name)).unwrap();
            assert_eq!(package["version"].as_str(), Some(current().libraries[name].as_str()), "{name}");
        }
        // A backend in C would come before zlib-rs.
        for other in ["libz-sys", "libz-ng-sys", "cloudflare-zlib-sys"] {
            assert!(!packages.iter().any(|package| package["name"].as_str() == Some(other)), "{other}");
        }
    }
}
