//! Work that nobody waits for yet stands back behind the work that somebody does.

/// nice(2)'s largest.
const LAST_IN_LINE: i32 = 19;

/// This thread, and those that it starts from now on.
pub fn step_back() {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), LAST_IN_LINE);
}
