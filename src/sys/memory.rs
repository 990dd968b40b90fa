//! Memory of a process that serves one call: what is freed is kept, and nothing is given back to the kernel.

#![allow(unsafe_code, reason = "an allocator hands out pointers")]

use dlmalloc::Dlmalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

/// The allocator of the plugin.
///
/// Its lock is one atomic exchange: nearly always one thread runs. A mutex of musl, as `dlmalloc::GlobalDlmalloc` has
/// it, takes longer than the allocation.
#[derive(Debug)]
pub struct Kept {
    is_held: AtomicBool,
    memory: UnsafeCell<Dlmalloc>,
}

// SAFETY: `memory` is only used between `hold` and the drop of what that answers.
unsafe impl Sync for Kept {}

/// Exclusive use of the memory.
struct Held<'a>(&'a Kept);

impl Kept {
    /// Memory of which nothing is used.
    #[expect(clippy::new_without_default, reason = "a static needs a const function")]
    pub const fn new() -> Self {
        Kept { is_held: AtomicBool::new(false), memory: UnsafeCell::new(Dlmalloc::new()) }
    }

    #[inline]
    fn hold(&self) -> Held<'_> {
        while self.is_held.swap(true, Ordering::Acquire) {
            // Another thread has it for less than a microsecond, unless it does not run now.
            std::thread::yield_now();
        }
        Held(self)
    }
}

impl Held<'_> {
    #[inline]
    fn memory(&mut self) -> *mut Dlmalloc {
        self.0.memory.get()
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.is_held.store(false, Ordering::Release);
    }
}

// SAFETY: Dlmalloc is an allocator, and is used by one thread at a time.
unsafe impl GlobalAlloc for Kept {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: held; the caller's layout is not of size 0.
        unsafe { (*self.hold().memory()).malloc(layout.size(), layout.align()) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: held; the pointer is of this allocator, with this layout.
        unsafe { (*self.hold().memory()).free(pointer, layout.size(), layout.align()) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        unsafe { (*self.hold().memory()).calloc(layout.size(), layout.align()) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in `dealloc`; the caller's size is not 0.
        unsafe { (*self.hold().memory()).realloc(pointer, layout.size(), layout.align(), size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_it_and_nobody_gets_what_another_one_has() {
        static KEPT: Kept = Kept::new();
        let work = |seed: u8| {
            for round in 0..2000_usize {
                let layout = Layout::from_size_align(1 + (round * 37 + usize::from(seed)) % 3000, 8).unwrap();
                // SAFETY: layouts are not of size 0, and the pointer is used within its own.
                unsafe {
                    let pointer = KEPT.alloc(layout);
                    pointer.write_bytes(seed, layout.size());
                    let size = layout.size() * 2;
                    let pointer = KEPT.realloc(pointer, layout, size);
                    let (first, last) = (pointer.read(), pointer.add(layout.size() - 1).read());
                    assert_eq!((first, last), (seed, seed));
                    KEPT.dealloc(pointer, Layout::from_size_align(size, 8).unwrap());
                    let zeroed = KEPT.alloc_zeroed(layout);
                    assert_eq!(zeroed.add(layout.size() - 1).read(), 0);
                    zeroed.write(seed);
                    KEPT.dealloc(zeroed, layout);
                }
            }
        };
        std::thread::scope(|scope| (1..=4).for_each(|seed| _ = scope.spawn(move || work(seed))));
    }
}
