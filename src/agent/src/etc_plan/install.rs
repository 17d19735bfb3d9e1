//! The `[Install]` section of a unit file (systemd.unit(5)), and the links that enabling the unit makes.

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Install {
    pub present: bool,
    /// Directory suffix (`wants`, `requires`, `upholds`) and target.
    pub targets: Vec<(&'static str, String)>,
    pub alias: Vec<String>,
    pub also: Vec<String>,
    pub default_instance: Option<String>,
}

impl Install {
    pub fn parse(text: &str) -> Self {
        let mut install = Self::default();
        let mut inside = false;
        // systemd.syntax(7): a backslash at the end joins lines, with a space.
        let text = text.replace("\\\n", " ");
        for line in text.lines().map(str::trim) {
            if line.starts_with(['#', ';']) {
                continue;
            }
            if line.starts_with('[') {
                inside = line == "[Install]";
                install.present |= inside;
                continue;
            }
            let Some((key, value)) = line.split_once('=').filter(|_| inside) else { continue };
            let mut values = value.split_whitespace().map(str::to_owned);
            match key.trim_end() {
                "WantedBy" => install.targets.extend(values.map(|target| ("wants", target))),
                "RequiredBy" => install.targets.extend(values.map(|target| ("requires", target))),
                "UpheldBy" => install.targets.extend(values.map(|target| ("upholds", target))),
                "Alias" => install.alias.extend(values),
                "Also" => install.also.extend(values),
                "DefaultInstance" => install.default_instance = values.next_back(),
                _ => {}
            }
        }
        install
    }
}

/// A unit's name in its parts: `getty@tty1.service` is prefix `getty`, instance `tty1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitName {
    pub full: String,
}

impl UnitName {
    /// As systemctl reads a name: a service unless it has another suffix. `None` if it cannot be a file name.
    pub fn parse(text: &str) -> Option<Self> {
        let good = |c: char| c.is_ascii_alphanumeric() || "@:-_.\\".contains(c);
        if text.is_empty() || text.len() > 255 || text.starts_with('.') || !text.chars().all(good) {
            return None;
        }
        const KINDS: [&str; 11] =
            ["service", "socket", "timer", "target", "path", "mount", "automount", "swap", "slice", "scope", "device"];
        let known = text.rsplit_once('.').is_some_and(|(_, kind)| KINDS.contains(&kind));
        Some(Self { full: if known { text.to_owned() } else { format!("{text}.service") } })
    }

    /// Prefix, instance and suffix; the instance is empty for a template itself.
    fn parts(&self) -> (&str, Option<&str>, &str) {
        let (stem, suffix) = self.full.rsplit_once('.').unwrap_or((&self.full, ""));
        match stem.split_once('@') {
            Some((prefix, instance)) => (prefix, Some(instance), suffix),
            None => (stem, None, suffix),
        }
    }

    /// The template of an instance, or of itself.
    pub fn template(&self) -> Option<String> {
        let (prefix, instance, suffix) = self.parts();
        instance.map(|_| format!("{prefix}@.{suffix}"))
    }

    pub fn is_template(&self) -> bool {
        self.parts().1 == Some("")
    }

    pub fn with_instance(&self, instance: &str) -> Self {
        let (prefix, _, suffix) = self.parts();
        Self { full: format!("{prefix}@{instance}.{suffix}") }
    }

    /// The specifiers that make sense in `[Install]` (systemd.unit(5), "Specifiers").
    pub fn expand(&self, text: &str) -> Option<String> {
        let (prefix, instance, _) = self.parts();
        let mut out = String::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            match rest.next()? {
                'i' | 'I' => out += instance.unwrap_or_default(),
                'p' | 'P' => out += prefix,
                'n' => out += &self.full,
                'j' => out += prefix.rsplit('-').next().unwrap_or_default(),
                '%' => out.push('%'),
                _ => return None,
            }
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_install_section_only() {
        let text = "[Unit]\nWantedBy=no.target\n[Install]\n# WantedBy=no.target\nWantedBy = multi-user.target \\\n  \
                    a.target\nRequiredBy=b.target\nAlias=sshd.service\nAlso=c.socket\nDefaultInstance=tty1\n[Service]\n\
                    WantedBy=no.target\n";
        let install = Install::parse(text);
        let by = [("wants", "multi-user.target"), ("wants", "a.target"), ("requires", "b.target")];
        assert_eq!(install.targets, by.map(|(kind, target)| (kind, target.to_owned())));
        assert_eq!((install.alias, install.also), (vec!["sshd.service".into()], vec!["c.socket".into()]));
        assert_eq!(install.default_instance.as_deref(), Some("tty1"));
        assert!(!Install::parse("[Unit]\n").present);
    }

    #[test]
    fn takes_names_apart() {
        let unit = UnitName::parse("serial-getty@ttyS0").unwrap();
        assert_eq!(unit.full, "serial-getty@ttyS0.service");
        assert_eq!(unit.template().as_deref(), Some("serial-getty@.service"));
        assert_eq!(unit.expand("x-%i-%p-%%").as_deref(), Some("x-ttyS0-serial-getty-%"));
        assert_eq!(unit.expand("%H"), None);
        assert_eq!(UnitName::parse("a.timer").unwrap().template(), None);
        for bad in ["", "../x.service", "a/b.service", ".service", "a b"] {
            assert_eq!(UnitName::parse(bad), None, "{bad}");
        }
    }
}
