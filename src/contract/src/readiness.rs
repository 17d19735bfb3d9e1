//! The line that an image prints on its console once it is up. A guest's supervisor on the host and a person at the
//! screen read the same line.

/// The line's prefix, followed by the state that `systemctl is-system-running` printed.
pub const READY_LINE: &str = "appliance: ready";

/// The whole line, without a line feed.
pub fn line(state: &str) -> String {
    format!("{READY_LINE} {state}")
}

/// The state in a line of a console. Text before the prefix is ignored: a kernel message may have begun the line.
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
