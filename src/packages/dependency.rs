//! Dependency fields of binary packages: Debian Policy 7.1, deb-control(5).

use super::version::{Version, VersionError};
use std::cmp::Ordering;
use std::fmt;

/// How a version must compare with the one in the dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

impl Relation {
    pub fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order == Ordering::Less,
            Self::LessOrEqual => order != Ordering::Greater,
            Self::Equal => order == Ordering::Equal,
            Self::GreaterOrEqual => order != Ordering::Less,
            Self::Greater => order == Ordering::Greater,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<<",
            Self::LessOrEqual => "<=",
            Self::Equal => "=",
            Self::GreaterOrEqual => ">=",
            Self::Greater => ">>",
        }
    }
}

/// The architecture qualifier, as in `python3:any`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qualifier<'a> {
    Any,
    Native,
    Architecture(&'a str),
}

/// A package name with its architecture qualifier and version restriction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency<'a> {
    pub name: &'a str,
    pub qualifier: Option<Qualifier<'a>>,
    pub version: Option<(Relation, Version<'a>)>,
}

/// Alternatives, as in `a | b | c`; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<'a> {
    pub alternatives: Vec<Dependency<'a>>,
}

#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum DependencyError {
    #[error("dependency {text:?} has the name {name:?}, expected lower-case letters, digits and + - .")]
    Name { text: String, name: String },
    #[error("dependency {text:?} has the relation {relation:?}, expected one of << <= = >= >>")]
    Relation { text: String, relation: String },
    #[error("dependency {text:?}")]
    Version { text: String, source: VersionError },
    #[error("dependency {text:?} has no closing {closing:?}")]
    Open { text: String, closing: char },
    #[error("dependency {text:?} goes on with {rest:?}, expected the end of it")]
    Trailing { text: String, rest: String },
}

/// Parses a field: commas separate groups and bars separate alternatives. Empty groups are skipped, as in dpkg.
pub fn parse(field: &str) -> Result<Vec<Group<'_>>, DependencyError> {
    let mut groups = Vec::new();
    for group in field.split(',').filter(|group| !group.trim().is_empty()) {
        let alternatives = group.split('|').map(Dependency::parse).collect::<Result<_, _>>()?;
        groups.push(Group { alternatives });
    }
    Ok(groups)
}

/// Checks that [`parse`] accepts the field.
pub fn check(field: &str) -> Result<(), DependencyError> {
    let groups = field.split(',').filter(|group| !group.trim().is_empty());
    groups.flat_map(|group| group.split('|')).try_for_each(|text| Dependency::parse(text).map(drop))
}

/// Whether `name` is accepted as a package name: Policy 5.6.7, and also the capitals, the `_` and the one-letter names
/// that old and third-party packages have.
pub fn is_package_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_'))
}

impl<'a> Dependency<'a> {
    pub fn parse(text: &'a str) -> Result<Self, DependencyError> {
        let text = text.trim();
        let owned = || text.to_owned();
        let end = text.find(|c: char| c.is_ascii_whitespace() || "([<".contains(c)).unwrap_or(text.len());
        let (full_name, mut rest) = text.split_at(end);
        let (name, qualifier) = match full_name.split_once(':') {
            None => (full_name, None),
            Some((name, "any")) => (name, Some(Qualifier::Any)),
            Some((name, "native")) => (name, Some(Qualifier::Native)),
            Some((name, architecture)) => (name, Some(Qualifier::Architecture(architecture))),
        };
        let qualifier_is_name = !matches!(qualifier, Some(Qualifier::Architecture(a)) if !is_package_name(a));
        if !is_package_name(name) || !qualifier_is_name {
            return Err(DependencyError::Name { text: owned(), name: full_name.to_owned() });
        }
        let mut version = None;
        rest = rest.trim_start();
        if let Some(inside) = rest.strip_prefix('(') {
            let open = || DependencyError::Open { text: owned(), closing: ')' };
            let (restriction, after) = inside.split_once(')').ok_or_else(open)?;
            version = Some(parse_restriction(text, restriction.trim())?);
            rest = after.trim_start();
        }
        // Architecture lists and build profiles mean nothing in a binary package.
        for (opening, closing) in [('[', ']'), ('<', '>')] {
            while let Some(inside) = rest.strip_prefix(opening) {
                let open = || DependencyError::Open { text: owned(), closing };
                rest = inside.split_once(closing).ok_or_else(open)?.1.trim_start();
            }
        }
        if !rest.is_empty() {
            return Err(DependencyError::Trailing { text: owned(), rest: rest.to_owned() });
        }
        Ok(Self { name, qualifier, version })
    }

