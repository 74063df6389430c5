//! The memory allocator: mimalloc, and the system itself for what is huge. One of the two modules with
//! `unsafe` code.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;
use std::ptr;

use mimalloc::MiMalloc;

/// From this size on memory comes from the system and goes back to it at once. These are the buffers of
/// long columns, which go round and are rarely made anew, and of long records: a general allocator keeps
/// each for a while after it is freed, so that several times the memory that is in use is taken. The system
/// also grows such a buffer without copying it.
const HUGE: usize = 2 << 20;

/// The least alignment of a page on every system.
const PAGE: usize = 4096;

struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn is_huge(size: usize, align: usize) -> bool {
    size >= HUGE && align <= PAGE
}

// SAFETY: each block is given back to where it came from, which its layout tells: size and alignment
// alone decide. `mmap` gives fresh zeroed pages, aligned to at least `PAGE`, that nobody else has.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_huge(layout.size(), layout.align()) {
            return take(layout.size());
        }
        // SAFETY: the caller's promise is the same.
        unsafe { MiMalloc.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_huge(layout.size(), layout.align()) {
            return take(layout.size());
        }
        // SAFETY: the caller's promise is the same.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from where its layout says, and the caller has no more use for it.
        unsafe {
            if is_huge(layout.size(), layout.align()) {
                give(block, layout.size());
            } else {
                MiMalloc.dealloc(block, layout);
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (was, is) = (is_huge(layout.size(), layout.align()), is_huge(size, layout.align()));
        // SAFETY: as above; a block that changes its place is copied as far as both hold it.
        unsafe {
            match (was, is) {
                (false, false) => MiMalloc.realloc(block, layout, size),
                (true, true) => resize(block, layout.size(), size),
                _ => {
                    let new = Layout::from_size_align_unchecked(size, layout.align());
                    let moved = self.alloc(new);
                    if !moved.is_null() {
                        ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

/// Fresh pages; null when there are none.
#[cold]
#[allow(unsafe_code)]
fn take(size: usize) -> *mut u8 {
    let (read_write, private) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: no address is asked for, so nothing that exists is replaced.
    let block = unsafe { libc::mmap(ptr::null_mut(), size, read_write, private, -1, 0) };
    given(block)
}

/// # Safety
/// The block came from [`take`] or [`resize`] with this size and is not used any more.
#[cold]
#[allow(unsafe_code)]
unsafe fn give(block: *mut u8, size: usize) {
    // SAFETY: the caller's. It cannot fail for a whole mapping.
    unsafe { libc::munmap(block.cast::<c_void>(), size) };
}

/// # Safety
/// The block came from [`take`] or [`resize`] with size `from` and is only used as what this returns, unless
/// that is null.
#[cold]
#[allow(unsafe_code)]
#[cfg(target_os = "linux")]
unsafe fn resize(block: *mut u8, from: usize, size: usize) -> *mut u8 {
    // SAFETY: the caller's.
    given(unsafe { libc::mremap(block.cast::<c_void>(), from, size, libc::MREMAP_MAYMOVE) })
}

/// # Safety
/// As on Linux, where the system does it without a copy.
#[cold]
#[allow(unsafe_code)]
#[cfg(not(target_os = "linux"))]
unsafe fn resize(block: *mut u8, from: usize, size: usize) -> *mut u8 {
    let moved = take(size);
    if !moved.is_null() {
        // SAFETY: the caller's; fresh pages overlap nothing.
        unsafe {
            ptr::copy_nonoverlapping(block, moved, from.min(size));
            give(block, from);
        }
    }
    moved
}

fn given(block: *mut c_void) -> *mut u8 {
    if block == libc::MAP_FAILED { ptr::null_mut() } else { block.cast::<u8>() }
}

/// Lets threads keep freed pages for some milliseconds, in which the next batch or column uses them
/// again. Given back at once they cost half as much time as all other work together; kept for longer
/// they pile up in every thread. Set here so that the environment cannot change what a run may take.
pub fn reuse_pages_briefly() {
    // SAFETY: sets an integer option of the allocator by its documented number; any value is valid, and
    // no other thread runs yet.
    #[allow(unsafe_code)]
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, DELAY_MS);
    }
}

const DELAY_MS: std::ffi::c_long = 10;

/// `mi_option_purge_delay` of mimalloc 2 (mimalloc.h, `mi_option_e`); the bindings do not name it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
