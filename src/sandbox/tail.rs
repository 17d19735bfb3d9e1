//! The end of a long output.

/// The end of a stream, bounded.
#[derive(Debug)]
pub struct Tail {
    bytes: Vec<u8>,
    limit: usize,
}

impl Tail {
    pub fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // Cut at twice the limit, so that the moving costs little.
        if self.bytes.len() > 2 * self.limit {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let surplus = self.bytes.len().saturating_sub(self.limit);
        self.bytes.drain(..surplus);
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.cut();
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_end() {
        let mut tail = Tail::new(4);
        for byte in b"0123456789abc" {
            tail.push(&[*byte]);
        }
        assert_eq!(tail.finish(), b"9abc");
        let mut short = Tail::new(4);
        short.push(b"ab");
        assert_eq!(short.finish(), b"ab");
    }
}
