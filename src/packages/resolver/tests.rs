use super::*;
use crate::packages::archive::index::{Admission, Source};
use crate::packages::dependency;
use appliance_contract::causes::WithCauses as _;
use proptest::prelude::*;
use std::sync::LazyLock;

/// A `Packages` file of short descriptions: `name version; Field: value; …`.
fn universe(packages: &[&str]) -> String {
    let paragraph = |text: &&str| {
        let mut parts = text.split(';');
        let (name, version) = parts.next().and_then(|head| head.trim().split_once(' ')).expect("a name and a version");
        let fields: String = parts.map(|field| format!("{}\n", field.trim())).collect();
        let sum = "0".repeat(64);
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nSize: 1\nSHA256: {sum}\nFilename: pool/{name}.deb\n{fields}\n"
        )
    };
    packages.iter().map(paragraph).collect()
}

fn asked(names: &[&str]) -> Vec<PackageRequest> {
    let request = |(line, name): (usize, &&str)| {
        let (name, version) = name.split_once('=').map_or((*name, None), |(name, version)| (name, Some(version)));
        let origin = Origin { file: "profiles/host.toml".to_owned(), line: line + 1 };
        PackageRequest { name: name.to_owned(), version: version.map(str::to_owned), origin }
    };
    names.iter().enumerate().map(request).collect()
}

fn request(packages: &[PackageRequest]) -> Request<'_> {
    Request {
        architecture: "amd64",
        packages,
        base: BaseSet::Required,
        recommends: false,
        conflicts: Conflicts::Respect,
        supplied: &[],
        keep: const { &BTreeMap::new() },
    }
}

