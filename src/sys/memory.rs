//! Memory of a process that serves one call: what is freed is kept, and nothing is given back to the kernel.

#![allow(unsafe_code, reason = "an allocator hands out pointers")]

use dlmalloc::Dlmalloc;
use nix::libc;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

/// Pieces up to this size have a class.
const LARGEST: usize = 4096;
/// What every piece of a class is aligned to, and the size of the first class.
const STEP: usize = 16;
/// 16, 32, 48, 64, and from there on two for each power of two.
const CLASSES: usize = 16;
/// What pieces of the classes are cut from.
const CHUNK: usize = 64 * 1024;

/// The allocator of the plugin.
///
/// Most pieces are small, and live for a moment. Each size class has a list of free ones: to take one off the list and
/// to put it back are a few instructions each, where dlmalloc looks for the best place and joins neighbours.
///
/// Its lock is one atomic exchange: nearly always one thread runs. A mutex of musl, as `dlmalloc::GlobalDlmalloc` has
/// it, takes longer than the allocation.
#[derive(Debug)]
pub struct Kept {
    is_held: AtomicBool,
    memory: UnsafeCell<Memory>,
}

// SAFETY: `memory` is only used between `hold` and the drop of what that answers.
unsafe impl Sync for Kept {}

/// What is free.
struct Memory {
    /// The first free piece of each class; it begins with the address of the next one.
    free: [*mut u8; CLASSES],
    /// What of the last chunk was never handed out.
    at: *mut u8,
    left: usize,
    /// Pieces that have no class.
    large: Dlmalloc,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Exclusive use of the memory.
struct Held<'a>(&'a Kept);

/// The class of a piece, if it has one.
#[inline]
fn class(layout: Layout) -> Option<usize> {
    let size = layout.size();
    if size > LARGEST || size == 0 || layout.align() > STEP {
        return None;
    }
    let last = size - 1;
    if last < 64 {
        return Some(last / STEP);
    }
    let power = last.ilog2() as usize;
    Some(4 + (power - 6) * 2 + ((last >> (power - 1)) & 1))
}

/// How long the pieces of `class` are.
#[inline]
fn length(class: usize) -> usize {
    match class.checked_sub(4) {
        None => (class + 1) * STEP,
        Some(above) => (64 << (above / 2)) / 2 * (3 + above % 2),
    }
}

impl Memory {
    /// A piece of `class`; null where the kernel has none.
    #[inline]
    fn take(&mut self, class: usize) -> *mut u8 {
        let first = self.free[class];
        if first.is_null() {
            return self.cut(length(class));
        }
        // SAFETY: a free piece begins with the address of the next one, which `put` has written.
        self.free[class] = unsafe { first.cast::<*mut u8>().read() };
        first
    }

    /// Takes back a piece of `class`.
    ///
    /// # Safety
    /// `piece` was handed out by `take` of that class, and is not used any more.
    #[inline]
    unsafe fn put(&mut self, piece: *mut u8, class: usize) {
        // SAFETY: it is at least 16 bytes long and aligned to as many, and it is ours now.
        unsafe { piece.cast::<*mut u8>().write(self.free[class]) };
        self.free[class] = piece;
    }

    /// A new piece from the end of a chunk.
    #[cold]
    fn cut(&mut self, length: usize) -> *mut u8 {
        if self.left < length {
            let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            // Nearly all of it will be used: its pages are there at once, and not one after the other by a fault each.
            // SAFETY: a new mapping is nobody else's.
            let chunk = unsafe { libc::mmap(ptr::null_mut(), CHUNK, access, flags | libc::MAP_POPULATE, -1, 0) };
            if chunk == libc::MAP_FAILED {
                return ptr::null_mut();
            }
            (self.at, self.left) = (chunk.cast(), CHUNK);
        }
        let piece = self.at;
        // SAFETY: so much is left of the chunk.
        self.at = unsafe { piece.add(length) };
        self.left -= length;
        piece
    }
}

