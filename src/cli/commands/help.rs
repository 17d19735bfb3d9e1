//! `applbuild help`: the help of a command, or a chapter of the documentation.

use crate::cli::Cli;
use crate::cli::report::failure::Failure;
use crate::cli::report::output;
use appliance_contract::nearest::nearest;
use clap::CommandFactory;

/// The chapters of docs/, by name.
const CHAPTERS: [(&str, &str); 12] = [
    ("getting-started", include_str!("../../../docs/getting-started.md")),
    ("profiles", include_str!("../../../docs/profiles.md")),
    ("profile-reference", include_str!("../../../docs/profile-reference.md")),
    ("recipes", include_str!("../../../docs/recipes.md")),
    ("config", include_str!("../../../docs/config.md")),
    ("marker-reference", include_str!("../../../docs/marker-reference.md")),
    ("guests", include_str!("../../../docs/guests.md")),
    ("guest-reference", include_str!("../../../docs/guest-reference.md")),
    ("booting", include_str!("../../../docs/booting.md")),
    ("reproducibility", include_str!("../../../docs/reproducibility.md")),
    ("security", include_str!("../../../docs/security.md")),
    ("comparison", include_str!("../../../docs/comparison.md")),
];

const DETAILS: &str = "\
If a command and a chapter have the same name, the command is printed: `applbuild help config`
prints the command, `applbuild help config.md` the chapter.";

#[derive(Debug, clap::Args)]
#[command(after_help = DETAILS)]
pub struct Arguments {
    /// A command, or a chapter of the documentation [default: list both]
    topic: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    if arguments.topic.is_empty() {
        let names: Vec<&str> = CHAPTERS.iter().map(|(name, _)| *name).collect();
        output::text(format_args!(
            "{}\nChapters (applbuild help CHAPTER; with .md if a command has the same name, as in help config.md):\n  {}\n",
            command.render_help(),
            names.join(", ")
        ));
        return Ok(());
    }
    let mut found = Some(&mut command);
    for word in &arguments.topic {
        found = found.and_then(|command| command.find_subcommand_mut(word));
    }
    if let Some(command) = found {
        output::text(format_args!("{}\n", command.render_long_help()));
        return Ok(());
    }
    let topic = arguments.topic.join(" ");
    let wanted = topic.strip_suffix(".md").unwrap_or(&topic);
    match CHAPTERS.iter().find(|(name, _)| *name == wanted) {
        Some((_, text)) => {
            output::text(text);
            Ok(())
        }
        None => {
            let names = CHAPTERS.iter().map(|(name, _)| *name);
            let known: Vec<&str> = names.collect();
            let near = nearest(wanted, &known);
            let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            let message =
                format!("there is no command or chapter {topic}{near}\nThe chapters are: {}", known.join(", "));
            Err(Failure::usage(message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::path::{Path, PathBuf};

    fn pages() -> Vec<(PathBuf, String)> {
        // Cargo runs tests in the directory of their package.
        let root = Path::new("");
        let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
        let pages = docs.filter(|path| path.extension().is_some_and(|suffix| suffix == "md"));
        let read = |path: PathBuf| (path.clone(), std::fs::read_to_string(&path).unwrap());
        pages.chain([root.join("README.md"), root.join("ARCHITECTURE.md")]).map(read).collect()
    }

    /// The lines of code blocks marked `sh`. A line that ends in a backslash is joined with the next.
    fn shell_lines(text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let mut inside = false;
        for line in text.replace("\\\n", " ").lines() {
            match line.trim() {
                "```sh" => inside = true,
                "```" => inside = false,
                line if inside && !line.is_empty() && !line.starts_with('#') => lines.push(line.to_owned()),
                _ => {}
            }
        }
        lines
    }

    /// The words of a command line as a shell splits them, up to the first pipe, redirection or separator.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for letter in line.chars() {
            match (quote, letter) {
                (Some(open), close) if open == close => quote = None,
                (None, '\'' | '"') => quote = Some(letter),
                (None, '|' | '>' | '<' | ';' | '&' | '#') => break,
                (None, ' ') => words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty())),
                _ => word.push(letter),
            }
        }
        words.extend(Some(word).filter(|word| !word.is_empty()));
        words
    }

    #[test]
    fn every_command_line_in_the_documentation_is_one() {
        let mut checked = 0;
        for (path, text) in pages() {
            for line in shell_lines(&text) {
                let mut words = words(&line);
                let prefixes = words.iter().take_while(|word| word.contains('=') || *word == "sudo").count();
                words.drain(..prefixes);
                if words.starts_with(&["cargo", "run", "--release", "--"].map(str::to_owned)) {
                    words.drain(1..4);
                }
                let name = words.first().map(|word| word.rsplit('/').next().unwrap_or(word).to_owned());
                if !matches!(name.as_deref(), Some("applbuild" | "cargo"))
                    || words.get(1).is_some_and(|word| word == "install")
                {
                    continue;
                }
                checked += 1;
                if let Err(error) = Cli::try_parse_from(&words)
                    && error.use_stderr()
                {
                    panic!("{}: {line}\n{error}", path.display());
                }
            }
        }
        assert!(checked > 30, "{checked}");
    }

    #[test]
    fn links_in_the_documentation_lead_somewhere() {
        for (path, text) in pages() {
            for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
                let local = !link.is_empty() && !link.contains("://");
                let place = path.parent().unwrap().join(link);
                assert!(!local || place.exists(), "{}: {link}", path.display());
            }
        }
    }

    #[test]
    fn every_chapter_can_be_printed() {
        let docs = pages().into_iter().filter(|(path, _)| path.parent().unwrap().ends_with("docs"));
        for (path, _) in docs.filter(|(path, _)| !path.ends_with("README.md")) {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(CHAPTERS.iter().any(|(chapter, _)| *chapter == name), "{name}");
        }
    }
}
