use super::*;
use std::os::unix::ffi::OsStringExt;

const LEAST: &str = "schema = 1\nimage = \"guest\"\nmemory = \"64M\"\n";

fn folder(name: &str, rest: &str) -> Folder {
    Folder { name: name.into(), text: Ok(format!("{LEAST}{rest}")) }
}

fn reasons(folders: &[Folder]) -> Vec<(String, Option<String>)> {
    let line = |one: Checked| (one.folder.to_string_lossy().into_owned(), one.outcome.err());
    check_all(folders).into_iter().map(line).collect()
}

#[test]
fn one_that_is_wrong_costs_no_other() {
    let found = reasons(&[
        folder("bad", "memmory = 1\n"),
        folder("db", ""),
        folder("my guest", ""),
        Folder { name: "gone".into(), text: Err("reading x: input/output error".into()) },
        Folder { name: OsString::from_vec(b"\xff".to_vec()), text: Ok(LEAST.into()) },
        folder("web", "after = [\"DB\"]\n"),
        folder("typo", "after = [\"dbs\"]\n"),
    ]);
    let said = |name: &str| found.iter().find(|(folder, _)| folder == name).unwrap().1.clone().unwrap_or_default();
    assert_eq!(said("db"), "");
    assert_eq!(said("web"), "");
    assert!(said("bad").starts_with("/config/local/domUs/bad/guest.toml: line 4: memmory: unknown field"));
    assert!(said("my guest").contains("is not a host name"), "{}", said("my guest"));
    assert!(said("\u{fffd}").contains("is not a host name"));
    assert_eq!(said("gone"), "reading x: input/output error");
    assert_eq!(
        said("typo"),
        "/config/local/domUs/typo/guest.toml: after: no guest is named dbs (did you mean db?); name another, or take it out"
    );
}

#[test]
fn after_names_folders_as_they_are_written() {
    let checked = check_all(&[folder("DB", ""), folder("web", "after = [\"db\"]\n")]);
    let web = checked[1].outcome.as_ref().unwrap();
    assert_eq!(web.config.after.first().unwrap().as_str(), "DB");
}

#[test]
fn two_folders_of_one_name_are_both_refused() {
    let found = reasons(&[folder("Web", ""), folder("db", "after = [\"web\"]\n"), folder("web", "")]);
    assert!(found[0].1.as_ref().unwrap().contains("the folders Web and web are one host name"));
    assert_eq!(found[1].1, None);
    assert!(found[2].1.as_ref().unwrap().contains("the folders web and Web are one host name"));
}

#[test]
fn circles_are_named_and_cost_only_those_in_them() {
    let found = reasons(&[
        folder("a", "after = [\"b\"]\n"),
        folder("b", "after = [\"c\", \"e\"]\n"),
        folder("c", "after = [\"a\"]\n"),
        folder("d", "after = [\"a\"]\n"),
        folder("e", ""),
        folder("f", "after = [\"f\"]\n"),
    ]);
    let reason = |index: usize| found[index].1.as_deref();
    assert_eq!(reason(0), Some("after makes a circle: a is after b is after c is after a; take one of them out"));
    assert_eq!(reason(1), Some("after makes a circle: b is after c is after a is after b; take one of them out"));
    assert!(reason(2).unwrap().contains("c is after a is after b is after c"));
    assert_eq!((reason(3), reason(4)), (None, None));
    assert!(reason(5).unwrap().contains("names the guest itself"));
}

#[test]
fn only_what_may_be_in_a_circle_is_searched_for_one() {
    let guests = check_all(&[
        folder("before", "after = [\"a\"]\n"),
        folder("a", "after = [\"b\"]\n"),
        folder("b", "after = [\"after\"]\n"),
        folder("after", ""),
    ]);
    assert!(guests.iter().all(|one| one.outcome.is_ok()));
    let mut guests: Vec<Guest> = guests.into_iter().filter_map(|one| one.outcome.ok()).collect();
    assert!(in_knots(guests.iter()).is_empty());
    guests[2].config.after.insert("a".parse().unwrap());
    let names: Vec<&str> = in_knots(guests.iter()).keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn reads_files_and_nothing_that_would_hang() {
    let folder = tempfile::tempdir().unwrap();
    let domus = folder.path().join("domUs");
    assert_eq!(read(&domus).unwrap(), []);
    for name in ["web", "pipe", "large", "folder/guest.toml", "empty", ".git"] {
        fs::create_dir_all(domus.join(name)).unwrap();
    }
    fs::write(domus.join("README"), "").unwrap();
    fs::write(domus.join("web/guest.toml"), LEAST).unwrap();
    fs::write(domus.join("large/guest.toml"), vec![b'#'; 65537]).unwrap();
    nix::unistd::mkfifo(&domus.join("pipe/guest.toml"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let found = read(&domus).unwrap();
    let names: Vec<&str> = found.iter().filter_map(|folder| folder.name.to_str()).collect();
    assert_eq!(names, ["folder", "large", "pipe", "web"]);
    assert!(found[0].text.as_ref().unwrap_err().ends_with("it is no regular file"));
    assert!(found[1].text.as_ref().unwrap_err().ends_with("it is larger than 64 KiB"));
    assert!(found[2].text.as_ref().unwrap_err().ends_with("it is no regular file"));
    assert_eq!(found[3].text.as_deref(), Ok(LEAST));
}
