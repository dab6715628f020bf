//! The context of collecting a part, and why a part may not be collected.

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use moondrop_shared::drop::DropRecord;
use moondrop_shared::lifecycle::DueReport;
use moondrop_shared::part::PartRecord;
use moondrop_shared::results::ResultsProblem;
use moondrop_shared::services::Services;
use std::time::Duration;
use tokio::sync::OnceCell;

pub(crate) struct Collector<'a> {
    pub(crate) services: &'a Services,
    pub(crate) drop: &'a DropRecord,
    /// The part as it was read.
    pub(crate) part: &'a PartRecord,
    /// The report of what is wrong with the part. Of what goes well poll tells, once a tick.
    pub(crate) report: OnceCell<DueReport>,
}

impl Collector<'_> {
    /// Records that a report is due, before something wrong is recorded.
    pub(crate) async fn report_is_due(&self) -> Result<()> {
        let begin = || DueReport::begin(self.services, &self.drop.id);
        self.report.get_or_try_init(begin).await.map(|_| ())
    }

    /// When collect tries again after a failure: by default after two minutes, then four, and so
    /// on, up to an hour.
    pub(crate) fn next_try(&self, now: Timestamp) -> Timestamp {
        let settings = &self.services.settings;
        let wait = settings
            .retry_after
            .saturating_mul(1 << self.part.attempts.min(16))
            .min(settings.remind_after);
        now + signed(wait)
    }

    /// How far apart the same bytes have to come twice to count.
    pub(crate) fn confirm_after(&self) -> SignedDuration {
        signed(self.services.settings.confirm_after)
    }

    /// Whether the same bytes came before, long enough ago to count now.
    pub(crate) fn is_confirmed(&self, digest: &str, now: Timestamp) -> bool {
        let seen = self.part.unconfirmed.as_ref();
        seen.is_some_and(|seen| seen.digest == digest && now >= seen.since + self.confirm_after())
    }
}

fn signed(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::from_hours(24))
}

/// Results that cannot be used.
#[derive(Debug)]
pub(crate) struct Unusable {
    pub(crate) problem: ResultsProblem,
    /// The SHA-256 of their bytes, in hex.
    pub(crate) digest: String,
}

#[derive(Debug)]
pub(crate) enum NotCollected {
    Unusable(Unusable),
    /// Something failed; trying again may help.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for NotCollected {
    fn from(error: anyhow::Error) -> Self {
        NotCollected::Failed(error)
    }
}
