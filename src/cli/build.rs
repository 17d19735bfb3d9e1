//! The common part of the commands that build: build, print the result, and reproduce it on request.

use crate::cli::flags::build::{self, Arguments};
use crate::cli::flags::common::Common;
use crate::cli::flags::sources::PackageSources;
use crate::cli::report::failure::Failure;
use crate::cli::report::progress::{FinishedStage, Reporter};
use crate::cli::report::{self, difference, interrupt, output, timings};
use applbuild::output::Output;
use applbuild::pipeline::{self, Built};
use applbuild::profile::{Library, Profile};
use applbuild::reproduce::Reproduction;
use applbuild::sandbox;
use indicatif::HumanBytes;
use serde_json::json;
use std::path::{Component, Path};
use std::time::{Duration, Instant};

/// Builds an output of this kind and reports the result.
pub fn run(common: &Common, arguments: Arguments, kind: &'static dyn Output) -> Result<Built, Failure> {
    let began = Instant::now();
    let timings = arguments.timings;
    let second = arguments.reproduce.then(|| second_build(common, &arguments, kind)).transpose()?;
    let mut request = build::request(common, arguments.target, kind)?;
    request.replace = arguments.replace;
    if let Some(level) = arguments.level {
        let wrong = |expected| Failure::usage(format!("--level {level}: expected {expected}"));
        request.profile.set_level(level).map_err(wrong)?;
    }
    let lock = request.lock.path().to_owned();
    // Before any thread starts: progress bars start threads.
    sandbox::enter_user_namespace().map_err(Failure::plain)?;
    interrupt::watch(common.json)?;
    let reporter = Reporter::new(common.json);
    let built = pipeline::build(request, &reporter);
    let stages = reporter.finish();
    let built = built?;
    report::lock::print_outcome(common, &lock, &built.lock);
    let time = began.elapsed();
    print(common, &built, &stages, &reporter.reused(), time);
    if timings {
        timings::print(&built, &stages, time, common.json)?;
    }
    if let Some(second) = second {
        reproduce(common, &second, &built)?;
    }
    Ok(built)
}

/// The inputs of the second build.
fn second_build(common: &Common, arguments: &Arguments, kind: &'static dyn Output) -> Result<Reproduction, Failure> {
    let profile = Library::new(&common.root).load(&arguments.target.profile)?;
    let PackageSources { archives, cache, client, .. } = arguments.target.sources.clone().find(&profile)?;
    Ok(Reproduction {
        kind,
        root: common.root.clone(),
        profile: profile.name.clone(),
        has_files_elsewhere: !profile.sets.is_empty() || has_keys_elsewhere(&profile),
        archives,
        cache,
        client,
        level: arguments.level,
    })
}

/// Whether a key of the profile or of one of its guests is outside of the profiles' directory.
fn has_keys_elsewhere(profile: &Profile) -> bool {
    let outside =
        |name: &str| !Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let own = profile.archives.values().filter_map(|archive| archive.key.as_ref()).any(|key| outside(&key.name));
    own || profile.guests.iter().any(has_keys_elsewhere)
}

/// Builds again, and prints whether the two builds are the same.
fn reproduce(common: &Common, second: &Reproduction, built: &Built) -> Result<(), Failure> {
    let outcome = second.run(built)?;
    if let Some(found) = outcome.difference {
        return Err(difference::print(common, &found.first, &found.second, &found.difference));
    }
    let varied = outcome.varied;
    if common.json {
        output::event("check", json!({"image": built.path, "same": true, "varied": varied}));
    } else {
        output::result(format_args!("built twice, the same bytes; varied: {varied}\n"));
    }
    Ok(())
}

fn print(common: &Common, built: &Built, stages: &[FinishedStage], reused: &[String], time: Duration) {
    if common.json {
        let stages: Vec<_> = stages
            .iter()
            .map(|ended| json!({"stage": ended.stage.name(), "seconds": ended.time.as_secs_f64()}))
            .collect();
        let fields = json!({
            "image": built.path, "version": built.name.version, "size": built.size, "sha256": built.sha256,
            "was-there": built.unchanged, "packages": built.packages, "root-size": built.root_size,
            "initramfs-size": built.initramfs_size, "content": built.content, "reused-content": built.reused, "reused": reused,
            "seconds": time.as_secs_f64(), "stages": stages,
        });
        output::event("image", fields);
        return;
    }
    let path = built.path.display();
    output::result(format_args!(
        "{path}{}\n  {} ({} bytes), {} packages, in {:.1} s\n  SHA-256 {}\n{}",
        if built.unchanged { ": was there already, byte for byte" } else { "" },
        HumanBytes(built.size),
        built.size,
        built.packages,
        time.as_secs_f64(),
        built.sha256,
        reuse_summary(built, reused),
    ));
}

/// The line about results of earlier builds that this build reused.
fn reuse_summary(built: &Built, reused: &[String]) -> String {
    let mut parts = reused.to_vec();
    if built.reused > 0 {
        parts.push(format!("{} of the root's {}, compressed", HumanBytes(built.reused), HumanBytes(built.content)));
    }
    if parts.is_empty() { String::new() } else { format!("  from earlier builds: {}\n", parts.join("; ")) }
}
