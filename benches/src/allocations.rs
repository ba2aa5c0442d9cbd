//! Counts what a thread allocates.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

use tikv_jemallocator::Jemalloc;

thread_local!(static COUNT: Cell<u64> = const { Cell::new(0) });

/// Returns how often this thread has allocated or grown memory.
pub fn of_this_thread() -> u64 {
    COUNT.get()
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

impl Counting {
    fn count() {
        // A thread that ends is not counted any longer.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
    }
}

#[expect(unsafe_code, reason = "an allocator is unsafe to write; all calls go on to the one of `muster` as they are")]
// SAFETY: as `Jemalloc`, to which every call is handed on unchanged; counting touches no memory but the thread's number.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count();
        unsafe { Jemalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count();
        unsafe { Jemalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { Jemalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count();
        unsafe { Jemalloc.realloc(pointer, layout, size) }
    }
}
