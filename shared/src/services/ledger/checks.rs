//! Checks that go on in another invocation.

use super::update::Update;
use super::{Ledger, META, Recorded};
use crate::drop::{DropRecord, DropState, SavedCheck};
use crate::source::DropId;
use anyhow::Result;
use jiff::Timestamp;

impl Ledger {
    /// Records how far a check was saved, if no other attempt has saved it further and the drop is not
    /// cancelled; what the check waited for, it then waits for no more.
    pub async fn save_check(
        &self,
        drop_id: &DropId,
        saved: &SavedCheck,
        now: Timestamp,
    ) -> Result<Recorded<DropRecord>> {
        let update = Update::of(drop_id, META).set("check", saved)?.set("active_at", &now)?;
        let update = update.remove("check_problem").by("check_saved_by").only_if(
            "#state = :checking AND attribute_not_exists(#cancelled_at) \
             AND (attribute_not_exists(#check) OR #check.#pass < :pass \
             OR (#check.#pass = :pass AND #check.#offset < :offset))",
        );
        let update =
            update.value(":checking", &DropState::Checking)?.value(":pass", &saved.pass)?;
        self.update(update.value(":offset", &saved.offset)?).await
    }

    /// Forgets a saved check that cannot be read, so that it begins again.
    pub async fn forget_check(&self, drop_id: &DropId, saved: &SavedCheck) -> Result<()> {
        let update = Update::of(drop_id, META).remove("check");
        let update = update.only_if("#check.#digest = :digest").value(":digest", &saved.digest)?;
        self.write(update).await.map(|_| ())
    }
}