    /// Whether a package or provision of this version satisfies the dependency. `None` is a provision without a
    /// version, which satisfies no version restriction (Policy 7.5).
    pub fn accepts(&self, version: Option<Version<'_>>) -> bool {
        match (self.version, version) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((relation, wanted)), Some(version)) => relation.holds(version.cmp(&wanted)),
        }
    }
}

fn parse_restriction<'a>(text: &str, restriction: &'a str) -> Result<(Relation, Version<'a>), DependencyError> {
    let end = restriction.find(|c| !"<=>".contains(c)).unwrap_or(restriction.len());
    let (relation, version) = restriction.split_at(end);
    let relation = match relation {
        "<<" => Relation::Less,
        // `<` and `>` are obsolete spellings, which dpkg reads as `<=` and `>=`.
        "<=" | "<" => Relation::LessOrEqual,
        "=" => Relation::Equal,
        ">=" | ">" => Relation::GreaterOrEqual,
        ">>" => Relation::Greater,
        _ => return Err(DependencyError::Relation { text: text.to_owned(), relation: relation.to_owned() }),
    };
    match Version::parse(version.trim()) {
        Ok(version) => Ok((relation, version)),
        Err(source) => Err(DependencyError::Version { text: text.to_owned(), source }),
    }
}

impl fmt::Display for Dependency<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.qualifier {
            None => {}
            Some(Qualifier::Any) => f.write_str(":any")?,
            Some(Qualifier::Native) => f.write_str(":native")?,
            Some(Qualifier::Architecture(architecture)) => write!(f, ":{architecture}")?,
        }
        match self.version {
            None => Ok(()),
            Some((relation, version)) => write!(f, " ({} {version})", relation.as_str()),
        }
    }
}

impl fmt::Display for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, alternative) in self.alternatives.iter().enumerate() {
            if position > 0 {
                f.write_str(" | ")?;
            }
            alternative.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(field: &str) -> String {
        let groups = parse(field).expect("a dependency field");
        groups.iter().map(Group::to_string).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn reads_what_fields_hold() {
        assert_eq!(shown("libc6 (>= 2.41), a|b( << 1:2-3 ) | c:any"), "libc6 (>= 2.41), a | b (<< 1:2-3) | c:any");
        assert_eq!(shown("python3:any (>= 3.13~), gcc:amd64, x:native"), "python3:any (>= 3.13~), gcc:amd64, x:native");
        assert_eq!(shown("a [amd64 !i386] <!nocheck> <cross>, b (= 1) [linux-any],\n c,"), "a, b (= 1), c");
        assert_eq!(shown("a (> 1), b (< 2)"), "a (>= 1), b (<= 2)");
        assert_eq!(shown(" , "), "");
    }

    #[test]
    fn refuses_what_is_none() {
        for field in
            ["a b", "a (1)", "a (=> 1)", "a (>= 1", "a | ", "(>= 1)", "a:", "a:b:c", "a (>= )", "-a", "a [amd64"]
        {
            assert!(parse(field).is_err(), "{field:?}");
        }
    }

    #[test]
    fn a_provision_without_version_satisfies_no_restriction() {
        let plain = Dependency::parse("a").expect("a dependency");
        let restricted = Dependency::parse("a (>= 0)").expect("a dependency");
        assert!(plain.accepts(None));
        assert!(!restricted.accepts(None));
        assert!(restricted.accepts(Version::parse("1").ok()));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(field in "[a-c]{1,2}(:any|:amd64)?( \\((<<|<=|=|>=|>>) [0-9]{1,2}(-1)?\\))?( \\| [a-c+]{1,2}0){0,2}(, [d-f]1 \\(>> 2:1~a\\)){0,2}") {
            if let Ok(groups) = parse(&field) {
                let text = groups.iter().map(Group::to_string).collect::<Vec<_>>().join(", ");
                prop_assert_eq!(parse(&text).expect("it was shown"), groups.clone());
            }
        }

        #[test]
        fn never_panics(field in "[a-c0-9():|,<>=\\[\\] ~é-]{0,20}") {
            let _ = parse(&field);
        }
    }
}
