//! Shows how work goes on: bars on a terminal, a line for each stage that has
//! ended elsewhere, events for machines.

use crate::cli::report::output::{self, Verbosity};
use applbuild::progress::{Progress, Stage, Unit};
use applbuild::util::poison::Unpoisoned;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What became of each stage.
#[derive(Debug, Clone)]
pub struct Ended {
    pub stage: Stage,
    /// The image that it was a stage of.
    pub image: String,
    /// When it began, counted from the build's beginning.
    pub began: Duration,
    pub time: Duration,
    pub count: u64,
    pub unit: Unit,
}

/// How often `--json` tells how far a stage has come.
const TICK: Duration = Duration::from_millis(500);

#[derive(Debug)]
enum Style {
    /// Nothing, as `--quiet` asks.
    Quiet,
    Terminal,
    Lines,
    Json,
}

#[derive(Debug)]
struct Running {
    stage: Stage,
    image: String,
    since: Instant,
    told: Instant,
    total: u64,
    count: u64,
    unit: Unit,
    bar: ProgressBar,
}

/// Listens to a build and tells the user.
#[derive(Debug)]
pub struct Reporter {
    style: Style,
    began: Instant,
    image: Mutex<String>,
    running: Mutex<Option<Running>>,
    ended: Mutex<Vec<Ended>>,
    reused: Mutex<Vec<String>>,
}

impl Reporter {
    pub fn new(as_json: bool) -> Self {
        let style = match as_json {
            true => Style::Json,
            false if output::verbosity() == Verbosity::Quiet => Style::Quiet,
            false if std::io::stderr().is_terminal() => Style::Terminal,
            false => Style::Lines,
        };
        Self {
            style,
            began: Instant::now(),
            image: Mutex::default(),
            running: Mutex::default(),
            ended: Mutex::default(),
            reused: Mutex::default(),
        }
    }

    /// Ends the last stage; all of them, in order.
    pub fn finish(&self) -> Vec<Ended> {
        self.end(&mut self.running.lock().unpoisoned());
        self.ended.lock().unpoisoned().clone()
    }

    /// What earlier builds had made.
    pub fn reused(&self) -> Vec<String> {
        self.reused.lock().unpoisoned().clone()
    }

    fn end(&self, running: &mut Option<Running>) {
        let Some(running) = running.take() else { return };
        running.bar.finish_and_clear();
        let ended = Ended {
            stage: running.stage,
            image: running.image,
            began: running.since.duration_since(self.began),
            time: running.since.elapsed(),
            count: running.count,
            unit: running.unit,
        };
        match self.style {
            Style::Terminal | Style::Lines => output::note!("{}", line(&ended)),
            Style::Quiet => {}
            Style::Json => {
                let fields = json!({
                    "stage": ended.stage.name(), "image": ended.image, "count": ended.count, "unit": unit_name(ended.unit),
                    "seconds": ended.time.as_secs_f64(),
                });
                output::event("stage-end", fields);
            }
        }
        self.ended.lock().unpoisoned().push(ended);
    }
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Bytes => "bytes",
        Unit::Packages => "packages",
        Unit::Files => "files",
    }
}

fn amount(count: u64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => HumanBytes(count).to_string(),
        Unit::Packages | Unit::Files => format!("{count} {}", unit_name(unit)),
    }
}

fn line(ended: &Ended) -> String {
    let count = match ended.count {
        0 => String::new(),
        count => amount(count, ended.unit),
    };
    let (stage, seconds) = (ended.stage.name(), ended.time.as_secs_f64());
    format!("{stage:<10} {seconds:>6.1} s  {count:<12} {}", ended.image).trim_end().to_owned()
}

fn bar(total: u64, unit: Unit) -> ProgressBar {
    let bar = ProgressBar::with_draw_target((total > 0).then_some(total), ProgressDrawTarget::stderr());
    let template = match (total, unit) {
        (0, Unit::Bytes) => "{prefix:<20} {spinner} {bytes} {wide_msg}",
        (0, _) => "{prefix:<20} {spinner} {pos} {wide_msg}",
        (_, Unit::Bytes) => "{prefix:<20} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {wide_msg}",
        (_, _) => "{prefix:<20} [{bar:30}] {pos}/{len} {wide_msg}",
    };
    // The templates above are right; without one the bar has indicatif's own look.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

impl Progress for Reporter {
    fn image(&self, name: &str) {
        name.clone_into(&mut self.image.lock().unpoisoned());
    }

    fn stage(&self, stage: Stage, total: u64, unit: Unit) {
        let mut running = self.running.lock().unpoisoned();
        self.end(&mut running);
        let bar = match self.style {
            Style::Terminal => bar(total, unit),
            Style::Quiet | Style::Lines | Style::Json => ProgressBar::hidden(),
        };
        if matches!(self.style, Style::Json) {
            output::event(
                "stage",
                json!({"stage": stage.name(), "image": *self.image.lock().unpoisoned(), "total": total, "unit": unit_name(unit)}),
            );
        }
        let (now, image) = (Instant::now(), self.image.lock().unpoisoned().clone());
        bar.set_prefix(format!("{} {image}", stage.name()));
        *running = Some(Running { stage, image, since: now, told: now, total, count: 0, unit, bar });
    }

    fn advance(&self, count: u64) {
        let mut running = self.running.lock().unpoisoned();
        let Some(running) = running.as_mut() else { return };
        running.count += count;
        running.bar.inc(count);
        if matches!(self.style, Style::Json) && running.told.elapsed() >= TICK {
            running.told = Instant::now();
            let fields = json!({"stage": running.stage.name(), "count": running.count, "total": running.total});
            output::event("progress", fields);
        }
    }

    fn item(&self, name: &str) {
        if let (Style::Terminal, Some(running)) = (&self.style, self.running.lock().unpoisoned().as_ref()) {
            running.bar.set_message(name.to_owned());
        }
    }

    fn reused(&self, what: &str) {
        self.reused.lock().unpoisoned().push(what.to_owned());
    }

    fn warn(&self, message: &str) {
        match (&self.style, self.running.lock().unpoisoned().as_ref()) {
            (Style::Json, _) => output::event("warning", json!({"message": message})),
            (Style::Terminal, Some(running)) => running.bar.suspend(|| output::note!("warning: {message}")),
            (Style::Quiet | Style::Terminal | Style::Lines, _) => output::note!("warning: {message}"),
        }
    }

    fn detail(&self, line: &str) {
        if output::verbosity() != Verbosity::Verbose {
            return;
        }
        match (&self.style, self.running.lock().unpoisoned().as_ref()) {
            (Style::Json, _) => output::event("detail", json!({"text": line})),
            (Style::Terminal, Some(running)) => running.bar.suspend(|| output::note!("{line}")),
            (Style::Quiet | Style::Terminal | Style::Lines, _) => output::note!("{line}"),
        }
    }
}