/// The chosen names, or the error's text.
fn solve_with(
    packages: &[&str],
    names: &[&str],
    change: impl Fn(Request<'_>) -> Request<'_>,
) -> Result<String, String> {
    let text = universe(packages);
    let sources = [Source {
        archive: "debian",
        suite: "trixie",
        automatic: true,
        packages: text.as_bytes(),
        admission: Admission::All,
    }];
    let index = Index::read(&sources, "amd64");
    let asked = asked(names);
    let resolution = resolve(&index, &change(request(&asked))).map_err(|error| error.with_causes())?;
    Ok(resolution.packages.iter().map(|record| record.name).collect::<Vec<_>>().join(" "))
}

fn solve(packages: &[&str], names: &[&str]) -> Result<String, String> {
    solve_with(packages, names, |request| request)
}

#[test]
fn takes_the_first_alternative_and_keeps_what_is_there() {
    let packages = ["a 1; Depends: x | y, z", "x 1", "y 1", "z 1; Depends: y"];
    assert_eq!(solve(&packages, &["a"]).as_deref(), Ok("a x y z"));
    assert_eq!(solve(&packages, &["a", "y"]).as_deref(), Ok("a y z"));
}

#[test]
fn takes_the_next_alternative_where_the_first_cannot_be() {
    let packages = ["a 1; Depends: x | y", "x 1; Depends: gone", "y 1", "b 1; Conflicts: y", "c 1; Breaks: a (<< 2)"];
    assert_eq!(solve(&packages, &["a"]).as_deref(), Ok("a y"));
    assert!(solve(&packages, &["a", "b"]).is_err());
    assert!(solve(&packages, &["a", "c"]).is_err());
}

#[test]
fn versions_decide_what_satisfies() {
    let packages = [
        "a 1; Depends: x (>= 2) | y (= 1)",
        "x 1",
        "y 1:1",
        "y 1",
        "b 1; Depends: v (>= 2)",
        "p 1; Provides: v",
        "q 1; Provides: v (= 2)",
    ];
    assert_eq!(solve(&packages, &["b"]).as_deref(), Ok("b q"));
    let error = solve(&packages, &["a"]).expect_err("no y of version 1 is a candidate");
    assert!(error.ends_with("profiles/host.toml:1 asks for a; a 1 depends on x (>= 2) | y (= 1), of which there is x 1 in trixie and y 1:1 in trixie (y 1 in trixie would do, if the profile asked for it by version)"), "{error}");
    assert_eq!(solve(&packages, &["a", "y=1"]).as_deref(), Ok("a y"));
}

#[test]
fn base_sets_come_unasked() {
    let packages = ["e 1; Essential: yes; Pre-Depends: l", "l 1", "r 1; Priority: required", "a 1"];
    let with = |base| solve_with(&packages, &["a"], |request| Request { base, ..request });
    assert_eq!(with(BaseSet::None).as_deref(), Ok("a"));
    assert_eq!(with(BaseSet::Essential).as_deref(), Ok("a e l"));
    assert_eq!(with(BaseSet::Required).as_deref(), Ok("a e l r"));
}

#[test]
fn recommends_are_taken_when_asked_for_and_possible() {
    let packages = ["a 1; Recommends: gone | b, c, d", "b 1", "c 1; Conflicts: a", "d 1; Depends: gone"];
    assert_eq!(solve(&packages, &["a"]).as_deref(), Ok("a"));
    let with = solve_with(&packages, &["a"], |request| Request { recommends: true, ..request });
    assert_eq!(with.as_deref(), Ok("a b"));
}

static STAND_IN: LazyLock<[Supplied; 1]> = LazyLock::new(|| {
    [Supplied { name: "stand-in".into(), version: "1".into(), provides: vec!["linux-initramfs-tool".into()] }]
});

#[test]
fn what_the_build_supplies_is_used_and_not_listed() {
    let packages = [
        "kernel 1; Depends: initramfs-tools (>= 0.120) | linux-initramfs-tool",
        "initramfs-tools 1; Provides: linux-initramfs-tool",
    ];
    let with = solve_with(&packages, &["kernel"], |request| Request { supplied: &*STAND_IN, ..request });
    assert_eq!(with.as_deref(), Ok("kernel"));
    assert_eq!(solve(&packages, &["kernel"]).as_deref(), Ok("initramfs-tools kernel"));
}

#[test]
fn a_virtual_name_means_its_only_provider() {
    let packages = ["p 1; Provides: v", "q 1; Provides: w", "r 1; Provides: w"];
    assert_eq!(solve(&packages, &["v"]).as_deref(), Ok("p"));
    let error = solve(&packages, &["w"]).expect_err("two provide it");
    assert_eq!(error, "profiles/host.toml:1 asks for w, a virtual package that q, r provide; name one of them");
}

#[test]
fn providers_come_in_apts_order() {
    let packages = ["a 1; Depends: v", "b 1; Provides: v", "c 1; Provides: v; Priority: important", "d 1; Provides: v"];
    assert_eq!(solve(&packages, &["a"]).as_deref(), Ok("a c"));
    assert_eq!(solve(&packages, &["d", "a"]).as_deref(), Ok("a d"));
}

#[test]
fn a_package_does_not_conflict_with_itself() {
    let packages = ["m 1; Provides: mta; Conflicts: mta", "n 1; Provides: mta; Conflicts: mta"];
    assert_eq!(solve(&packages, &["m"]).as_deref(), Ok("m"));
    let error = solve(&packages, &["m", "n"]).expect_err("both are mta");
    assert!(error.contains("m 1 conflicts with mta, which n 1 provides"), "{error}");
}

#[test]
fn qualifiers_ask_for_architectures() {
    let packages = [
        "py 1; Multi-Arch: allowed",
        "no 1",
        "a 1; Depends: py:any, no:amd64, no:native",
        "b 1; Depends: no:any",
        "c 1; Depends: no:i386",
    ];
    assert_eq!(solve(&packages, &["a"]).as_deref(), Ok("a no py"));
    assert!(solve(&packages, &["b"]).is_err());
    assert!(solve(&packages, &["c"]).is_err());
}

#[test]
fn conflicts_may_be_ignored() {
    let packages = ["pc 1; Conflicts: efi", "efi 1; Breaks: pc; Depends: common", "common 1"];
    assert!(solve(&packages, &["pc", "efi"]).is_err());
    let with = solve_with(&packages, &["pc", "efi"], |request| Request { conflicts: Conflicts::Ignore, ..request });
    assert_eq!(with.as_deref(), Ok("common efi pc"));
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let error = solve(&["openssh-server 1", "openssl 1"], &["openssl", "opensh-server"]).expect_err("no such package");
    assert_eq!(
        error,
        "profiles/host.toml:2 asks for opensh-server, which trixie has not; did you mean openssh-server?"
    );
}

#[test]
fn an_unknown_version_is_answered_with_those_there_are() {
    let packages = ["a 1", "a 2-1"];
    let error = solve(&packages, &["a=3"]).expect_err("no such version");
    assert_eq!(error, "profiles/host.toml:1 asks for a in version 3, found 2-1 in trixie, 1 in trixie");
    let error = solve(&packages, &["a=1", "a=2-1"]).expect_err("two versions");
    assert_eq!(error, "profiles/host.toml:1 asks for a in version 1, and profiles/host.toml:2 in version 2-1");
}

#[test]
fn an_impossible_set_is_told_as_a_chain() {
    let packages = ["foo 1.2; Depends: mid | none", "mid 3; Pre-Depends: bar (>= 2)", "bar 1.0", "other 1"];
    assert_eq!(
        solve(&packages, &["other", "foo"]).expect_err("bar is too old"),
        "the packages asked for cannot be installed together: profiles/host.toml:2 asks for foo; \
         foo 1.2 depends on mid | none; mid 3 pre-depends on bar (>= 2), of which there is bar 1.0 in trixie"
    );
    let packages = ["a 1; Depends: c", "b 1; Depends: d", "c 2; Conflicts: d (<< 5)", "d 4"];
    assert_eq!(
        solve(&packages, &["a", "b"]).expect_err("c and d conflict"),
        "the packages asked for cannot be installed together: profiles/host.toml:1 asks for a; a 1 depends on c; \
         profiles/host.toml:2 asks for b; b 1 depends on d; c 2 conflicts with d (<< 5), and d is 4"
    );
}

#[test]
fn a_field_that_cannot_be_read_names_its_package() {
    let error = solve(&["a 1; Depends: b (~ 3)", "b 1"], &["a"]).expect_err("no relation");
    assert!(error.contains("asks for a, but a 1 in debian trixie cannot be used: its Depends: "), "{error}");
    assert_eq!(solve(&["a 1", "z 1; Depends: b (~ 3)"], &["a"]).as_deref(), Ok("a"));
    // An unreadable package that is only an alternative is skipped; one that is the only candidate is in the
    // explanation.
    assert_eq!(solve(&["a 1; Depends: z | y", "z 1; Depends: (", "y 1"], &["a"]).as_deref(), Ok("a y"));
    let error = solve(&["a 1; Depends: z", "z 1_0"], &["a"]).expect_err("z is wrong");
    assert!(error.contains("no z in trixie (z 1_0 in debian trixie cannot be used: version"), "{error}");
}

#[test]
fn unpacking_begins_with_base_files_and_respects_pre_depends() {
    let text = universe(&[
        "a 1; Pre-Depends: z, v",
        "base-files 1; Pre-Depends: awk",
        "mawk 1; Provides: awk",
        "p 1; Provides: v; Pre-Depends: a",
        "z 1; Depends: a",
    ]);
    let sources = [Source {
        archive: "debian",
        suite: "trixie",
        automatic: true,
        packages: text.as_bytes(),
        admission: Admission::All,
    }];
    let index = Index::read(&sources, "amd64");
    let packages: Vec<_> = index.ids().map(|id| Unpack::from(index.record(id))).collect();
    let order = unpack_order(&packages).expect("an order");
    let names: Vec<_> = order.into_iter().map(|position| packages[position].name).collect();
    assert_eq!(names, ["base-files", "p", "z", "a", "mawk"]);
}

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "v", "w"];

