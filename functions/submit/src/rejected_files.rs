//! `rejected.csv`, written twice: as it is decided, among the work files, and for the user, in the
//! folder of the results. What the user does with theirs changes nothing of what is sent.

use anyhow::{Result, ensure};
use moondrop_shared::drop::{DropRecord, OnBadRows};
use moondrop_shared::object_key::ObjectKey;
use moondrop_shared::services::Services;
use moondrop_shared::services::s3::object_writer::ObjectWriter;
use moondrop_shared::services::s3::results_bucket::Written;

/// `rejected.csv` of a drop, while it is written.
pub(crate) struct RejectedFiles<'a> {
    drop: &'a DropRecord,
    /// Absent where nothing is sent.
    decided: Option<ObjectWriter>,
    shown: ObjectWriter,
}

impl<'a> RejectedFiles<'a> {
    /// Of a file that is accepted: both depend only on the file and on the settings when the drop was
    /// accepted, so that existing ones with the drop's id as their digest are the same.
    pub(crate) fn begin(services: &Services, drop: &'a DropRecord) -> Self {
        // A file that is refused for its invalid rows has none that is sent.
        let decided = (drop.on_bad_rows != OnBadRows::RejectFile)
            .then(|| services.results.begin(&ObjectKey::decided_rejections(&drop.id), 0));
        RejectedFiles { drop, decided, shown: services.results.begin(&drop.rejected_key(), 0) }
    }

    /// Of a file that is refused: no row of it is sent.
    pub(crate) fn of_refusal(services: &Services, drop: &'a DropRecord, bytes: usize) -> Self {
        let shown = services.results.begin(&drop.rejected_key(), bytes as u64);
        RejectedFiles { drop, decided: None, shown }
    }

    pub(crate) async fn write(&mut self, lines: &[u8]) -> Result<()> {
        let digest = Some(self.drop.id.as_str());
        if let Some(decided) = &mut self.decided {
            decided.write(lines, digest).await?;
        }
        self.shown.write(lines, digest).await
    }

    /// Makes both visible.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        let digest = Some(self.drop.id.as_str());
        for file in self.decided.as_mut().into_iter().chain([&mut self.shown]) {
            let written = file.finish(digest).await?;
            ensure!(
                written.written != Written::Conflict,
                "the drop's folder has a rejected.csv of another drop"
            );
        }
        Ok(())
    }

    /// Gives up what is not finished.
    pub(crate) async fn abort(&mut self) {
        if let Some(decided) = &mut self.decided {
            decided.abort().await;
        }
        self.shown.abort().await;
    }
}
