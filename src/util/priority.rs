//! Lowers the scheduling priority (nice value) of background and speculative threads.

/// The largest nice value (nice(2)).
const IDLE_NICE: i32 = 19;
/// For work that is needed soon: next to other programs it still gets its share.
const BACKGROUND_NICE: i32 = 5;

/// For this thread and those that it starts from now on: speculative work, which may never be needed.
pub fn set_idle_priority() {
    set(IDLE_NICE);
}

/// For this thread and those that it starts from now on: work that is needed later.
pub fn set_background_priority() {
    set(BACKGROUND_NICE);
}

fn set(nice: i32) {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), nice);
}