fn relation() -> impl Strategy<Value = String> {
    let version =
        prop_oneof![3 => Just(String::new()), 1 => "(<<|<=|=|>=|>>) [1-3]".prop_map(|text| format!(" ({text})"))];
    (prop::sample::select(&NAMES[..]), version).prop_map(|(name, version)| format!("{name}{version}"))
}

fn field(name: &'static str, most: usize) -> impl Strategy<Value = String> {
    let group = prop::collection::vec(relation(), 1..3).prop_map(|names| names.join(" | "));
    prop::collection::vec(group, 0..=most).prop_map(move |groups| match groups.is_empty() {
        true => String::new(),
        false => format!("; {name}: {}", groups.join(", ")),
    })
}

/// A package's relations to others.
fn wants() -> impl Strategy<Value = String> {
    let provides = prop_oneof![
        2 => Just(""), 1 => Just("; Provides: v"), 1 => Just("; Provides: w (= 2)"), 1 => Just("; Provides: v (= 1), w")
    ];
    let fields = (field("Depends", 2), field("Pre-Depends", 1), prop::option::of(relation()), provides);
    fields.prop_map(|(depends, pre_depends, conflict, provides)| {
        let conflict = conflict.map(|text| format!("; Conflicts: {text}")).unwrap_or_default();
        format!("{depends}{pre_depends}{conflict}{provides}")
    })
}

