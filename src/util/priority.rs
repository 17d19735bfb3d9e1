//! Work that nobody waits for yet stands back behind the work that somebody does.

/// nice(2)'s largest.
const LAST_IN_LINE: i32 = 19;
/// What will be waited for soon: beside what other programs do it still gets its share.
const NEXT_IN_LINE: i32 = 5;

/// This thread, and those that it starts from now on, do what may never be needed.
pub fn set_idle_priority() {
    set(LAST_IN_LINE);
}

/// This thread, and those that it starts from now on, do what is needed later.
pub fn set_background_priority() {
    set(NEXT_IN_LINE);
}

fn set(nice: i32) {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), nice);
}
