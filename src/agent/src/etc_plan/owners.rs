//! Resolves names of users and groups to numbers with the texts of passwd(5) and group(5).

use appliance_contract::modes::Entry;

/// The texts, in the order in which they are searched.
#[derive(Debug, Default)]
pub struct Owners {
    pub passwd: Vec<String>,
    pub group: Vec<String>,
}

impl Owners {
    /// User and group of a line of `modes`. Without a group it is the user's own.
    pub fn resolve(&self, entry: &Entry) -> Result<(u32, u32), String> {
        let user = record(&self.passwd, &entry.user);
        let uid = match (entry.user.parse(), &user) {
            (Ok(number), _) => number,
            (Err(_), Some(fields)) => number(fields, 2, "passwd")?,
            (Err(_), None) if entry.user == "root" => 0,
            (Err(_), None) => return Err(format!("there is no user {}", entry.user)),
        };
        let gid = match (&entry.group, &user) {
            (Some(group), _) => match (group.parse(), record(&self.group, group)) {
                (Ok(number), _) => number,
                (Err(_), Some(fields)) => number(&fields, 2, "group")?,
                (Err(_), None) if group == "root" => 0,
                (Err(_), None) => return Err(format!("there is no group {group}")),
            },
            (None, Some(fields)) => number(fields, 3, "passwd")?,
            (None, None) => 0,
        };
        Ok((uid, gid))
    }
}

/// The fields of the line whose name or number (third field) is `key`.
fn record<'a>(texts: &'a [String], key: &str) -> Option<Vec<&'a str>> {
    texts.iter().flat_map(|text| text.lines()).map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        let numeric = key.bytes().all(|byte| byte.is_ascii_digit());
        fields.get(if numeric { 2 } else { 0 }) == Some(&key)
    })
}

fn number(fields: &[&str], at: usize, file: &str) -> Result<u32, String> {
    let text = fields.get(at).copied().unwrap_or_default();
    text.parse()
        .map_err(|_| format!("the line of {} in /etc/{file} has {text:?} where a number is expected", fields[0]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::modes::Modes;

    #[test]
    fn resolves_names_and_numbers() {
        let owners = Owners {
            passwd: vec!["_chrony:x:100:101::/:/bin/sh\nbad:x:y:1::/:\n".into(), "_chrony:x:7:7::/:\n".into()],
            group: vec!["ssl-cert:x:110:\n".into()],
        };
        let owner = |text: &str| {
            let modes = Modes::parse(&format!("etc/x {text} -\n")).unwrap();
            owners.resolve(&modes.entries()[0])
        };
        assert_eq!(owner("root"), Ok((0, 0)));
        assert_eq!(owner("_chrony"), Ok((100, 101)));
        assert_eq!(owner("100"), Ok((100, 101)));
        assert_eq!(owner("33"), Ok((33, 0)));
        assert_eq!(owner("root:ssl-cert"), Ok((0, 110)));
        assert_eq!(owner("5:6"), Ok((5, 6)));
        assert_eq!(owner("nobody"), Err("there is no user nobody".into()));
        assert_eq!(owner("root:wheel"), Err("there is no group wheel".into()));
        assert!(owner("bad").unwrap_err().contains("\"y\" where a number"));
    }
}
