//! Builds the agent's static programs, which the binary embeds, and hashes the source.

#[path = "src/identity/source.rs"]
mod source;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The agent's profile: small, static, no unwinding. It is passed on the command line, which has precedence over a
/// user's cargo configuration.
const PROFILE: [&str; 13] = [
    "inherits = 'release'",
    "opt-level = 'z'",
    "lto = 'fat'",
    "codegen-units = 1",
    "panic = 'abort'",
    "strip = true",
    "debug = false",
    "split-debuginfo = 'off'",
    "debug-assertions = false",
    "overflow-checks = false",
    "incremental = false",
    "rpath = false",
    // The boot entry *Check this medium* hashes the whole medium.
    "package.sha2.opt-level = 3",
];

fn main() {
    for path in source::PARTS {
        println!("cargo:rerun-if-changed={path}");
    }
    let out = variable("OUT_DIR");
    let root = variable("CARGO_MANIFEST_DIR");
    embed_profiles(&root.join("profiles"), &out.join("profiles"));
    embed_templates(&root, &out).unwrap_or_else(|error| panic!("embedding the templates: {error}"));
    build_agent(&root, &out);
    let hash = source::sha256(&root).unwrap_or_else(|error| panic!("hashing the source: {error}"));
    println!("cargo:rustc-env=APPLBUILD_SOURCE={hash}");
    println!("cargo:rustc-env=APPLBUILD_COMPILER={}", compiler());
    let lock =
        fs::read_to_string(root.join("Cargo.lock")).unwrap_or_else(|error| panic!("reading Cargo.lock: {error}"));
    println!("cargo:rustc-env=APPLBUILD_LIBLZMA_SYS={}", locked(&lock, "liblzma-sys"));
    println!("cargo:rustc-env=APPLBUILD_ZLIB_RS={}", locked(&lock, "zlib-rs"));
}

fn variable(name: &str) -> PathBuf {
    PathBuf::from(env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}")))
}

fn build_agent(root: &Path, out: &Path) {
    // Static linking needs `--target`, or it would also apply to build scripts
    // and procedural macros; the gnu target needs no toolchain beyond the user's own.
    let target = format!("{}-unknown-linux-gnu", variable("CARGO_CFG_TARGET_ARCH").display());
    // One directory for all profiles: OUT_DIR is TARGET/PROFILE/build/NAME/out.
    let built = out.ancestors().nth(4).unwrap_or(out).join("agent");
    let mut command = Command::new(variable("CARGO"));
    command
        .args(["build", "--quiet", "--package=appliance-agent", "--bins", "--profile=agent", "--locked"])
        .arg(format!("--target={target}"))
        .arg("--target-dir")
        .arg(&built)
        .args(PROFILE.iter().flat_map(|setting| ["--config".to_owned(), format!("profile.agent.{setting}")]))
        .current_dir(root);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(changes_the_agent) {
            command.env_remove(name);
        }
    }
    let status = command
        // They have precedence over any `rustflags` of a config file.
        .env("CARGO_ENCODED_RUSTFLAGS", flags(root, &built).join("\x1f"))
        .status()
        .unwrap_or_else(|error| panic!("starting cargo to build the agent: {error}"));
    assert!(status.success(), "building the agent for {target}: {status}");
    for program in ["init", "appliance"] {
        let binary = built.join(&target).join("agent").join(program);
        fs::copy(&binary, out.join(program)).unwrap_or_else(|error| panic!("copying {}: {error}", binary.display()));
        let bytes = source::read(&binary).unwrap_or_else(|error| panic!("hashing the agent: {error}"));
        println!("cargo:rustc-env=APPLBUILD_{}={}", program.to_uppercase(), source::digest(&bytes));
    }
}

/// Whether an environment variable would change the agent's bytes, or is meant for the outer build only (a wrapper such
/// as clippy's driver). Variables of registries stay, and so does the linker, which cross-compilation needs.
fn changes_the_agent(name: &str) -> bool {
    ["CARGO_PROFILE_", "CARGO_BUILD_", "CARGO_UNSTABLE_"].iter().any(|prefix| name.starts_with(prefix))
        || name.starts_with("CARGO_TARGET_") && !name.ends_with("_LINKER")
        || ["CARGO_INCREMENTAL", "RUSTFLAGS", "RUSTC_BOOTSTRAP", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"]
            .contains(&name)
}

/// Flags of rustc that make the agent's bytes independent of the build directory.
fn flags(root: &Path, built: &Path) -> Vec<String> {
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned(), "-Crelocation-model=static".to_owned()];
    // If several prefixes match, rustc uses the last one.
    let mut remap = |from: &Path, to: &str| flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    if let Some(home) = home {
        remap(&home, "/cargo");
        // One directory for each registry, with its host in the name. They exist: sha2 has been unpacked.
        let registries = fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
        let mut registries: Vec<PathBuf> = registries.map(|entry| entry.path()).collect();
        registries.sort();
        for registry in registries {
            remap(&registry, "/cargo");
        }
    }
    remap(root, "/applbuild");
    remap(built, "/target");
    flags
}

/// The compiler of the agent and of this program, as `rustc --version` names it.
fn compiler() -> String {
    let rustc = variable("RUSTC");
    let output = Command::new(&rustc).arg("--version").output();
    let output = output.unwrap_or_else(|error| panic!("starting {}: {error}", rustc.display()));
    assert!(output.status.success(), "{} --version: {}", rustc.display(), output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The version of a package in Cargo.lock, which has one package of that name.
fn locked<'a>(lock: &'a str, name: &str) -> &'a str {
    let mut lines = lock.lines().skip_while(|line| *line != format!("name = \"{name}\""));
    let version = lines.nth(1).and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    version.unwrap_or_else(|| panic!("Cargo.lock: found no version of {name}, expected the one that is linked"))
}

/// Copies the templates in the form in which they are hashed: with LF, without editors' backup files.
fn embed_templates(root: &Path, out: &Path) -> io::Result<()> {
    let folder = out.join("templates");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    for name in source::files(root, "templates")? {
        let path = out.join(&name);
        fs::create_dir_all(path.parent().unwrap_or(out))?;
        fs::write(&path, source::unix_lines(&source::read(&root.join(&name))?))?;
    }
    Ok(())
}

/// Copies the files to embed. Locks are left out: they belong to the user and must not get into the binary. Cargo
/// watches the copied files, not the directory, so that a new lock causes no rebuild.
fn embed_profiles(from: &Path, to: &Path) {
    copy_profiles(from, to).unwrap_or_else(|error| panic!("embedding {}: {error}", from.display()));
}

fn copy_profiles(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "lock") {
            continue;
        }
        println!("cargo:rerun-if-changed={}", path.display());
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_profiles(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
