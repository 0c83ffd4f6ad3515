//! What nobody can guess.

use std::io;

/// Fills it with random bytes of the system's, at most 256.
#[cfg(target_os = "linux")]
pub fn fill(bytes: &mut [u8]) -> io::Result<()> {
    use rustix::rand::{GetRandomFlags, getrandom};

    let filled = getrandom(&mut *bytes, GetRandomFlags::empty())?;
    if filled == bytes.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Fills it with random bytes of the system's, at most 256.
#[cfg(not(target_os = "linux"))]
pub fn fill(bytes: &mut [u8]) -> io::Result<()> {
    // SAFETY: the place is valid for so many bytes.
    let result = unsafe { libc::getentropy(bytes.as_mut_ptr().cast(), bytes.len()) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_two_are_equal() {
        let (mut one, mut other) = ([0; 32], [0; 32]);
        super::fill(&mut one).unwrap();
        super::fill(&mut other).unwrap();
        assert_ne!(one, other);
    }
}
