//! The three settings that decide how results are read.

/// How results are read. The default holds all results that are in doubt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// `RESULTS_UNREADABLE`.
    pub unreadable: OnUnreadable,
    /// `BLANK_LABELS`; `None` while it is not set.
    pub blank: Option<BlankLabels>,
    /// `RESULTS_CONTENT_CHECK`.
    pub content: OnOtherContent,
}

/// The three settings on one line: held results record the settings that they were judged under.
impl std::fmt::Display for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let blank = self.blank.map_or("", BlankLabels::as_str);
        let (unreadable, content) = (self.unreadable.as_str(), self.content.as_str());
        write!(
            f,
            "RESULTS_UNREADABLE={unreadable} BLANK_LABELS={blank} RESULTS_CONTENT_CHECK={content}"
        )
    }
}

/// `RESULTS_UNREADABLE`: what to do with results that are malformed, lack a column or answer no
/// row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnUnreadable {
    /// `hold`: the part waits.
    #[default]
    Hold,
    /// `rows`: well-formed records are used, and the other rows are missing.
    Rows,
}

impl OnUnreadable {
    /// Reads the setting.
    #[must_use]
    pub fn from_word(text: &str) -> Option<Self> {
        [Self::Hold, Self::Rows].into_iter().find(|value| value.as_str() == text)
    }

    /// The value in the setting.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Rows => "rows",
        }
    }
}

/// `BLANK_LABELS`: what a row with neither labels nor error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlankLabels {
    /// `missing`: the API did not evaluate it.
    Missing,
    /// `evaluated`: no label applies to it.
    Evaluated,
}

impl BlankLabels {
    /// Reads the setting.
    #[must_use]
    pub fn from_word(text: &str) -> Option<Self> {
        [Self::Missing, Self::Evaluated].into_iter().find(|value| value.as_str() == text)
    }

    /// The value in the setting.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Evaluated => "evaluated",
        }
    }
}

/// `RESULTS_CONTENT_CHECK`: what to do with results whose texts are not those that were sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnOtherContent {
    /// `hold`: the part waits.
    #[default]
    Hold,
    /// `warn`: they are used; `status.json` counts the texts that differ.
    Warn,
}

impl OnOtherContent {
    /// Reads the setting.
    #[must_use]
    pub fn from_word(text: &str) -> Option<Self> {
        [Self::Hold, Self::Warn].into_iter().find(|value| value.as_str() == text)
    }

    /// The value in the setting.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Warn => "warn",
        }
    }
}
