//! The ids of the user namespace: `uid_map` lines (user_namespaces(7)) and the ranges of subuid(5).

/// The number of ids that an image may use: 0 to 65535.
pub const COUNT: u64 = 65_536;

/// `count` ids from `inside` on map to the ids from `outside` on outside of the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub inside: u64,
    pub outside: u64,
    pub count: u64,
}

/// The identity map, which root gets. It is split at the lines of `map`, root's own `uid_map`: the kernel refuses a
/// line that spans two lines of the parent's map. `Err` with the number of mapped ids below 65,536 if not all are
/// mapped.
pub fn identity(map: &str) -> Result<Vec<Extent>, u64> {
    let mut extents: Vec<Extent> = map
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().map(|field| field.parse::<u64>().ok());
            let (inside, _, count) = (fields.next()??, fields.next()??, fields.next()??);
            let count = count.min(COUNT.saturating_sub(inside));
            (count > 0).then_some(Extent { inside, outside: inside, count })
        })
        .collect();
    extents.sort_by_key(|extent| extent.inside);
    let found = extents.iter().map(|extent| extent.count).sum();
    if found == COUNT { Ok(extents) } else { Err(found) }
}

/// The ranges that `text` (of `/etc/subuid` or `/etc/subgid`) gives to a user, by name or by number: (first id, count).
pub fn ranges(text: &str, name: &str, uid: u32) -> Vec<(u64, u64)> {
    let number = uid.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
            (owner == name || owner == number).then(|| Some((first.parse().ok()?, count.parse().ok()?)))?
        })
        .collect()
}

/// The first id after all ranges of `text`. A range that two users share would let each access the other's files.
pub fn first_free(text: &str) -> u64 {
    let end = |line: &str| {
        let mut fields = line.trim().split(':').skip(1).map(|field| field.parse::<u64>().ok());
        fields.next()??.checked_add(fields.next()??)
    };
    // The first id that useradd(8) assigns.
    text.lines().filter_map(end).max().unwrap_or(0).max(100_000)
}

/// Maps the user's own id to 0 and the subordinate ids from 1 on; `Err` with the number of subordinate ids if they are
/// too few.
pub fn own_and_subordinate(own: u32, ranges: &[(u64, u64)]) -> Result<Vec<Extent>, u64> {
    let mut extents = vec![Extent { inside: 0, outside: u64::from(own), count: 1 }];
    let mut inside = 1;
    for &(outside, count) in ranges {
        let count = count.min(COUNT - inside);
        if count > 0 {
            extents.push(Extent { inside, outside, count });
            inside += count;
        }
    }
    if inside == COUNT { Ok(extents) } else { Err(inside - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_ranges_by_name_and_by_number() {
        let text = "root:1:2\nann:100000:65536\n# ann\n1000:300000:10\nannx:5:5\nann:bad:5\n";
        assert_eq!(ranges(text, "ann", 1000), [(100_000, 65_536), (300_000, 10)]);
        assert_eq!(ranges(text, "bob", 1001), []);
    }

    #[test]
    fn a_range_that_is_offered_is_nobody_elses() {
        assert_eq!(first_free(""), 100_000);
        assert_eq!(first_free("ann:165536:65536\nbob:100000:65536\n# c:1:x\nd:9\n"), 231_072);
    }

    #[test]
    fn maps_exactly_65536_ids() {
        let extents = own_and_subordinate(1000, &[(100_000, 65_536)]).unwrap();
        assert_eq!(extents.iter().map(|extent| extent.count).sum::<u64>(), COUNT);
        assert_eq!(extents[1], Extent { inside: 1, outside: 100_000, count: 65_535 });
        let split = own_and_subordinate(1000, &[(100_000, 65_000), (300_000, 65_536)]).unwrap();
        assert_eq!(split[2], Extent { inside: 65_001, outside: 300_000, count: 535 });
        assert_eq!(own_and_subordinate(1000, &[(100_000, 1000)]), Err(1000));
        assert_eq!(own_and_subordinate(1000, &[]), Err(0));
    }

    #[test]
    fn identity_follows_the_lines_of_the_parent() {
        let whole = Extent { inside: 0, outside: 0, count: COUNT };
        assert_eq!(identity("         0          0 4294967295\n"), Ok(vec![whole]));
        let first = Extent { inside: 0, outside: 0, count: 1 };
        let rest = Extent { inside: 1, outside: 1, count: 65_535 };
        assert_eq!(identity("0 1000 1\n1 100000 65536\n"), Ok(vec![first, rest]));
        assert_eq!(identity("0 1000 1\n"), Err(1));
        assert_eq!(identity(""), Err(0));
    }
}
