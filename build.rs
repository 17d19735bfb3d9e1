//! Builds the agent's programs statically, so that one binary carries them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    // Templates are embedded by a macro that cargo cannot follow into folders.
    for path in ["src/agent", "src/contract", "Cargo.lock", "build.rs", "templates"] {
        println!("cargo:rerun-if-changed={path}");
    }
    let variable = |name: &str| PathBuf::from(env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}")));
    let out = variable("OUT_DIR");
    let root = variable("CARGO_MANIFEST_DIR");
    embed_profiles(&root.join("profiles"), &out.join("profiles"));
    // Static linking needs `--target`, or it would also apply to build scripts
    // and procedural macros; the gnu target needs no toolchain beyond the user's own.
    let target = format!("{}-unknown-linux-gnu", variable("CARGO_CFG_TARGET_ARCH").display());
    // One folder for all profiles: OUT_DIR is TARGET/PROFILE/build/NAME/out.
    let built = out.ancestors().nth(4).unwrap_or(&out).join("agent");
    // The agent must be the same bytes wherever it is built.
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned(), "-Crelocation-model=static".to_owned()];
    flags.extend(cargo_home.map(|home| remap(&home, "/cargo")));
    flags.push(remap(&root, "/applbuild"));
    let status = Command::new(variable("CARGO"))
        .args(["build", "--quiet", "--package=appliance-agent", "--bins", "--profile=agent", "--locked"])
        .arg(format!("--target={target}"))
        .arg("--target-dir")
        .arg(&built)
        .current_dir(&root)
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        // A wrapper such as clippy's driver is for the outer build alone.
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status()
        .unwrap_or_else(|error| panic!("starting cargo to build the agent: {error}"));
    assert!(status.success(), "building the agent for {target}: {status}");
    for program in ["init", "appliance"] {
        let binary = built.join(&target).join("agent").join(program);
        std::fs::copy(&binary, out.join(program))
            .unwrap_or_else(|error| panic!("copying {}: {error}", binary.display()));
    }
}

/// Copies what is to be embedded. Locks stay out: they are a user's own, and none may get into the binary.
/// So that making one builds nothing anew, cargo watches what was copied, not the folder itself.
fn embed_profiles(from: &Path, to: &Path) {
    copy_profiles(from, to).unwrap_or_else(|error| panic!("embedding {}: {error}", from.display()));
}

fn copy_profiles(from: &Path, to: &Path) -> std::io::Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "lock") {
            continue;
        }
        println!("cargo:rerun-if-changed={}", path.display());
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_profiles(&path, &target)?;
        } else {
            std::fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
