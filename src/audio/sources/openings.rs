//! How many threads one station may have inside a sound library. Opening, starting and dropping a stream can hang for ever
//! together with a sound server, and each attempt has a thread of its own that cannot be ended: without a limit, a night with a
//! hung server would leave thousands. Values only; `capture` starts the threads.

use std::sync::Arc;

/// Attempts that may hang at a time. Another attempt than the first helps when only the first one's server hung.
const MAX_OPENINGS: usize = 3;

/// Counts a station's openings that have not ended.
#[derive(Debug, Default)]
pub struct Openings(Arc<()>);

/// One opening, which counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Opening {
    _counted: Arc<()>,
}

impl Openings {
    /// None if so many have not ended that another one is not to be begun.
    pub(crate) fn begin(&self) -> Option<Opening> {
        // Only the owner begins openings, so that the count cannot grow meanwhile.
        let unfinished = Arc::strong_count(&self.0) - 1;
        (unfinished < MAX_OPENINGS).then(|| Opening { _counted: self.0.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_may_be_unfinished_and_a_finished_one_makes_room() {
        let openings = Openings::default();
        let mut unfinished: Vec<Opening> = std::iter::from_fn(|| openings.begin()).collect();
        assert_eq!(unfinished.len(), MAX_OPENINGS);
        unfinished.pop();
        assert!(openings.begin().is_some());
    }
}
