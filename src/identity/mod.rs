//! Which applbuild makes an image: its source, the agent that it carries, and what it compresses with. Not how it was
//! compiled: builders that differ only in that make the same images.

#![warn(missing_docs)]

#[cfg(test)]
mod source;

use crate::util::sha256;
use appliance_contract::Sha256;
use appliance_contract::manifest::Program;
use std::sync::LazyLock;

/// This program's own.
static OWN: LazyLock<Program> = LazyLock::new(|| {
    let library = |name: &str, version: &str| (name.to_owned(), version.to_owned());
    identified(Program {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sha256: Sha256::default(),
        source_sha256: env!("APPLBUILD_SOURCE").parse().ok(),
        init_sha256: env!("APPLBUILD_INIT").parse().ok(),
        appliance_sha256: env!("APPLBUILD_APPLIANCE").parse().ok(),
        compiler: env!("APPLBUILD_COMPILER").to_owned(),
        libraries: [
            library("liblzma-sys", env!("APPLBUILD_LIBLZMA_SYS")),
            library("zlib-rs", env!("APPLBUILD_ZLIB_RS")),
            // The others are always compiled in. This one may be the system's (ZSTD_SYS_USE_PKG_CONFIG).
            library("zstd", zstd::zstd_safe::version_string()),
        ]
        .into(),
    })
});

/// As a manifest names it.
pub fn own() -> &'static Program {
    &OWN
}

/// Stands for all of [`own`].
pub fn sha256() -> Sha256 {
    OWN.sha256
}

/// One line, for `-V`.
pub fn short() -> &'static str {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| format!("{} (source {})", env!("CARGO_PKG_VERSION"), &env!("APPLBUILD_SOURCE")[..16]));
    &TEXT
}

/// All lines, for `--version`, which prints the program's name before them.
pub fn long() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| described(&OWN));
    TEXT.strip_prefix("applbuild ").unwrap_or(&TEXT)
}

/// What `--version` prints of a program.
pub fn described(program: &Program) -> String {
    format!("{}identity {}", text(program), program.sha256)
}

/// What the identity is the SHA-256 of.
fn text(program: &Program) -> String {
    // With all its fields, so that a new one is not forgotten here.
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

fn identified(mut program: Program) -> Program {
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
        assert_eq!(own().source_sha256, source::sha256(root).unwrap().parse().ok());
    }

    #[test]
    fn the_agent_is_the_one_that_is_carried() {
        assert_eq!(own().init_sha256, Some(sha256::of(embedded::AGENT)));
        assert_eq!(own().appliance_sha256, Some(sha256::of(embedded::COMMAND)));
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
        let mut met = vec![own().sha256];
        assert_eq!(identified(own().clone()).sha256, met[0]);
        for change in changes {
            let mut program = own().clone();
            change(&mut program);
            met.push(identified(program).sha256);
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
            assert_eq!(package["version"].as_str(), Some(own().libraries[name].as_str()), "{name}");
        }
        // A backend in C would come before zlib-rs.
        for other in ["libz-sys", "libz-ng-sys", "cloudflare-zlib-sys"] {
            assert!(!packages.iter().any(|package| package["name"].as_str() == Some(other)), "{other}");
        }
    }
}
