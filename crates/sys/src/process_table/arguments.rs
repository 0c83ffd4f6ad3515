//! What macOS hands out as the arguments of a process: how many there are, the program's path, bytes of
//! nothing, the arguments, and behind them the environment, each with a zero at its end.

/// The environment in that, a `NAME=VALUE` each; nothing where it makes no sense.
pub(super) fn environment(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    after_arguments(bytes)
        .unwrap_or_default()
        .split(|byte| *byte == 0)
        // Behind the last one there are words of the system's own, and an empty one before them.
        .take_while(|entry| !entry.is_empty())
}

fn after_arguments(bytes: &[u8]) -> Option<&[u8]> {
    let (count, rest) = bytes.split_first_chunk()?;
    let count = usize::try_from(i32::from_ne_bytes(*count)).ok()?;
    let path_end = rest.iter().position(|byte| *byte == 0)?;
    let padding = rest.get(path_end..)?;
    let arguments = padding.iter().position(|byte| *byte != 0)?;
    let mut rest = padding.get(arguments..)?;
    for _ in 0..count {
        let end = rest.iter().position(|byte| *byte == 0)?;
        rest = rest.get(end + 1..)?;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(count: i32, rest: &[u8]) -> Vec<Vec<u8>> {
        let bytes = [&count.to_ne_bytes(), rest].concat();
        environment(&bytes).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn the_environment_stands_behind_as_many_arguments_as_there_are() {
        let rest = b"/bin/cat\0\0\0cat\0A=1\0\0B=2\0C=\0\0ptr_munge=7\0";
        assert_eq!(found(1, rest), [b"A=1"]);
        // An argument may be empty, or look like a variable.
        assert_eq!(found(3, rest), [b"B=2".as_slice(), b"C="]);
    }

    #[test]
    fn what_makes_no_sense_has_no_environment() {
        let nothing: [Vec<u8>; 0] = [];
        for (count, rest) in [
            (1, &b""[..]),
            (1, b"/bin/cat"),
            (9, b"/bin/cat\0cat\0"),
            (-1, b"x\0y\0"),
        ] {
            assert_eq!(found(count, rest), nothing);
        }
        assert_eq!(environment(b"").count(), 0);
    }
}
