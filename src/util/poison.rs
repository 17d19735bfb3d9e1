//! Locks that a panicked thread held. The panic is reported when that thread is joined. The data is consistent, because
//! no thread panics in the middle of a change.

use std::sync::{LockResult, PoisonError};

/// The value behind a lock, poisoned or not.
pub trait Unpoisoned<T> {
    /// The value; a poisoned lock is treated like any other.
    fn unpoisoned(self) -> T;
}

impl<T> Unpoisoned<T> for LockResult<T> {
    fn unpoisoned(self) -> T {
        self.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn the_value_outlives_a_panic() {
        let value = Mutex::new(7);
        let panicked = std::thread::scope(|scope| {
            let hold = || {
                let _held = value.lock().unpoisoned();
                std::panic::resume_unwind(Box::new(()));
            };
            scope.spawn(hold).join().is_err()
        });
        assert!(panicked && value.is_poisoned());
        assert_eq!(*value.lock().unpoisoned(), 7);
        assert_eq!(value.into_inner().unpoisoned(), 7);
    }
}
