//! Reports that are due: who changes a drop adds a name of its own to a set in the drop's record
//! before, and takes it out after `status.json` shows the change. What stays there, poll reports.

use super::update::Update;
use super::{Ledger, META};
use crate::source::DropId;
use anyhow::Result;
use jiff::Timestamp;

impl Ledger {
    /// A name for the reports that a function has to make.
    #[must_use]
    pub fn report_name(&self) -> String {
        format!("{} {}", Timestamp::now(), self.writers.next())
    }

    /// Records that a function is to report a change of the drop.
    pub async fn begin_report(&self, drop_id: &DropId, name: &str) -> Result<()> {
        let update = Update::of(drop_id, META).add("reports_due", &[name.to_owned()]);
        self.write(update.only_if("attribute_exists(pk)")).await.map(|_| ())
    }

    /// Records that the changes are reported. Doing it twice changes nothing.
    pub async fn end_report(&self, drop_id: &DropId, name: &str) -> Result<()> {
        let update = Update::of(drop_id, META).delete("reports_due", &[name.to_owned()]);
        self.write(update.only_if("attribute_exists(pk)")).await.map(|_| ())
    }

    /// Records poll's report of a drop of which so many parts were open; with it, those under these
    /// names are made. Doing it twice changes nothing.
    pub async fn end_poll_report(
        &self,
        drop_id: &DropId,
        names: &[String],
        open_parts: u32,
    ) -> Result<()> {
        let update = Update::of(drop_id, META).set("reported_open", &open_parts)?;
        let update = update.set("reported_at", &Timestamp::now())?;
        let update = if names.is_empty() { update } else { update.delete("reports_due", names) };
        self.write(update.only_if("attribute_exists(pk)")).await.map(|_| ())
    }
}

/// When the function with this name was to report, so that names of functions that must be dead
/// are told apart.
#[must_use]
pub fn reports_since(name: &str) -> Option<Timestamp> {
    name.split(' ').next()?.parse().ok()
}
