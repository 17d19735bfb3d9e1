//! A unified diff of two short texts, by their longest common subsequence of lines.

/// Lines of context around a change, as in diff -u.
const CONTEXT: usize = 3;
/// With more pairs of lines than this, the changed middle is shown as completely replaced.
const MAX_PAIRS: usize = 4_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Edit<'a> {
    Same(&'a str),
    Old(&'a str),
    New(&'a str),
}

/// Hunks with their headers; empty if the texts are equal.
pub fn unified(old: &str, new: &str) -> String {
    let edits = edits(&old.split_inclusive('\n').collect::<Vec<_>>(), &new.split_inclusive('\n').collect::<Vec<_>>());
    let changed: Vec<usize> =
        edits.iter().enumerate().filter(|(_, edit)| !matches!(edit, Edit::Same(_))).map(|(at, _)| at).collect();
    let mut out = String::new();
    let mut next = 0;
    while let Some(&first) = changed.get(next) {
        let mut last = first;
        while let Some(&at) = changed.get(next).filter(|&&at| at <= last + 2 * CONTEXT + 1) {
            last = at;
            next += 1;
        }
        hunk(&edits, first.saturating_sub(CONTEXT), (last + CONTEXT + 1).min(edits.len()), &mut out);
    }
    out
}

fn hunk(edits: &[Edit<'_>], start: usize, end: usize, out: &mut String) {
    let count = |edits: &[Edit<'_>]| {
        let old = edits.iter().filter(|edit| !matches!(edit, Edit::New(_))).count();
        let new = edits.iter().filter(|edit| !matches!(edit, Edit::Old(_))).count();
        (old, new)
    };
    let (old_before, new_before) = count(&edits[..start]);
    let (old_lines, new_lines) = count(&edits[start..end]);
    // The header of an empty side has the number of the line before it.
    let number = |before: usize, lines: usize| if lines == 0 { before } else { before + 1 };
    *out += &format!(
        "@@ -{},{old_lines} +{},{new_lines} @@\n",
        number(old_before, old_lines),
        number(new_before, new_lines)
    );
    for edit in &edits[start..end] {
        let (sign, line) = match edit {
            Edit::Same(line) => (' ', line),
            Edit::Old(line) => ('-', line),
            Edit::New(line) => ('+', line),
        };
        out.push(sign);
        *out += line;
        if !line.ends_with('\n') {
            *out += "\n\\ No newline at end of file\n";
        }
    }
}

fn edits<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Edit<'a>> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_middle, new_middle) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut edits: Vec<Edit<'a>> = old[..head].iter().map(|line| Edit::Same(line)).collect();
    if old_middle.len().saturating_mul(new_middle.len()) > MAX_PAIRS {
        edits.extend(old_middle.iter().map(|line| Edit::Old(line)));
        edits.extend(new_middle.iter().map(|line| Edit::New(line)));
    } else {
        common(old_middle, new_middle, &mut edits);
    }
    edits.extend(old[old.len() - tail..].iter().map(|line| Edit::Same(line)));
    edits
}

fn common<'a>(old: &[&'a str], new: &[&'a str], edits: &mut Vec<Edit<'a>>) {
    let width = new.len() + 1;
    // Length of the longest common subsequence of old[i..] and new[j..].
    let mut lengths = vec![0u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            lengths[i * width + j] = if old[i] == new[j] {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            edits.push(Edit::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]) {
            edits.push(Edit::Old(old[i]));
            i += 1;
        } else {
            edits.push(Edit::New(new[j]));
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn writes_what_diff_writes() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n";
        let new = "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n11\n12";
        assert_eq!(
            unified(old, new),
            "@@ -2,11 +2,11 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n 9\n 10\n 11\n-12\n+12\n\\ No newline at end of file\n"
        );
        assert_eq!(unified("", "a\n"), "@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(unified("a\n", ""), "@@ -1,1 +0,0 @@\n-a\n");
        assert_eq!(unified("a\n", "a\n"), "");
    }

    #[test]
    fn far_changes_are_hunks_of_their_own() {
        let old: String = (0..30).map(|n| format!("{n}\n")).collect();
        let new = old.replace("\n3\n", "\nx\n").replace("\n25\n", "\ny\n");
        assert_eq!(unified(&old, &new).matches("@@ -").count(), 2);
    }

    proptest! {
        #[test]
        fn edits_give_both_texts_back(old in "([abc]\n){0,12}", new in "([abc]\n){0,12}") {
            let (a, b): (Vec<&str>, Vec<&str>) = (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
            let edits = edits(&a, &b);
            let side = |skip: fn(&Edit<'_>) -> bool| -> String {
                let kept = edits.iter().filter(|edit| !skip(edit));
                kept.map(|edit| match edit { Edit::Same(line) | Edit::Old(line) | Edit::New(line) => *line }).collect()
            };
            prop_assert_eq!(side(|edit| matches!(edit, Edit::New(_))), old.clone());
            prop_assert_eq!(side(|edit| matches!(edit, Edit::Old(_))), new.clone());
            prop_assert_eq!(unified(&old, &new).is_empty(), old == new);
        }
    }
}
