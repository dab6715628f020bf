//! A step out of a state.

use crate::state::{PartState, State};

/// A step: where it leads, and what it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Next {
    pub(crate) state: State,
    pub(crate) what: &'static str,
    /// A fault, which a fair continuation has none of.
    pub(crate) fault: bool,
    /// What it breaks by itself.
    pub(crate) broken: Option<&'static str>,
    /// The same bytes were uploaded once more to a job that has them: allowed, and counted.
    pub(crate) again: bool,
    /// The part's state in between, of a step that is two writes.
    pub(crate) via: Option<PartState>,
}

impl Next {
    pub(crate) fn new(what: &'static str, state: State) -> Next {
        Next { state, what, fault: false, broken: None, again: false, via: None }
    }

    pub(crate) fn fault(what: &'static str, state: State) -> Next {
        Next { fault: true, ..Next::new(what, state) }
    }

    /// The same step, with more done to the state.
    pub(crate) fn then(mut self, change: impl FnOnce(&mut State)) -> Next {
        change(&mut self.state);
        self
    }
}
