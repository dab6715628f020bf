//! A row of the results, as the probe looks at it.

use moondrop_shared::results::labels::{is_blank, is_empty_list};

/// A row of the results. A field whose column is missing is empty.
pub(super) struct Answer {
    pub(super) ref_id: String,
    pub(super) labels: String,
    pub(super) content: String,
    pub(super) error: String,
}

impl Answer {
    pub(super) fn has_error(&self) -> bool {
        !is_blank(&self.error)
    }

    /// Whether a label applies, whatever its form.
    pub(super) fn has_labels(&self) -> bool {
        !is_blank(&self.labels) && !is_empty_list(&self.labels)
    }
}
