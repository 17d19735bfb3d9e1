//! Prints the first difference of two files.

use crate::cli::flags::common::Common;
use crate::cli::report::failure::Failure;
use crate::cli::report::output;
use applbuild::differ::Difference;
use serde_json::json;
use std::path::Path;

/// Prints the difference, and returns the failure that ends the command.
pub fn print(common: &Common, first: &Path, second: &Path, difference: &Difference) -> Failure {
    if common.json {
        let Difference { place, what, left, right } = difference;
        output::event(
            "difference",
            json!({"first": first, "second": second, "place": place, "what": what, "left": left, "right": right}),
        );
    } else {
        output::text(format_args!("{difference}\n"));
    }
    Failure::Differ(miette::Report::msg(format!("{} and {} differ", first.display(), second.display())))
}
