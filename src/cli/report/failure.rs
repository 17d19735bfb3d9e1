use applbuild::fleet::FleetError;
use applbuild::packages::{ArchiveError, FetchError};
use applbuild::pipeline::BuildError;
use applbuild::profile::ProfileError;
use applbuild::qemu::QemuError;
use applbuild::reproduce::ReproduceError;
use applbuild::rootfs::AssembleError;
use applbuild::util::file_error::FileError;
use appliance_contract::causes::WithCauses as _;
use clap::ColorChoice;
use miette::{MietteHandlerOpts, Report};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

/// Sets the format of errors. Lines are not wrapped: terminals wrap them, and a name that is broken cannot be copied.
pub fn set_format(color: ColorChoice) {
    // Fails if a hook is already set, which is also correct.
    let _ = miette::set_hook(Box::new(move |_| {
        let form = MietteHandlerOpts::new().wrap_lines(false);
        Box::new(match color {
            ColorChoice::Auto => form.build(),
            ColorChoice::Always => form.color(true).build(),
            ColorChoice::Never => form.color(false).build(),
        })
    }));
}

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The command line or the environment is wrong in a way that clap cannot detect.
    Usage(Report),
    /// A file that the user wrote is wrong.
    Input(Report),
    Failed(Report),
    /// Two files that should be the same are not.
    Differ(Report),
    /// The program that the user ran ended with this exit code and printed its own errors.
    Ended(u8),
    /// A signal interrupted the command.
    Interrupted,
}

impl Failure {
    pub fn usage(message: String) -> Self {
        Self::Usage(Report::msg(message))
    }

    /// For a file that the user gave.
    pub fn input(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Input(report(&error))
    }

    /// For an error without diagnostics.
    pub fn plain(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Failed(report(&error))
    }

    pub fn text(message: String) -> Self {
        Self::Failed(Report::msg(message))
    }

    pub fn reading(path: &Path, error: std::io::Error) -> Self {
        Self::plain(FileError::new("reading", path, error))
    }

    pub fn writing(path: &Path, error: std::io::Error) -> Self {
        Self::plain(FileError::new("writing", path, error))
    }

    /// A fleet's files are the user's input, so that its errors are input errors, except those of the system.
    pub fn from_fleet(error: FleetError) -> Self {
        match error {
            _ if is_system_error(&error) => Self::plain(error),
            FleetError::NotAFile(_) => Self::usage(error.with_causes()),
            _ => Self::input(error),
        }
    }

    /// A file that is not an image is an input error.
    pub fn from_qemu(error: QemuError) -> Self {
        match error {
            QemuError::NoImage { .. } | QemuError::Truncated { .. } => Self::input(error),
            _ => Self::plain(error),
        }
    }

    fn report(&self) -> Option<&Report> {
        match self {
            Self::Usage(report) | Self::Input(report) | Self::Failed(report) | Self::Differ(report) => Some(report),
            Self::Ended(_) | Self::Interrupted => None,
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::Input(_) => ExitCode::from(3),
            Self::Differ(_) => ExitCode::from(4),
            Self::Ended(code) => ExitCode::from(*code),
            Self::Interrupted => ExitCode::from(crate::cli::report::interrupt::INTERRUPTED),
        }
    }

    pub fn print(&self, as_json: bool) {
        if let Self::Ended(_) = self {
            return;
        }
        if as_json {
            crate::cli::report::output::event("error", self.as_json());
        } else if let Some(report) = self.report() {
            crate::cli::report::output::error(format_args!("{report:?}"));
        } else {
            crate::cli::report::output::error("interrupted");
        }
    }

    fn as_json(&self) -> Value {
        let Some(report) = self.report() else { return json!({"message": "interrupted"}) };
        let mut event = match report.downcast_ref::<Sentence>() {
            Some(Sentence { message, causes, .. }) => json!({"message": message, "causes": causes}),
            None => json!({"message": report.to_string(), "causes": []}),
        };
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

/// An error with its causes in one sentence; `--json` lists them separately.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
struct Sentence {
    sentence: String,
    message: String,
    causes: Vec<String>,
}

fn report(error: &(dyn std::error::Error + 'static)) -> Report {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    Report::from_err(Sentence {
        sentence: error.with_causes(),
        message: error.to_string(),
        causes: causes.map(ToString::to_string).collect(),
    })
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Resolve(_)
            | BuildError::Template(_)
            | BuildError::Lock { .. }
            | BuildError::StaleLock { .. }
            | BuildError::NotLocked { .. }
            | BuildError::NoIds { .. } => Self::input(error),
            BuildError::Assemble(AssembleError::SetChecksum { .. }) => Self::input(error),
            BuildError::Assemble(AssembleError::Set { ref source, .. }) if !is_system_error(source) => {
                Self::input(error)
            }
            BuildError::Fetch(ref fetch) if is_wrong_request(fetch) => Self::input(error),
            _ => Self::plain(error),
        }
    }
}

/// Whether an error of the system is the cause: a full disk, a directory that is not writable.
fn is_system_error(error: &(dyn std::error::Error + 'static)) -> bool {
    let numbered = |error: &(dyn std::error::Error + 'static)| {
        error.downcast_ref::<std::io::Error>().is_some_and(|error| error.raw_os_error().is_some())
    };
    std::iter::successors(Some(error), |error| error.source()).any(numbered)
}

/// Whether the profile names something that does not exist.
fn is_wrong_request(error: &FetchError) -> bool {
    matches!(
        error,
        FetchError::UnknownSuite { nearest: Some(_), .. }
            | FetchError::UnknownComponent { .. }
            | FetchError::UnknownArchitecture { .. }
            | FetchError::Archive(ArchiveError::Foreign { .. })
    )
}

impl From<ReproduceError> for Failure {
    fn from(error: ReproduceError) -> Self {
        match error {
            ReproduceError::Build(error) => (*error).into(),
            error => Self::plain(error),
        }
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Url { in_profile: true, .. } | ArchiveError::Key { .. } => Self::input(error),
            ArchiveError::Url { .. } => Self::usage(error.with_causes()),
            _ => Self::plain(error),
        }
    }
}

impl From<ProfileError> for Failure {
    fn from(error: ProfileError) -> Self {
        match error {
            ProfileError::File(_) => Self::input(error),
            error => Self::Input(Report::new(error)),
        }
    }
}
