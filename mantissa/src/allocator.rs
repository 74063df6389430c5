//! The memory allocator and its one setting. One of the two modules with `unsafe` code.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
