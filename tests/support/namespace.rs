//! The `main` of tests that run in the build's user namespace. Entering it, and being re-executed as a helper of the
//! sandbox, must happen before the first thread starts, which libtest does not allow. Understands libtest's filter and
//! `--list`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// A test's module, name and function.
pub type Test = (&'static str, &'static str, fn());

/// Lists the tests of a module. Test programs deny `dead_code`, so a test function that is in no list does not compile,
/// nor does a list that `main` does not name.
#[macro_export]
macro_rules! tests {
    ($($test:ident),+ $(,)?) => {
        &[$((module_path!(), stringify!($test), $test as fn())),+]
    };
}

pub use tests;

/// Runs those of the modules' tests that the command line selects.
pub fn main(modules: &[&[Test]]) -> ExitCode {
    if let Some(code) = applbuild::sandbox::dispatch() {
        return code;
    }
    let mut filters = Vec::new();
    let mut list = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => list = true,
            // libtest's options with a value; they have no effect here.
            "--skip" | "--test-threads" | "--format" | "--color" => drop(arguments.next()),
            option if option.starts_with('-') => {}
            filter => filters.push(filter.to_owned()),
        }
    }
    // Named as by libtest: without the crate's name.
    let named = modules.iter().copied().flatten().map(|(module, name, test)| match module.split_once("::") {
        Some((_, module)) => (format!("{module}::{name}"), test),
        None => ((*name).to_owned(), test),
    });
    let wanted: Vec<(String, &fn())> =
        named.filter(|(name, _)| filters.is_empty() || filters.iter().any(|part| name.contains(part))).collect();
    if list {
        for (name, _) in wanted {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    if let Err(error) = applbuild::sandbox::enter_user_namespace() {
        println!("these tests run in a user namespace: {error}");
        return ExitCode::FAILURE;
    }
    println!("\nrunning {} tests", wanted.len());
    let mut failed = 0;
    for (name, test) in &wanted {
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {result}. {} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n",
        wanted.len() - failed
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
