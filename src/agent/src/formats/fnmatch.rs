//! Shell patterns as POSIX fnmatch(3) without flags has them: `*`, `?`, `[…]`, `\`.

/// Whether the whole of `text` matches `pattern`. Takes time proportional to
/// the product of their lengths at worst: of all stars, only the last one seen is ever retried.
pub fn fnmatch(pattern: &str, text: &str) -> bool {
    let pattern = pattern.as_bytes();
    let text = text.as_bytes();
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        let Some(&byte) = text.get(t) else { return p == pattern.len() };
        match one(pattern, p, byte) {
            Some(next) => {
                p = next;
                t += 1;
            }
            None => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    p = after;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
}

/// Matches one byte against the pattern's element at `p`, and tells where the next element begins.
fn one(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => match set(pattern, p + 1, byte) {
            Some((true, next)) => Some(next),
            Some((false, _)) => None,
            // Without its closing bracket it is a plain character.
            None => (byte == b'[').then_some(p + 1),
        },
        b'\\' if p + 1 < pattern.len() => (pattern[p + 1] == byte).then_some(p + 2),
        plain => (plain == byte).then_some(p + 1),
    }
}

/// Whether `byte` is in the set whose inside begins at `at`, and where the set ends; `None` when it never does.
fn set(pattern: &[u8], mut at: usize, byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(pattern.get(at)?, b'!' | b'^');
    if negated {
        at += 1;
    }
    let mut found = false;
    let mut first = true;
    loop {
        let low = *pattern.get(at)?;
        if low == b']' && !first {
            return Some((found != negated, at + 1));
        }
        first = false;
        match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some(b'-'), Some(&high)) if high != b']' => {
                found |= (low..=high).contains(&byte);
                at += 3;
            }
            _ => {
                found |= low == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn matches_as_the_shell_does() {
        for (pattern, text, expected) in [
            ("pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", true),
            ("pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i00", false),
            ("usb:v0781p*d01[0-2]*dc*", "usb:v0781p5567d0126dc00", true),
            ("usb:v0781p*d01[0-2]*dc*", "usb:v0781p5567d0136dc00", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[!a-c]x", "dx", true),
            ("[!a-c]x", "bx", false),
            ("[]x]", "]", true),
            ("[a-]", "-", true),
            ("[a", "[a", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("**a*", "bca", true),
        ] {
            assert_eq!(fnmatch(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_end_soon() {
        assert!(!fnmatch(&("a*".repeat(200) + "b"), &"a".repeat(5000)));
    }

    /// The obvious definition, exponential in the number of stars.
    fn plain(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some(b'*'), _) => plain(&pattern[1..], text) || (!text.is_empty() && plain(pattern, &text[1..])),
            (Some(b'?'), Some(_)) => plain(&pattern[1..], &text[1..]),
            (Some(p), Some(t)) => p == t && plain(&pattern[1..], &text[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(fnmatch(&pattern, &text), plain(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn any_pattern_ends(pattern in ".{0,30}", text in ".{0,30}") {
            fnmatch(&pattern, &text);
        }
    }
}
