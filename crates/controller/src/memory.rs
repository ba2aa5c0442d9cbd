//! Giving memory back to the system.
//!
//! glibc keeps what was freed in the middle of its heaps. A start, a large list or a push to a whole fleet leaves most of
//! a process free and yet resident: it is several times the size of what it holds until somebody asks for it back.

use std::time::{Duration, Instant};

use crate::Runtime;

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Processor time in a look from which on a process is busy: what it frees it will want again.
const BUSY: Duration = Duration::from_secs(1);
/// Even a busy process is asked after so much work.
const WORK_MOST: Duration = Duration::from_secs(60);
/// Processor time that makes it worth while to look for what is free.
const WORK_LEAST: Duration = Duration::from_millis(200);
/// Asking walks all heaps; it may take one part in so many of the work done.
const COST_SHARE: u32 = 50;
/// Up to this size asking takes less than a thread for it would.
const SMALL: u64 = 64 << 20;
/// Clock ticks a second in `/proc`, on every Linux.
const TICKS: u64 = 100;

/// Gives back what is free whenever the process rests after work, for as long as the runtime lives. Only for processes of
/// their own: it looks at the wall clock and at the whole process.
pub fn give_back(runtime: &Runtime) {
    runtime.spawn("memory", async move {
        let (mut at_trim, mut at_look, mut cost) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Some(worked) = processor_time() else { return };
            if is_due(worked.saturating_sub(at_trim), worked.saturating_sub(at_look), cost) {
                let begun = Instant::now();
                if resident().is_none_or(|bytes| bytes < SMALL) {
                    trim();
                } else {
                    let _ = tokio::task::spawn_blocking(trim).await;
                }
                cost = begun.elapsed();
                at_trim = worked;
                tracing::debug!(resident = resident(), ?cost, "memory given back");
            }
            at_look = worked;
        }
    });
}

/// Says whether to ask, after work since the last time and since the last look, and what asking cost.
fn is_due(since_trim: Duration, since_look: Duration, cost: Duration) -> bool {
    let is_resting = since_look < BUSY;
    since_trim >= WORK_LEAST.max(cost * COST_SHARE) && (is_resting || since_trim >= WORK_MOST)
}

/// Returns the bytes of memory that this process takes.
pub fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

fn processor_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // After the name in brackets: the state, and ten more until what was spent in user and in system mode.
    let (_, rest) = stat.rsplit_once(") ")?;
    let ticks = rest.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS))
}

#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
fn trim() {
    // SAFETY: it takes a number, may be called at any time from any thread, and touches only what is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators give back by themselves.
#[cfg(not(target_env = "gnu"))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_at_rest_after_work_and_never_costs_much() {
        let check = |since_trim: u64, since_look: u64, cost: u64, expect: bool| {
            let [since_trim, since_look, cost] = [since_trim, since_look, cost].map(Duration::from_millis);
            assert_eq!(is_due(since_trim, since_look, cost), expect, "{since_trim:?} {since_look:?} {cost:?}");
        };
        check(0, 0, 0, false);
        check(100, 100, 0, false);
        check(300, 300, 0, true);
        check(3_000, 3_000, 1, false);
        check(3_000, 0, 1, true);
        check(3_000, 0, 100, false);
        check(5_000, 0, 100, true);
        check(61_000, 5_000, 100, true);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_is_read() {
        assert!(resident().is_some_and(|bytes| bytes > 1 << 20));
        let begun = processor_time().expect("a time");
        while processor_time().expect("a time") == begun {}
    }

    #[test]
    #[cfg(target_env = "gnu")]
    fn what_was_freed_between_what_is_held_goes_back() {
        let mut all: Vec<Option<Box<[u8]>>> = (0..4000).map(|_| Some(vec![1u8; 20_000].into_boxed_slice())).collect();
        all.iter_mut().enumerate().filter(|(at, _)| at % 100 > 0).for_each(|(_, part)| *part = None);
        let before = resident().expect("a process");
        trim();
        let after = resident().expect("a process");
        assert!(after + (40 << 20) < before, "{before} {after} {}", all.len());
    }
}
