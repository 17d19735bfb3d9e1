//! The `main` of tests that run in the build's user namespace: entering it, and
//! being re-executed as a helper of the sandbox, come before any thread, which
//! libtest does not allow. Understands libtest's filter and `--list`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

pub type Test = (&'static str, fn());

pub fn main(tests: &[Test]) -> ExitCode {
    if let Some(code) = applbuild::sandbox::dispatch() {
        return code;
    }
    let mut filters = Vec::new();
    let mut list = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => list = true,
            // libtest's options with a value, none of which means anything here.
            "--skip" | "--test-threads" | "--format" | "--color" => drop(arguments.next()),
            option if option.starts_with('-') => {}
            filter => filters.push(filter.to_owned()),
        }
    }
    let wanted: Vec<&Test> =
        tests.iter().filter(|(name, _)| filters.is_empty() || filters.iter().any(|part| name.contains(part))).collect();
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
