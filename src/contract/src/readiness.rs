//! What an image says on its console once it is up: the host's supervisor of a
//! guest, and a person before a screen, read the same line.

/// Begins the line; the state that `systemctl is-system-running` gave follows.
pub const READY_LINE: &str = "appliance: ready";

/// The whole line, without its end.
pub fn line(state: &str) -> String {
    format!("{READY_LINE} {state}")
}

/// The state in a line of a console. What stands before counts for nothing: a
/// kernel's message may have begun the line.
pub fn state(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(READY_LINE)?;
    let state = rest.strip_prefix(' ')?.split_ascii_whitespace().next()?;
    state.bytes().all(|byte| byte.is_ascii_lowercase()).then_some(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_read_from_what_is_written() {
        assert_eq!(state(&line("degraded")), Some("degraded"));
        assert_eq!(state("[    4.2] appliance: ready running\r\n"), Some("running"));
    }

    #[test]
    fn other_lines_are_not_taken_for_it() {
        for text in ["appliance: ready", "appliance: ready ", "appliance: readying", "appliance: ready: \x1b[2J", "up"]
        {
            assert_eq!(state(text), None, "{text:?}");
        }
    }
}
