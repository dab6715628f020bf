//! The part's record (`shared/src/part/record.rs`), as far as it matters here.

pub(crate) use moondrop_shared::part::PartState;

/// The arrows of the diagram in `shared/src/services/ledger/mod.rs`; of a part that is lost there is one
/// more.
pub(crate) fn may_become(was: PartState, next: PartState, lost: bool) -> bool {
    match was {
        PartState::Planned => matches!(next, PartState::Created | PartState::Failed),
        PartState::Created => {
            matches!(
                next,
                PartState::Uploaded
                    | PartState::Abandoning
                    | PartState::Completed
                    | PartState::Failed
            )
        }
        PartState::Abandoning => {
            matches!(
                next,
                PartState::Planned | PartState::Uploaded | PartState::Completed | PartState::Failed
            )
        }
        PartState::Uploaded => {
            matches!(next, PartState::Abandoning | PartState::Completed | PartState::Failed)
        }
        PartState::Completed => matches!(next, PartState::Failed | PartState::Collected),
        PartState::Failed => {
            next == PartState::Collected
                || (lost && matches!(next, PartState::Uploaded | PartState::Abandoning))
        }
        PartState::Collected => false,
    }
}

/// How long something has been noted that becomes a reason after a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Noted {
    No,
    Lately,
    ADay,
}

/// The one repeat of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Repeat {
    No,
    Due,
    Began,
}

/// The ranks of a job's state: it waits for rows, it has started, it has ended.
pub(crate) const RANKS: [u32; 3] = [1, 10, 100];
pub(crate) const STARTED: u8 = 1;
pub(crate) const ENDED: u8 = 2;

/// The part's record (`shared/src/part/record.rs`). Until it is COLLECTED it stands in the open index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) at: PartState,
    pub(crate) job: Option<u8>,
    pub(crate) rank: u8,
    /// `upload_began_at`.
    pub(crate) began: bool,
    /// `absent_seconds` and `absent_at`.
    pub(crate) absent: Noted,
    pub(crate) overdue: Noted,
    pub(crate) repeat: Repeat,
    /// `abandoned_at`; and whether it is over an hour ago, which counts only if nothing was sent.
    pub(crate) claimed: bool,
    pub(crate) claimed_long: bool,
    pub(crate) replans: u8,
    pub(crate) ended_unsent: u8,
    /// `failure.lost`.
    pub(crate) lost: bool,
    /// `cancelled_at`; and whether it is over a day ago.
    pub(crate) cancelled: bool,
    pub(crate) cancelled_long: bool,
    /// It names results that are kept.
    pub(crate) held: bool,
    /// Whether the work file it names is there.
    pub(crate) file: bool,
    /// Who holds the lease; only in the variant that has one.
    pub(crate) lease: Option<u8>,
}

impl Record {
    pub(crate) const FIRST: Record = Record {
        at: PartState::Planned,
        job: None,
        rank: 0,
        began: false,
        absent: Noted::No,
        overdue: Noted::No,
        repeat: Repeat::No,
        claimed: false,
        claimed_long: false,
        replans: 0,
        ended_unsent: 0,
        lost: false,
        cancelled: false,
        cancelled_long: false,
        held: false,
        file: false,
        lease: None,
    };

    /// Without a job and all that was noted of it.
    pub(crate) fn without_job(self) -> Record {
        let Record { at, replans, ended_unsent, cancelled, cancelled_long, .. } = self;
        let Record { file, lease, .. } = self;
        Record {
            at,
            replans,
            ended_unsent,
            cancelled,
            cancelled_long,
            file,
            lease,
            ..Record::FIRST
        }
    }

    /// Nothing was sent to its job: `!PartRecord::may_be_sent`.
    pub(crate) fn is_unsent(&self) -> bool {
        !self.began && self.rank < STARTED
    }

    /// Nothing but the store of its rows can follow.
    pub(crate) fn has_ended(&self) -> bool {
        self.at == PartState::Collected || (self.at == PartState::Failed && !self.lost)
    }

    /// What poll keeps of it: what `decide` and the conditions read.
    pub(crate) fn seen(self) -> Record {
        let (replans, ended_unsent) =
            if self.began { (self.replans, 0) } else { (0, self.ended_unsent) };
        Record {
            replans,
            ended_unsent,
            claimed: false,
            file: false,
            lease: None,
            lost: false,
            held: false,
            ..self
        }
    }

    /// Without what is not read of such a record.
    pub(crate) fn tidy(self) -> Record {
        let Record { job, rank, began, repeat, lost, held, claimed, .. } = self;
        let mut kept = self.without_job();
        if self.has_ended() {
            (kept.cancelled, kept.cancelled_long) = (false, false);
        }
        match self.at {
            PartState::Planned => self,
            PartState::Collected => Record { job, replans: 0, ended_unsent: 0, ..kept },
            PartState::Failed if lost => Record { job, rank, began, repeat, lost, claimed, ..kept },
            PartState::Failed => Record { job, rank, replans: 0, ended_unsent: 0, ..kept },
            // Of a job that has started it no longer matters how its upload went.
            _ if rank >= STARTED => {
                let Record { absent, overdue, .. } = self;
                Record {
                    job,
                    rank,
                    held,
                    absent,
                    overdue,
                    began: true,
                    replans: 0,
                    ended_unsent: 0,
                    ..kept
                }
            }
            _ => self,
        }
    }
}
