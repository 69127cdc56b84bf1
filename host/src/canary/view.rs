//! The state that both generations see.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::outcome::{Listing, StateError, StateView, Version};

/// A state as of one moment, for several who look at it one after the other: what is written meanwhile is seen by
/// none of them.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Box<dyn StateView>>>);

impl Shared {
    pub(super) fn new(state: Box<dyn StateView>) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    /// A reader that panicked has changed nothing, and so a poisoned lock is as good.
    fn view(&self) -> MutexGuard<'_, Box<dyn StateView>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateView for Shared {
    fn get(&mut self, key: &str) -> Result<(Option<Vec<u8>>, Version), StateError> {
        self.view().get(key)
    }

    fn keys(&mut self, after: Option<&str>, limit: usize) -> Result<(Vec<String>, Listing), StateError> {
        self.view().keys(after, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another value at each read.
    struct Moving(u64);

    impl StateView for Moving {
        fn get(&mut self, _: &str) -> Result<(Option<Vec<u8>>, Version), StateError> {
            self.0 += 1;
            Ok((None, Version(self.0)))
        }

        fn keys(&mut self, _: Option<&str>, _: usize) -> Result<(Vec<String>, Listing), StateError> {
            Ok((Vec::new(), Listing { count: self.0, newest: Version(0) }))
        }
    }

    #[test]
    fn all_who_look_have_one_view() {
        let mut one = Shared::new(Box::new(Moving(0)));
        let mut other = one.clone();
        assert_eq!(one.get("a").unwrap().1, Version(1));
        assert_eq!(other.get("a").unwrap().1, Version(2), "it is the same view that was asked before");
        assert_eq!(one.keys(None, 1).unwrap().1.count, 2);
    }
}
