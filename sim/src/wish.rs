//! What a client may know of its own wish, while requests that change it are on their way.
//!
//! **Invariant:** what is certain follows from the last change alone, and only if no other was under
//! way beside it.

/// A wish that requests change.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish<T> {
    certain: Option<T>,
    pending: u32,
    has_overlapped: bool,
}

impl<T: Copy> Wish<T> {
    /// One that nothing has changed yet.
    pub(crate) fn of(value: T) -> Self {
        Wish {
            certain: Some(value),
            pending: 0,
            has_overlapped: false,
        }
    }

    /// What it is now; `None` if that cannot be known.
    pub(crate) fn now(&self) -> Option<T> {
        self.certain.filter(|_| self.pending == 0)
    }

    /// A change is under way.
    pub(crate) fn begin(&mut self) {
        self.has_overlapped |= self.pending > 0;
        self.pending += 1;
    }

    /// A change has come about, or, for `None`, has not.
    pub(crate) fn end(&mut self, value: Option<T>) {
        self.certain = match value {
            _unclear if self.has_overlapped => None,
            Some(value) => Some(value),
            None => self.certain,
        };
        self.over();
    }

    /// Nobody will learn what became of a change.
    pub(crate) fn lose(&mut self) {
        self.certain = None;
        self.over();
    }

    fn over(&mut self) {
        self.pending = self.pending.saturating_sub(1);
        self.has_overlapped &= self.pending > 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_change_is_certain_and_overlapping_ones_are_not() {
        let mut wish = Wish::of(false);
        wish.begin();
        assert_eq!(wish.now(), None);
        wish.end(Some(true));
        assert_eq!(wish.now(), Some(true));
        wish.begin();
        wish.begin();
        wish.end(Some(false));
        wish.end(Some(true));
        assert_eq!(wish.now(), None);
        wish.begin();
        wish.end(Some(false));
        assert_eq!(wish.now(), Some(false));
    }
}
