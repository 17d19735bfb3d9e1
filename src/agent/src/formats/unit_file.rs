//! How values are written into unit files.

use appliance_shared::gpt::CRC_32;
use std::fmt::Write;

/// A word of a command line: in double quotes, so that nothing in it is a
/// separator, a variable, a specifier or an escape (systemd.service, "COMMAND LINES").
pub fn word(text: &str) -> String {
    let mut word = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => word.extend(['\\', c]),
            '%' | '$' => word.extend([c, c]),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    // Writing into a string cannot fail.
                    let _ = write!(word, "\\x{byte:02x}");
                }
            }
            c => word.push(c),
        }
    }
    word + "\""
}

/// The value of a key that takes a line of text: specifiers alone mean something there.
pub fn text(text: &str) -> String {
    text.replace('%', "%%").replace(|c: char| c.is_control() || c == '\\', " ")
}

/// A unit's name has at most 255 characters; what is left for the instance.
const LONGEST_INSTANCE: usize = 200;

/// A folder's name as an instance's (systemd-escape); a guest's own name stays what it is.
pub fn instance(name: &[u8]) -> String {
    let mut instance = String::new();
    for (index, &byte) in name.iter().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && index > 0);
        if plain {
            instance.push(byte.into());
        } else {
            let _ = write!(instance, "\\x{byte:02x}");
        }
        if instance.len() > LONGEST_INSTANCE {
            // Two long names must not become one.
            let _ = write!(instance, "-{:08x}", CRC_32.checksum(&name[index..]));
            break;
        }
    }
    instance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_what_systemd_would_take_apart() {
        assert_eq!(word("a b"), "\"a b\"");
        assert_eq!(word("50% of \"$HOME\" \\ ;"), r#""50%% of \"$$HOME\" \\ ;""#);
        assert_eq!(word("a\nb\u{85}"), r#""a\x0ab\xc2\x85""#);
    }

    #[test]
    fn instances_are_names_of_units() {
        assert_eq!(instance(b"web-1.example"), "web-1.example");
        assert_eq!(instance(b"my guest/%i\xff"), "my\\x20guest\\x2f\\x25i\\xff");
        assert_eq!(instance(b".x"), "\\x2ex");
        let (a, b) = (instance(&[b' '; 255]), instance(&[b' '; 254]));
        assert!(a.len() < 220 && a != b, "{a}");
    }
}
