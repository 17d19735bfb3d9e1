//! The bounds of a config's `local/etc`, which the agent copies into memory and the builder checks before it ships.

/// Most bytes of all files together. Configuration is kilobytes, so more than this is a mistake.
pub const MAX_BYTES: u64 = 64 << 20;
/// Most files, directories and links.
pub const MAX_ENTRIES: usize = 20_000;
/// Most directories below `local/etc`, one in the other.
pub const MAX_DEPTH: usize = 40;

/// What a `local/etc` may hold.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Files, directories and links.
    pub entries: usize,
    /// Directories in each other; one directly in `local/etc` has the depth 1.
    pub depth: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: MAX_BYTES, entries: MAX_ENTRIES, depth: MAX_DEPTH }
    }
}

/// What is beyond the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// All files have this many bytes.
    Bytes(u64),
    /// There is one entry more than the bound.
    Entries,
    /// A directory is deeper than the bound.
    Depth,
}

/// Counts the entries of a `local/etc`.
#[derive(Debug)]
pub struct Meter {
    bounds: Bounds,
    entries: usize,
    bytes: u64,
}

impl Meter {
    /// A meter that has counted nothing.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, entries: 0, bytes: 0 }
    }

    /// Counts a file, a link, or what else is no directory. `size` is 0 for what is no file.
    pub fn file(&mut self, size: u64) -> Result<(), Excess> {
        self.bytes = self.bytes.saturating_add(size);
        self.entry()
    }

    /// Counts a directory.
    pub fn directory(&mut self, depth: usize) -> Result<(), Excess> {
        self.entry()?;
        if depth > self.bounds.depth { Err(Excess::Depth) } else { Ok(()) }
    }

    /// Checks the bytes, once all is counted, so that the error has all of them.
    pub fn finish(self) -> Result<(), Excess> {
        if self.bytes > self.bounds.bytes { Err(Excess::Bytes(self.bytes)) } else { Ok(()) }
    }

    fn entry(&mut self) -> Result<(), Excess> {
        if self.entries == self.bounds.entries {
            return Err(Excess::Entries);
        }
        self.entries += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_within_the_bounds_passes_and_one_more_does_not() {
        let meter = || Meter::new(Bounds { bytes: 10, entries: 2, depth: 1 });
        let mut full = meter();
        assert_eq!((full.directory(1), full.file(10)), (Ok(()), Ok(())));
        assert_eq!(full.file(0), Err(Excess::Entries));
        assert_eq!(full.finish(), Ok(()));
        assert_eq!(meter().directory(2), Err(Excess::Depth));
        let mut large = meter();
        assert_eq!((large.file(10), large.file(1)), (Ok(()), Ok(())));
        assert_eq!(large.finish(), Err(Excess::Bytes(11)));
    }
}
