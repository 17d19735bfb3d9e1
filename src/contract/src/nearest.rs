//! The most similar known name, for messages about typing errors.

/// The word of `known` that is most similar to `found`; at most a third of its letters may differ.
pub fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let best = known.iter().map(|word| (distance(found, word), *word)).min()?;
    (best.0 <= best.1.len().div_ceil(3)).then_some(best.1)
}

/// The Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_nothing_far() {
        let known = ["status", "etc", "help"];
        assert_eq!(nearest("statsu", &known), Some("status"));
        assert_eq!(nearest("hepl", &known), Some("help"));
        assert_eq!(nearest("ect", &known), None);
        assert_eq!(nearest("et", &known), Some("etc"));
        assert_eq!(nearest("reboot", &known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
