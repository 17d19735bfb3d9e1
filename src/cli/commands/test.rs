use crate::cli::flags::common::Common;
use crate::cli::report::failure::Failure;
use crate::cli::report::output;
use applbuild::qemu;
use applbuild::qemu::runner::Setting;
use applbuild::qemu::suite::{self, Suite};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The image that `applbuild iso` built
    #[arg(required_unless_present = "list")]
    image: Option<PathBuf>,
    /// Scenarios to run [default: all]
    scenarios: Vec<String>,
    /// List the scenarios instead of running them
    #[arg(long)]
    list: bool,
    /// Directory of scenarios [default: ci/scenarios in the root directory, else the embedded scenarios]
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Number of machines to run at once; each takes 2 GiB of memory and one processor
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Also write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Directory for the consoles' logs [default: `console` next to the image]
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
}

pub fn run(common: &Common, arguments: &Arguments) -> Result<(), Failure> {
    let stop = crate::cli::report::interrupt::stop(common.json)?;
    let extracted = tempfile::tempdir().map_err(|source| Failure::reading(&std::env::temp_dir(), source))?;
    let own = common.root.join("ci/scenarios");
    let folder = match &arguments.from {
        Some(folder) => folder.clone(),
        None if own.is_dir() => own,
        None => {
            suite::extract(extracted.path()).map_err(Failure::plain)?;
            extracted.path().to_owned()
        }
    };
    let image = match &arguments.image {
        Some(image) if !arguments.list => image,
        _ => return list(common, &folder),
    };
    let qemu = qemu::find().map_err(Failure::plain)?;
    qemu::image::check(image).map_err(Failure::from_qemu)?;
    let mut suite = Suite::read(&folder, &arguments.scenarios).map_err(Failure::input)?;
    if arguments.scenarios.is_empty() {
        leave_out(&mut suite, image, common.json);
    }
    let setting = Setting {
        qemu,
        image: image.clone(),
        fleet: folder.join(suite::FLEET),
        logs: arguments.logs.clone().unwrap_or_else(|| image.with_file_name("console")),
        stop: Arc::clone(&stop),
    };
    let results = suite.run(&setting, arguments.jobs, &|name, outcome| {
        let seconds = outcome.took.as_secs_f64();
        let milestones: Vec<_> =
            outcome.milestones.iter().map(|(text, at)| json!({"text": text, "seconds": at.as_secs_f64()})).collect();
        if common.json {
            let fields =
                json!({"name": name, "failure": outcome.failure, "seconds": seconds, "milestones": milestones});
            output::event("scenario", fields);
        } else if let Some(failure) = &outcome.failure {
            output::error(format_args!("{name}: {failure}\n  the console's last lines:"));
            outcome.tail.iter().for_each(|line| output::error(format_args!("  | {line}")));
        } else {
            output::note!("{name}: passed in {seconds:.0} s");
        }
    });
    if let Some(file) = &arguments.junit {
        std::fs::write(file, suite::junit(&results)).map_err(|source| Failure::writing(file, source))?;
    }
    let failed = results.iter().filter(|(_, outcome)| outcome.failure.is_some()).count();
    if !common.json {
        output::result(suite::table(&results));
        output::result(format_args!(
            "{} passed, {failed} failed; logs in {}\n",
            results.len() - failed,
            setting.logs.display()
        ));
    }
    if stop.load(Ordering::Relaxed) {
        return Err(Failure::Interrupted);
    }
    match failed {
        0 if results.is_empty() => Err(Failure::text(format!("{} holds no scenario", folder.display()))),
        0 => Ok(()),
        _ => Err(Failure::text(format!("{failed} of {} scenarios failed", results.len()))),
    }
}

/// Of all scenarios, those are left out that need another image, which is not there.
fn leave_out(suite: &mut Suite, image: &Path, as_json: bool) {
    suite.scenarios.retain(|(name, scenario)| {
        let mut others = scenario.other_images().map(|other| image.with_file_name(other));
        let Some(missing) = others.find(|other| !other.exists()) else { return true };
        if as_json {
            let message = format!("{name} needs {}, which is not there", missing.display());
            output::event("warning", json!({"message": message}));
        } else {
            output::note!("{name} is left out: it needs {}, which is not there", missing.display());
        }
        false
    });
}

fn list(common: &Common, folder: &Path) -> Result<(), Failure> {
    let suite = Suite::read(folder, &[]).map_err(Failure::input)?;
    let width = suite.scenarios.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, scenario) in &suite.scenarios {
        if common.json {
            output::event("scenario", json!({"name": name, "summary": scenario.summary}));
        } else {
            output::text(format_args!("{name:width$}  {}\n", scenario.summary));
        }
    }
    Ok(())
}
