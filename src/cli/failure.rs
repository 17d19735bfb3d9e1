use applbuild::fleet::FleetError;
use applbuild::packages::{ArchiveError, FetchError};
use applbuild::pipeline::BuildError;
use applbuild::profile::ProfileError;
use applbuild::qemu::QemuError;
use applbuild::rootfs::AssembleError;
use miette::{MietteHandlerOpts, Report};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

/// Errors keep their lines whole: terminals wrap by themselves, and a name that was cut cannot be copied.
pub fn set_form() {
    // It fails where one is set already, which is as good.
    let _ = miette::set_hook(Box::new(|_| Box::new(MietteHandlerOpts::new().wrap_lines(false).build())));
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub enum Failure {
    /// The command line, or the environment, is wrong in a way that clap cannot see.
    Usage(Report),
    /// A file that the user wrote is wrong.
    Input(Report),
    Failed(Report),
    /// Two files that should be the same are not.
    Differ(Report),
    /// The program that was run for the user ended with this exit code, and said why itself.
    Ended(u8),
    /// A signal asked for the end.
    Interrupted,
}

impl Failure {
    pub fn usage(message: String) -> Self {
        Self::Usage(Report::msg(message))
    }

    /// For a file that the user gave.
    pub fn input(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Input(Report::from_err(Told::new(&error)))
    }

    /// For errors that know no diagnostics; their sources are printed below them.
    pub fn plain(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Failed(Report::from_err(Told::new(&error)))
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
            _ if refused_by_system(&error) => Self::plain(error),
            FleetError::NotAFile(_) => Self::usage(error.to_string()),
            _ => Self::input(error),
        }
    }

    /// An image that is none is the user's.
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
            Self::Interrupted => ExitCode::from(super::interrupt::INTERRUPTED),
        }
    }

    pub fn print(&self, as_json: bool) {
        if let Self::Ended(_) = self {
            return;
        }
        if as_json {
            super::output::event("error", self.as_json());
        } else if let Some(report) = self.report() {
            super::output::note!("{report:?}");
        } else {
            super::output::note!("interrupted");
        }
    }

    fn as_json(&self) -> Value {
        let Some(report) = self.report() else { return json!({"message": "interrupted"}) };
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
            BuildError::Assemble(AssembleError::Set { ref source, .. }) if !refused_by_system(source) => {
                Self::input(error)
            }
            BuildError::Fetch(ref fetch) if asked_for_wrong(fetch) => Self::input(error),
            _ => Self::plain(error),
        }
    }
}

/// Whether the system's own error is the cause: a full disk, a folder that may not be written.
fn refused_by_system(error: &(dyn std::error::Error + 'static)) -> bool {
    let numbered = |error: &(dyn std::error::Error + 'static)| {
        error.downcast_ref::<std::io::Error>().is_some_and(|error| error.raw_os_error().is_some())
    };
    std::iter::successors(Some(error), |error| error.source()).any(numbered)
}

/// Whether the profile names what there is not.
fn asked_for_wrong(error: &FetchError) -> bool {
    matches!(
        error,
        FetchError::UnknownSuite { nearest: Some(_), .. }
            | FetchError::UnknownComponent { .. }
            | FetchError::UnknownArchitecture { .. }
            | FetchError::Archive(ArchiveError::Foreign { .. })
    )
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Url { in_profile: true, .. } | ArchiveError::Key { .. } => Self::input(error),
            ArchiveError::Url { .. } => Self::usage(error.to_string()),
            _ => Self::plain(error),
        }
    }
}

impl From<ProfileError> for Failure {
    fn from(error: ProfileError) -> Self {
        Self::Input(Report::new(error))
    }
}

/// An error with those of its causes that it does not tell itself.
#[derive(Debug)]
struct Told {
    message: String,
    cause: Option<Box<Told>>,
}

impl Told {
    fn new(error: &dyn std::error::Error) -> Self {
        let message = error.to_string();
        let mut cause = error.source();
        while let Some(told) = cause.filter(|cause| message.contains(&cause.to_string())) {
            cause = told.source();
        }
        Self { message, cause: cause.map(|cause| Box::new(Self::new(cause))) }
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Told {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}