/// Six packages, some with an older version, and the versions to keep.
fn small_universe() -> impl Strategy<Value = (Vec<String>, BTreeMap<String, String>)> {
    const OLDER: &str = "0.5";
    let package = (1..4u8, wants(), prop::option::of((wants(), any::<bool>())));
    prop::collection::vec(package, 6).prop_map(|packages| {
        let (mut texts, mut keep) = (Vec::new(), BTreeMap::new());
        for (name, (version, wants, older)) in NAMES.iter().zip(packages) {
            texts.push(format!("{name} {version}{wants}"));
            if let Some((wants, kept)) = older {
                texts.push(format!("{name} {OLDER}{wants}"));
                if kept {
                    keep.insert((*name).to_owned(), OLDER.to_owned());
                }
            }
        }
        (texts, keep)
    })
}

/// Whether the records of `set` can be installed together; implemented independently of the resolver.
fn holds(set: &[&Record<'_>]) -> bool {
    let meets = |by: &Record<'_>, wanted: &dependency::Dependency<'_>| {
        let provided = dependency::parse(by.provides).expect("made above");
        let mut provided = provided.iter().flat_map(|group| &group.alternatives);
        (by.name == wanted.name && wanted.accepts(Some(by.version)))
            || provided.any(|p| p.name == wanted.name && wanted.accepts(p.version.map(|(_, version)| version)))
    };
    set.iter().all(|record| {
        let needs = [record.depends, record.pre_depends].map(|text| dependency::parse(text).expect("made above"));
        let conflicts = dependency::parse(record.conflicts).expect("made above");
        needs
            .iter()
            .flatten()
            .all(|group| group.alternatives.iter().any(|wanted| set.iter().any(|by| meets(by, wanted))))
            && conflicts
                .iter()
                .flat_map(|group| &group.alternatives)
                .all(|hit| set.iter().all(|other| other.name == record.name || !meets(other, hit)))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn agrees_with_trying_all_sets((packages, keep) in small_universe(), first in 0..6usize, second in 0..6usize) {
        let text = universe(&packages.iter().map(String::as_str).collect::<Vec<_>>());
        let sources = [Source { archive: "debian", suite: "trixie", automatic: true, packages: text.as_bytes(), admission: Admission::All }];
        let index = Index::read(&sources, "amd64");
        let roots = [NAMES[first], NAMES[second]];
        let asked = asked(&roots);
        // One version of each name may be chosen: the kept one or the highest.
        let mut all: Vec<_> = index.ids().map(|id| index.record(id)).collect();
        all.retain(|record| (record.version.as_str() == "0.5") == keep.contains_key(record.name));
        prop_assert_eq!(all.len(), 6);
        let possible = (0..64u32).any(|bits| {
            let set: Vec<_> = all.iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1).map(|(_, r)| *r).collect();
            roots.iter().all(|root| set.iter().any(|record| record.name == *root)) && holds(&set)
        });
        match resolve(&index, &Request { keep: &keep, ..request(&asked) }) {
            Ok(resolution) => {
                prop_assert!(possible);
                prop_assert!(resolution.packages.iter().all(|r| all.iter().any(|one| std::ptr::eq(*one, *r))));
                prop_assert!(holds(&resolution.packages));
                prop_assert!(roots.iter().all(|root| resolution.packages.iter().any(|r| r.name == *root)));
            }
            Err(ResolveError::Unsatisfiable { chain, .. }) => {
                prop_assert!(!possible, "{chain:?}");
                prop_assert!(chain[0].contains("profiles/host.toml"));
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
