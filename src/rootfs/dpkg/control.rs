//! A package's `control` file (deb-control(5)): one paragraph of fields.

/// The unchanged text of the paragraph.
#[derive(Debug, Clone)]
pub struct Control {
    text: String,
}

impl Control {
    pub fn new(text: String) -> Self {
        Self { text }
    }

    /// The lines of the paragraph, without an empty one.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter(|line| !line.trim().is_empty())
    }

    /// A field's value, its continuation lines joined by spaces. Field names are case-insensitive (Policy 5.1).
    pub fn field(&self, name: &str) -> Option<String> {
        let mut value: Option<String> = None;
        for line in self.lines() {
            match &mut value {
                Some(value) if line.starts_with([' ', '\t']) => {
                    value.push(' ');
                    value.push_str(line.trim());
                }
                Some(_) => break,
                None => {
                    if let Some((key, rest)) = line.split_once(':')
                        && key.eq_ignore_ascii_case(name)
                    {
                        value = Some(rest.trim().to_owned());
                    }
                }
            }
        }
        value
    }

    /// The package names in a relationship field (`Depends`, `Provides` …), including all alternatives.
    pub fn names(&self, field: &str) -> Vec<String> {
        let value = self.field(field).unwrap_or_default();
        value
            .split([',', '|'])
            .map(|relation| relation.trim().split([' ', '(', ':', '[']).next().unwrap_or_default().to_owned())
            .filter(|name| !name.is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_fields_and_names() {
        let control = Control::new(
            "Package: a\nPre-Depends: libc6 (>= 2.38),\n b:any | c [amd64],d\nDescription: short\n long\n .\n\n".into(),
        );
        assert_eq!(control.field("package").as_deref(), Some("a"));
        assert_eq!(control.names("Pre-Depends"), ["libc6", "b", "c", "d"]);
        assert_eq!(control.field("Depends"), None);
        assert_eq!(control.lines().count(), 6);
    }
}
