//! Errors with their causes in one line. A message never repeats its cause: this adds it.

use std::error::Error;

/// The whole message of an error.
pub trait WithCauses {
    /// The message, then each cause after ": ".
    fn with_causes(&self) -> String;
}

impl<E: Error + ?Sized> WithCauses for E {
    fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;
    use std::io;

    #[derive(Debug)]
    struct Outer(io::Error);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("reading /a")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn each_cause_follows_once() {
        let inner = Outer(io::Error::other("no such disk"));
        // An `io::Error` prints what it holds and gives that one's cause as its own.
        assert_eq!(Outer(io::Error::other(inner)).with_causes(), "reading /a: reading /a: no such disk");
        assert_eq!(io::Error::other("alone").with_causes(), "alone");
    }
}
