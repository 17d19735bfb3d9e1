//! Where a build's time went: a table, and a page with a bar for each stage.

use crate::cli::report::failure::Failure;
use crate::cli::report::output;
use crate::cli::report::progress::Ended;
use applbuild::pipeline::Built;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Prints the table, and writes the page beside the image; it is no part of the image and in none of its checksums.
pub fn tell(built: &Built, stages: &[Ended], all: Duration, json: bool) -> Result<(), Failure> {
    let path = page_path(built);
    std::fs::write(&path, page(&built.name.version, stages, all)).map_err(|error| Failure::writing(&path, error))?;
    if json {
        output::event("timings", serde_json::json!({"page": path}));
    } else {
        output::result(table(stages, all));
        output::result(format_args!("{}\n", path.display()));
    }
    Ok(())
}

fn page_path(built: &Built) -> PathBuf {
    built.path.with_file_name(format!("{}.timings.html", built.name.stem()))
}

fn share(part: Duration, all: Duration) -> f64 {
    100.0 * part.as_secs_f64() / all.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// A line for each stage, and one for what lies between them.
fn table(stages: &[Ended], all: Duration) -> String {
    let mut text = String::new();
    let mut line = |name: &str, time: Duration| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<20} {:>8.2} s {:>5.1} %", time.as_secs_f64(), share(time, all));
    };
    stages.iter().for_each(|ended| line(&format!("{} {}", ended.stage.name(), ended.image), ended.time));
    line("the rest", all.saturating_sub(stages.iter().map(|ended| ended.time).sum()));
    line("all", all);
    text
}

fn page(version: &str, stages: &[Ended], all: Duration) -> String {
    let mut rows = String::new();
    for ended in stages {
        let (from, width) = (share(ended.began, all), share(ended.time, all));
        let _ = writeln!(
            rows,
            "<tr><td>{} {}</td><td class=\"n\">{:.2} s</td><td class=\"t\"><div style=\"margin-left:{from:.2}%;width:{width:.2}%\"></div></td></tr>",
            ended.stage.name(),
            ended.image,
            ended.time.as_secs_f64(),
        );
    }
    // A name and a version are of letters, digits, dots and dashes (the profile's rules).
    format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>applbuild {version}: timings</title>\n<style>\n\
         body {{ font: 14px sans-serif; margin: 2em }} table {{ border-collapse: collapse; width: 100% }}\n\
         td {{ padding: 4px 8px; border-bottom: 1px solid #ddd }} .n {{ text-align: right; white-space: nowrap }}\n\
         .t {{ width: 80% }} .t div {{ height: 18px; min-width: 1px; background: #37c }}\n</style>\n\
         <h1>{version}: {:.2} s</h1>\n<table>\n{rows}</table>\n",
        all.as_secs_f64(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use applbuild::progress::{Stage, Unit};

    fn stages() -> Vec<Ended> {
        let ended = |stage, began, time| Ended {
            stage,
            image: "host".to_owned(),
            began: Duration::from_secs(began),
            time: Duration::from_secs(time),
            count: 0,
            unit: Unit::Bytes,
        };
        vec![ended(Stage::Resolve, 1, 1), ended(Stage::Pack, 2, 6)]
    }

    #[test]
    fn the_table_adds_up() {
        let text = table(&stages(), Duration::from_secs(10));
        let expected = "resolve host             1.00 s  10.0 %\npack host                6.00 s  60.0 %\n\
            the rest                 3.00 s  30.0 %\nall                     10.00 s 100.0 %\n";
        assert_eq!(text, expected);
        assert!(table(&[], Duration::ZERO).contains("0.0 %"));
    }

    #[test]
    fn the_page_needs_nothing_else() {
        let page = page("1.0", &stages(), Duration::from_secs(10));
        assert!(page.contains("margin-left:20.00%;width:60.00%"), "{page}");
        assert!(!page.contains("src=") && !page.contains("href="), "{page}");
    }
}
