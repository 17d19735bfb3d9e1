//! The bill of materials: SPDX 2.3 as JSON.

use crate::packages::{Lock, LockedPackage};
use appliance_contract::Sha256;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// The image that a bill of materials describes.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The profile's name.
    pub name: &'a str,
    /// The image's version.
    pub version: &'a str,
    /// What tells this document from every other.
    pub identity: Sha256,
    /// Seconds since 1970.
    pub created: i64,
}

/// The time that a document is to carry does not fit its form.
#[derive(Debug, thiserror::Error)]
#[error("writing the bill of materials: the time {seconds} (seconds since 1970) has no RFC 3339 form")]
pub struct SbomError {
    /// The time, in seconds since 1970.
    pub seconds: i64,
}

/// The image with the packages in it, and those that it was built with.
pub fn render(subject: &Subject<'_>, lock: &Lock) -> Result<Vec<u8>, SbomError> {
    let created = rfc3339(subject.created).ok_or(SbomError { seconds: subject.created })?;
    let Subject { name, version, .. } = subject;
    let mut packages = BTreeMap::new();
    let mut relations = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", IMAGE)];
    let mut images = vec![image(IMAGE, name, Some(version))];
    let of_image = |lock: &Lock, image: &str, packages: &mut BTreeMap<_, _>, relations: &mut Vec<_>| {
        for package in &lock.packages {
            packages.insert(id(package), describe(package));
            relations.push(relation(image, "CONTAINS", &id(package)));
        }
        for tool in &lock.tools {
            packages.insert(id(tool), describe(tool));
            relations.push(relation(&id(tool), "BUILD_TOOL_OF", image));
        }
    };
    of_image(lock, IMAGE, &mut packages, &mut relations);
    for guest in &lock.guests {
        // A profile's name is of letters, digits and hyphens.
        let id = format!("SPDXRef-Guest-{}", guest.profile);
        images.push(image(&id, &guest.profile, None));
        relations.push(relation(IMAGE, "CONTAINS", &id));
        of_image(guest, &id, &mut packages, &mut relations);
    }
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{name}-{version}"),
        "documentNamespace": format!("https://spdx.org/spdxdocs/{name}-{version}-{}", hex::encode(subject.identity)),
        "creationInfo": {
            "created": created,
            "creators": [format!("Tool: applbuild-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": images.into_iter().chain(packages.into_values()).collect::<Vec<_>>(),
        "relationships": relations,
    });
    // A JSON value of strings, numbers and booleans has a text.
    let mut text = serde_json::to_vec_pretty(&document).unwrap_or_default();
    text.push(b'\n');
    Ok(text)
}

fn rfc3339(seconds: i64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    let month = u8::from(month);
    (0..=9999).contains(&year).then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

const IMAGE: &str = "SPDXRef-Image";

/// An image itself; a guest's version is in its own documents.
fn image(id: &str, name: &str, version: Option<&str>) -> Value {
    let mut image = json!({
        "SPDXID": id,
        "name": name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "OPERATING-SYSTEM",
    });
    if let Some(version) = version {
        image["versionInfo"] = version.into();
    }
    image
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to})
}

/// Letters, digits, dots and hyphens are all that an identifier may hold (SPDX 2.3, 3.2); the hash keeps it unique.
fn id(package: &LockedPackage) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = package.name.chars().map(plain).collect();
    format!("SPDXRef-Package-{name}-{}", hex::encode(&package.sha256.as_bytes()[..8]))
}

fn describe(package: &LockedPackage) -> Value {
    let LockedPackage { name, version, architecture, sha256, .. } = package;
    // `debian-security` and `debian` are one distributor's.
    let distributor = package.archive.split('-').next().unwrap_or_default();
    let supplier = match distributor {
        "debian" => json!("Organization: Debian"),
        _ => json!("NOASSERTION"),
    };
    let purl = format!("pkg:deb/{distributor}/{}@{}?arch={architecture}", encoded(name), encoded(version));
    json!({
        "SPDXID": id(package),
        "name": name,
        "versionInfo": version,
        "supplier": supplier,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "checksums": [{"algorithm": "SHA256", "checksumValue": sha256}],
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl,
        }],
    })
}

/// Percent-encoding as package URLs have it: all but letters, digits and `.-_~`.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'.' | b'-' | b'_' | b'~' => out.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use appliance_contract::Schema;

    fn package(name: &str, version: &str) -> LockedPackage {
        LockedPackage {
            name: name.into(),
            version: version.into(),
            architecture: "amd64".into(),
            sha256: [0xab; 32].into(),
            size: 1,
            archive: "debian-security".into(),
            path: "pool/x.deb".into(),
        }
    }

    fn lock(profile: &str, package: LockedPackage) -> Lock {
        Lock {
            schema: Schema::CURRENT,
            profile: profile.into(),
            architecture: "amd64".into(),
            request: String::new(),
            date: 0,
            suites: Vec::new(),
            sets: Vec::new(),
            ids: Default::default(),
            packages: vec![package],
            tools: Vec::new(),
            guests: Vec::new(),
        }
    }

    fn document(created: i64) -> Result<Value, SbomError> {
        with_guests(created, Vec::new())
    }

    fn with_guests(created: i64, guests: Vec<Lock>) -> Result<Value, SbomError> {
        let lock = Lock {
            tools: vec![package("grub-common", "2")],
            guests,
            ..lock("host", package("libstdc++6", "1:2.0~rc+b1"))
        };
        let subject = Subject { name: "host", version: "1", identity: Sha256::default(), created };
        Ok(serde_json::from_slice(&render(&subject, &lock)?).unwrap())
    }

    #[test]
    fn names_each_package_with_hash_and_url() {
        let document = document(1_700_000_000).unwrap();
        assert_eq!(document["creationInfo"]["created"], "2023-11-14T22:13:20Z");
        let package = document["packages"].as_array().unwrap().iter().find(|one| one["name"] == "libstdc++6").unwrap();
        assert_eq!(
            package["externalRefs"][0]["referenceLocator"],
            "pkg:deb/debian/libstdc%2B%2B6@1%3A2.0~rc%2Bb1?arch=amd64"
        );
        assert_eq!(package["supplier"], "Organization: Debian");
        assert_eq!(package["checksums"][0]["checksumValue"], "ab".repeat(32));
        let kinds: Vec<_> =
            document["relationships"].as_array().unwrap().iter().map(|one| one["relationshipType"].clone()).collect();
        assert_eq!(kinds, ["DESCRIBES", "CONTAINS", "BUILD_TOOL_OF"]);
    }

    #[test]
    fn a_guests_packages_are_the_guests() {
        let guest = lock("guest-web", package("nginx", "1"));
        let document = with_guests(0, vec![guest]).unwrap();
        let relations = document["relationships"].as_array().unwrap();
        let from = |id: &str| relations.iter().filter(|one| one["spdxElementId"] == id).count();
        assert_eq!((from("SPDXRef-Guest-guest-web"), from(IMAGE)), (1, 2));
        let names: Vec<_> = document["packages"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
        assert_eq!(names[..2], ["host", "guest-web"]);
    }

    #[test]
    fn refuses_a_time_beyond_the_format() {
        assert!(document(i64::MAX).is_err());
    }
}
