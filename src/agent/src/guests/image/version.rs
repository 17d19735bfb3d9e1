//! Which of two versions is newer: numbers by value, `2026.11.1` before
//! `2026.11.1-2` before `2026.11.2`.

use std::cmp::Ordering;

/// As dpkg compares upstream versions (deb-version(7)): text and numbers in
/// turn; `~` before the end, the end before letters, letters before the rest.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = split(a, |byte| !byte.is_ascii_digit());
        let (text_b, rest_b) = split(b, |byte| !byte.is_ascii_digit());
        let (number_a, rest_a) = split(rest_a, u8::is_ascii_digit);
        let (number_b, rest_b) = split(rest_b, u8::is_ascii_digit);
        let ordering = compare_text(text_a, text_b).then_with(|| compare_numbers(number_a, number_b));
        if ordering.is_ne() {
            return ordering;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

fn split(bytes: &[u8], belongs: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|byte| !belongs(byte)).unwrap_or(bytes.len()))
}

fn compare_text(a: &[u8], b: &[u8]) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(&letter) if letter.is_ascii_alphabetic() => i32::from(letter),
        Some(&other) => i32::from(other) + 256,
    };
    (0..a.len().max(b.len()))
        .map(|at| weight(a.get(at)).cmp(&weight(b.get(at))))
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let value = |digits: &[u8]| digits.iter().copied().skip_while(|&digit| digit == b'0').collect::<Vec<u8>>();
    let (a, b) = (value(a), value(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn later_versions_are_newer() {
        let order = [
            "2026.9.1",
            "2026.11.1~rc1",
            "2026.11.1",
            "2026.11.1-2",
            "2026.11.1-10",
            "2026.11.1.1",
            "2026.11.2",
            "2026.11.10",
            "2027.1",
        ];
        for pair in order.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
        assert_eq!(compare("1.01", "1.1"), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn is_an_order(a in "[0-9a-z.~-]{0,8}", b in "[0-9a-z.~-]{0,8}", c in "[0-9a-z.~-]{0,8}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
        }
    }
}
