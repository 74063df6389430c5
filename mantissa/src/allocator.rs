//! The memory allocator and its one setting. One of the two modules with `unsafe` code.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Returns freed pages to the system at once instead of after a delay. Rows are filled by worker threads
/// and freed by the threads that write Parquet, epoch after epoch; with the delay, several epochs' worth
/// of freed pages stays resident.
pub fn give_back_at_once() {
    // SAFETY: sets an integer option of the allocator by its documented number; any value is valid, and
    // no other thread runs yet.
    #[allow(unsafe_code)]
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, 0);
    }
}

/// `mi_option_purge_delay` of mimalloc 2 (mimalloc.h, `mi_option_e`); the bindings do not name it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