impl Kept {
    /// Memory of which nothing is used.
    #[expect(clippy::new_without_default, reason = "a static needs a const function")]
    pub const fn new() -> Self {
        let (free, at) = ([ptr::null_mut(); CLASSES], ptr::null_mut());
        let memory = Memory { free, at, left: 0, large: Dlmalloc::new() };
        Kept { is_held: AtomicBool::new(false), memory: UnsafeCell::new(memory) }
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
    fn memory(&mut self) -> &mut Memory {
        // SAFETY: nobody else has it, because it is held.
        unsafe { &mut *self.0.memory.get() }
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.is_held.store(false, Ordering::Release);
    }
}

// SAFETY: a piece is handed out once until it comes back, is as long and as aligned as its layout, and lies in a chunk or
// is of Dlmalloc, which is an allocator. Class or none follows from the layout, with which a piece comes back.
unsafe impl GlobalAlloc for Kept {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut held = self.hold();
        match class(layout) {
            Some(class) => held.memory().take(class),
            // SAFETY: the caller's layout is not of size 0.
            None => unsafe { held.memory().large.malloc(layout.size(), layout.align()) },
        }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let mut held = self.hold();
        match class(layout) {
            // SAFETY: the pointer is of this allocator, with this layout.
            Some(class) => unsafe { held.memory().put(pointer, class) },
            // SAFETY: as above.
            None => unsafe { held.memory().large.free(pointer, layout.size(), layout.align()) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if class(layout).is_none() {
            // SAFETY: as in `alloc`.
            return unsafe { self.hold().memory().large.calloc(layout.size(), layout.align()) };
        }
        // SAFETY: as in `alloc`.
        let pointer = unsafe { self.alloc(layout) };
        if !pointer.is_null() {
            // SAFETY: it is so long, and ours.
            unsafe { pointer.write_bytes(0, layout.size()) };
        }
        pointer
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's size is valid for this alignment.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class(layout), class(new)) {
            (Some(old), Some(new)) if old == new => pointer,
            // SAFETY: as in `dealloc`; the caller's size is not 0.
            (None, None) => unsafe { self.hold().memory().large.realloc(pointer, layout.size(), layout.align(), size) },
            _ => {
                // SAFETY: as in `alloc` and `dealloc`. Both pieces are at least so long, and they are two.
                unsafe {
                    let moved = self.alloc(new);
                    if !moved.is_null() {
                        ptr::copy_nonoverlapping(pointer, moved, layout.size().min(size));
                        self.dealloc(pointer, layout);
                    }
                    moved
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_fits_its_class_and_no_smaller_one() {
        for size in 1..=LARGEST {
            let class = class(Layout::from_size_align(size, 8).unwrap()).unwrap();
            assert!(size <= length(class) && length(class).is_multiple_of(STEP), "{size}");
            assert!(class == 0 || size > length(class - 1), "{size}");
        }
        assert_eq!(length(CLASSES - 1), LARGEST);
        for (size, align) in [(LARGEST + 1, 8), (0, 1), (8, 32)] {
            assert_eq!(class(Layout::from_size_align(size, align).unwrap()), None);
        }
    }

    #[test]
    fn threads_share_it_and_nobody_gets_what_another_one_has() {
        static KEPT: Kept = Kept::new();
        let work = |seed: u8| {
            for round in 0..2000_usize {
                let layout = Layout::from_size_align(1 + (round * 37 + usize::from(seed)) % 9000, 8 << (round % 4));
                let layout = layout.unwrap();
                // SAFETY: layouts are not of size 0, and the pointer is used within its own.
                unsafe {
                    let pointer = KEPT.alloc(layout);
                    assert_eq!(pointer.align_offset(layout.align()), 0);
                    pointer.write_bytes(seed, layout.size());
                    // Longer, shorter, and from one kind to the other.
                    let size = if round % 2 == 0 { layout.size() * 2 } else { layout.size().div_ceil(3) };
                    let pointer = KEPT.realloc(pointer, layout, size);
                    let end = size.min(layout.size());
                    assert!((0..end).all(|at| pointer.add(at).read() == seed));
                    pointer.write_bytes(seed, size);
                    KEPT.dealloc(pointer, Layout::from_size_align(size, layout.align()).unwrap());
                    let zeroed = KEPT.alloc_zeroed(layout);
                    assert!((0..layout.size()).all(|at| zeroed.add(at).read() == 0));
                    zeroed.write(seed);
                    KEPT.dealloc(zeroed, layout);
                }
            }
        };
        std::thread::scope(|scope| (1..=4).for_each(|seed| _ = scope.spawn(move || work(seed))));
    }
}
