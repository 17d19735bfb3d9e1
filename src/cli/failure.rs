use applbuild::fleet::FleetError;
use applbuild::profile::ProfileError;
use miette::Report;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub enum Failure {
    /// A file that the user wrote is wrong.
    Input(Report),
    Failed(Report),
}

impl Failure {
    /// For errors that know no diagnostics; their sources are printed below them.
    pub fn plain(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Failed(Report::from_err(error))
    }

    /// For errors in files that the user wrote.
    pub fn input(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Input(Report::from_err(error))
    }

    pub fn text(message: String) -> Self {
        Self::Failed(Report::msg(message))
    }

    pub fn reading(path: &Path, error: std::io::Error) -> Self {
        Self::text(format!("reading {}: {error}", path.display()))
    }

    pub fn writing(path: &Path, error: std::io::Error) -> Self {
        Self::text(format!("writing {}: {error}", path.display()))
    }

    /// A fleet is the user's own files, but for what the machine refuses.
    pub fn from_fleet(error: FleetError) -> Self {
        match error {
            FleetError::File { .. } => Self::plain(error),
            _ => Self::input(error),
        }
    }

    fn report(&self) -> &Report {
        match self {
            Self::Input(report) | Self::Failed(report) => report,
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::from(1),
            Self::Input(_) => ExitCode::from(3),
        }
    }

    pub fn print(&self, as_json: bool) {
        if as_json {
            super::output::event("error", self.as_json());
        } else {
            eprintln!("{:?}", self.report());
        }
    }

    fn as_json(&self) -> Value {
        let report = self.report();
        let causes: Vec<String> = report.chain().skip(1).map(ToString::to_string).collect();
        let mut event = json!({"message": report.to_string(), "causes": causes});
        if let Some(help) = report.help() {
            event["help"] = help.to_string().into();
        }
        if let Some(ProfileError::InFile(place)) = report.downcast_ref::<ProfileError>() {
            event["file"] = place.file.clone().into();
            event["line"] = place.line.into();
            event["column"] = place.column.into();
        }
        event
    }
}

impl From<ProfileError> for Failure {
    fn from(error: ProfileError) -> Self {
        Self::Input(Report::new(error))
    }
}
