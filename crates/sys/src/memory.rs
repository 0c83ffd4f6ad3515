//! A heap that stays small.
//!
//! glibc's allocator is tuned for speed: it gives every thread an arena of its own, and
//! learns from the first large block that is freed to keep such blocks. One large message,
//! and a process that waits for days is large for days. Other C libraries keep little
//! anyway; there these functions do nothing.
//!
//! The program itself is memory, too: a start runs through much of it that is not needed again for days.

/// Blocks of this many bytes and more go back to the system when they are freed.
///
/// It is where glibc begins too; saying so ends the learning.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 128 << 10;

/// Makes the allocator thrifty, for the whole process.
///
/// Call it before other threads start: the arenas of those that run stay.
pub fn economise() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [
        (libc::M_MMAP_THRESHOLD, LARGE),
        (libc::M_TRIM_THRESHOLD, LARGE),
        (libc::M_ARENA_MAX, 1),
    ] {
        // SAFETY: it sets a number in the allocator, under the allocator's lock.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// Gives what is free to the system, small blocks too; for the end of a busy time.
///
/// It looks through the whole heap, so it is not for every message.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it touches only free memory, under the allocator's lock.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Lets go of the program's own pages in memory; those that are needed come back, a fault each.
///
/// It is for the end of something that happens rarely. Only Linux does it.
pub fn let_go_of_program() {
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    // SAFETY: the function takes what it is called with, and nothing else.
    unsafe {
        libc::dl_iterate_phdr(Some(let_go_of_object), std::ptr::null_mut())
    };
}

/// Lets go of what nobody can have written in the first object, which is the program.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
unsafe extern "C" fn let_go_of_object(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _nothing: *mut libc::c_void,
) -> libc::c_int {
    const LAST: libc::c_int = 1;
    // SAFETY: it is there for as long as this function runs.
    let object = unsafe { &*object };
    // SAFETY: so are its headers, and this is how many there are.
    let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
    let is_as_in_file = |header: &&libc::Elf64_Phdr| {
        header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0
    };
    let page = rustix::param::page_size() as u64;
    for header in headers.iter().filter(is_as_in_file) {
        let begin = object.dlpi_addr + header.p_vaddr;
        let first_page = begin - begin % page;
        let bytes = begin + header.p_memsz - first_page;
        let (Ok(first_page), Ok(bytes)) = (first_page.try_into(), bytes.try_into()) else {
            continue;
        };
        let first_page = std::ptr::with_exposed_provenance_mut(first_page);
        // SAFETY: these pages are a file's and cannot be written, so they come back as they are.
        unsafe { libc::madvise(first_page, bytes, libc::MADV_DONTNEED) };
    }
    LAST
}

#[cfg(all(test, target_os = "linux", target_pointer_width = "64"))]
mod tests {
    use super::*;

    /// What is in memory of files, in kB.
    fn resident() -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssFile:"))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    }

    #[test]
    fn a_program_lets_go_of_most_of_itself_and_goes_on() {
        let before = resident();
        let_go_of_program();
        let after = resident();
        assert!(
            after.is_some() && after < before,
            "{before:?} and {after:?} kB"
        );
        assert_eq!(format!("{:?}", "goes on"), "\"goes on\"");
    }
}
