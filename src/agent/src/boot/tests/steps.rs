//! The numbers of the steps in the files and in ARCHITECTURE.md are those of [`Step`].

use crate::boot::Step;
use std::fs;
use std::path::Path;

/// `(number, name)` of each `//! Step N, NAME: ...` below `folder`.
fn numbered(folder: &Path, found: &mut Vec<(usize, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            numbered(&path, found);
            continue;
        }
        for line in fs::read_to_string(&path).unwrap().lines().filter_map(|line| line.strip_prefix("//! Step ")) {
            let (number, rest) = line.split_once(", ").unwrap();
            found.push((number.parse().unwrap(), rest.split_once(':').unwrap().0.to_owned()));
        }
    }
}

fn expected() -> Vec<(usize, String)> {
    Step::ALL.into_iter().map(|step| (step as usize, step.name().to_owned())).collect()
}

#[test]
fn each_step_has_its_number_and_one_file() {
    assert_eq!(expected().iter().map(|(number, _)| *number).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
    let mut found = Vec::new();
    // Tests are started in the directory of their package.
    numbered(Path::new("src/boot"), &mut found);
    found.sort();
    assert_eq!(found, expected());
}

#[test]
fn architecture_lists_the_steps() {
    let text = fs::read_to_string("../../ARCHITECTURE.md").unwrap();
    let section = text.split("\n## The agent\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let item = |line: &str| {
        let (number, rest) = line.split_once(". `")?;
        Some((number.parse().ok()?, rest.split_once('`')?.0.to_owned()))
    };
    assert_eq!(section.lines().filter_map(item).collect::<Vec<_>>(), expected());
}
