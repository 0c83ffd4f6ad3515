//! By what a daemon knows the sessions and the hooks of one agent together: the number of the topmost `claude`
//! among our ancestors, else of our parent, as mcp-proxy has it.

/// How far up it is looked.
const GENERATIONS: usize = 10;

/// What the system says of a process: its parent, and its program's short name.
type Look<'a> = &'a dyn Fn(u32) -> Option<(u32, String)>;

/// The number for this process; `None` if its parent is outside of what it can see.
pub(super) fn find() -> Option<u32> {
    let parent = rustix::process::getppid()?;
    let parent = u32::try_from(parent.as_raw_nonzero().get()).ok()?;
    Some(topmost(parent, &look).unwrap_or(parent))
}

fn topmost(parent: u32, look: Look<'_>) -> Option<u32> {
    let (mut at, mut found) = (parent, None);
    for _ in 0..GENERATIONS {
        let Some((parent, name)) = look(at) else {
            break;
        };
        if name == "claude" {
            found = Some(at);
        }
        if parent == 0 || parent == at {
            break;
        }
        at = parent;
    }
    found
}

#[cfg(target_os = "linux")]
fn look(pid: u32) -> Option<(u32, String)> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The state stands before the parent.
    let parent = sys::stat::fields(&stat)?.nth(1)?.parse().ok()?;
    let (from, to) = (memchr::memchr(b'(', &stat)?, memchr::memrchr(b')', &stat)?);
    let name = stat.get(from + 1..to)?;
    Some((parent, String::from_utf8_lossy(name).into_owned()))
}

/// Elsewhere that takes a program of its own, for which a hook has no time.
#[cfg(not(target_os = "linux"))]
fn look(_pid: u32) -> Option<(u32, String)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_agent_is_meant_and_none_that_is_too_far() {
        let tree = |pid: u32| {
            let name = match pid {
                7 | 5 => "claude",
                _ => "sh",
            };
            (pid > 0).then(|| (pid - 1, name.to_owned()))
        };
        assert_eq!(topmost(9, &tree), Some(5));
        assert_eq!(topmost(6, &tree), Some(5));
        assert_eq!(topmost(4, &tree), None);
        assert_eq!(topmost(16, &tree), Some(7));
        assert_eq!(topmost(17, &tree), None);
        assert_eq!(topmost(9, &|_| Some((9, "sh".into()))), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_says_who_our_parent_is() {
        let (parent, name) = look(std::process::id()).unwrap();
        let expected = rustix::process::getppid().unwrap().as_raw_nonzero().get();
        assert_eq!(i64::from(parent), i64::from(expected));
        assert!(!name.is_empty());
        assert!(find().is_some());
    }
}
