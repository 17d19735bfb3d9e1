//! The image that a guest runs: its name, and its version if one is pinned.

use serde::{Deserialize, Serialize};

/// A guest image: `NAME`, the newest verified one, or `NAME@VERSION`, that one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("pattern" = "^[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._+~-]*)?$"))
)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef {
    name: String,
    version: Option<String>,
}

/// A text that names no image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "found {found:?}, expected the name of an image, as in \"guest-web\", or NAME@VERSION, as in \"guest-web@2026.11.1\""
)]
pub struct ImageRefError {
    /// The text.
    pub found: String,
}

impl ImageRef {
    /// The image's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `None` for the newest.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}

/// Both become names of folders.
fn is_plain(text: &str, also: &str) -> bool {
    text.len() <= 100
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c) || also.contains(c))
}

impl TryFrom<String> for ImageRef {
    type Error = ImageRefError;

    fn try_from(found: String) -> Result<Self, ImageRefError> {
        let (name, version) = match found.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (found.as_str(), None),
        };
        if is_plain(name, "") && version.is_none_or(|version| is_plain(version, "+~")) {
            Ok(Self { name: name.to_owned(), version: version.map(str::to_owned) })
        } else {
            Err(ImageRefError { found })
        }
    }
}

impl std::str::FromStr for ImageRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        text.to_owned().try_into()
    }
}

impl std::fmt::Display for ImageRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        self.version.iter().try_for_each(|version| write!(f, "@{version}"))
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> Self {
        image.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        let newest: ImageRef = "guest-web".parse().unwrap();
        assert_eq!((newest.name(), newest.version()), ("guest-web", None));
        let one: ImageRef = "guest-web@2026.11.1-2".parse().unwrap();
        assert_eq!((one.name(), one.version()), ("guest-web", Some("2026.11.1-2")));
        assert_eq!(one.to_string(), "guest-web@2026.11.1-2");
    }

    #[test]
    fn refuses_what_would_lead_out_of_its_folder() {
        for bad in ["", "@1", "a@", "../a", "a/b", ".", "a@..", "a@1@2", "a b", "-a", "a@1/2", "a\n"] {
            bad.parse::<ImageRef>().unwrap_err();
        }
    }
}
