//! Work on many small items, spread over threads.

use crate::util::poison::Unpoisoned;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// At most so many are taken at a time, as many files are small; and of few no more than leave the others some.
const BATCH: usize = 16;
const BATCHES_OF_A_THREAD: usize = 8;

/// Does `work` for each of `count` numbers on so many threads. The answers are
/// in the numbers' order; of errors, one stops the rest.
pub fn in_parallel<T: Send, E: Send>(
    count: usize,
    threads: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let next = AtomicUsize::new(0);
    let size = (count / (threads.max(1) * BATCHES_OF_A_THREAD)).clamp(1, BATCH);
    let failed = Mutex::new(None);
    let found = Mutex::new(Vec::with_capacity(count));
    let run = || {
        loop {
            let first = next.fetch_add(size, Ordering::Relaxed);
            if first >= count {
                return;
            }
            let mut batch = Vec::with_capacity(size);
            for index in first..count.min(first + size) {
                match work(index) {
                    Ok(answer) => batch.push((index, answer)),
                    Err(error) => {
                        next.store(count, Ordering::Relaxed);
                        failed.lock().unpoisoned().get_or_insert(error);
                        return;
                    }
                }
            }
            found.lock().unpoisoned().append(&mut batch);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(count) {
            scope.spawn(run);
        }
        run();
    });
    if let Some(error) = failed.into_inner().unpoisoned() {
        return Err(error);
    }
    let mut found = found.into_inner().unpoisoned();
    found.sort_by_key(|(index, _)| *index);
    Ok(found.into_iter().map(|(_, answer)| answer).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_order_and_an_error_ends_it() {
        for threads in [1, 3] {
            let squares = in_parallel(1000, threads, |number| Ok::<_, ()>(number * number)).unwrap();
            assert!(squares.iter().enumerate().all(|(number, square)| number * number == *square));
            assert_eq!(squares.len(), 1000);
            assert_eq!(in_parallel(1000, threads, |number| if number == 77 { Err(number) } else { Ok(()) }), Err(77));
        }
    }
}
