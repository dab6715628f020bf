//! What stands at one moment: the part's record, the API's jobs, and how far each invocation has come.

use moondrop_shared::record::PartState;

/// Jobs that exist at once; one that is cancelled and that no one refers to makes room.
pub(crate) const JOBS: usize = 3;

/// The part's state in the ledger, in the order of `PartState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum At {
    Planned,
    Created,
    Abandoning,
    Uploaded,
    Completed,
    Failed,
    Collected,
}

impl At {
    pub(crate) const ALL: [(At, PartState); 7] = [
        (At::Planned, PartState::Planned),
        (At::Created, PartState::Created),
        (At::Abandoning, PartState::Abandoning),
        (At::Uploaded, PartState::Uploaded),
        (At::Completed, PartState::Completed),
        (At::Failed, PartState::Failed),
        (At::Collected, PartState::Collected),
    ];

    pub(crate) fn of(state: PartState) -> At {
        At::ALL.into_iter().find(|(_, s)| *s == state).map_or(At::Planned, |(at, _)| at)
    }

    pub(crate) fn state(self) -> PartState {
        At::ALL[self as usize].1
    }

    /// The arrows of the diagram in `shared/src/ledger.rs`.
    pub(crate) fn may_become(self, next: At) -> bool {
        match self {
            At::Planned => matches!(next, At::Created | At::Failed),
            At::Created => matches!(next, At::Uploaded | At::Abandoning | At::Completed | At::Failed),
            At::Abandoning => matches!(next, At::Planned | At::Uploaded | At::Completed | At::Failed),
            At::Uploaded => matches!(next, At::Completed | At::Failed),
            At::Completed | At::Failed => next == At::Collected,
            At::Collected => false,
        }
    }
}

/// `missing_since`, which poll notes of a job that GET left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Missing {
    No,
    Lately,
    /// Lately; and GET has shown the job since, and the note was left standing.
    Shown,
    OverAnHour,
}

/// The part's record (`shared/src/record.rs`). Until it is COLLECTED it stands in the open index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) at: At,
    pub(crate) job: Option<u8>,
    pub(crate) rank: u8,
    pub(crate) missing: Missing,
    /// Whether the work file it names is there.
    pub(crate) file: bool,
    /// Who holds the lease; only in the variant that has one.
    pub(crate) lease: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    Initialized,
    Started,
    Completed,
    Error,
    Cancelled,
    Gone,
}

/// The job's age in steps: fresh; old, the worker refuses (3 h 45); expired, the API refuses (4 h); given up (4 h 30); an
/// orphan if no record knows it (5 h).
pub(crate) const OLD: u8 = 1;
pub(crate) const EXPIRED: u8 = 2;
pub(crate) const GIVEN_UP: u8 = 3;
pub(crate) const ORPHAN: u8 = 4;

/// A job as it truly stands at the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Job {
    pub(crate) phase: Phase,
    /// It has rows.
    pub(crate) fed: bool,
    /// It began to evaluate them.
    pub(crate) started: bool,
    /// It stood in the record once.
    pub(crate) recorded: bool,
    /// The earliest phase a lagging GET may still show.
    pub(crate) floor: Phase,
    pub(crate) age: u8,
}

impl Job {
    pub(crate) const NEW: Job =
        Job { phase: Phase::Initialized, fed: false, started: false, recorded: false, floor: Phase::Initialized, age: 0 };

    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::Cancelled | Phase::Gone)
    }
}

/// How far an invocation of submit has come (`functions/submit/src/feed.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Feeding {
    Idle,
    /// It read PLANNED and created a job, which is not recorded yet.
    Made,
    /// Only in the variant that uploads first.
    MadeAndFed,
    /// Its recording was answered with a failed condition, and it looks who stands there.
    Unsure,
    /// Its job is not the part's: it cancels it.
    Loser,
    /// It read CREATED, and its upload is under way.
    Sending,
    /// Its upload was accepted.
    Fed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Worker {
    pub(crate) step: Feeding,
    pub(crate) job: Option<u8>,
    /// The job's age when it took it up: an invocation lives 15 minutes.
    pub(crate) since: u8,
}

impl Worker {
    pub(crate) const IDLE: Worker = Worker { step: Feeding::Idle, job: None, since: 0 };
}

/// What poll is about to do: `Move` of `functions/poll/src/decide.rs`, and the second halves of `carry_out`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Act {
    Nothing,
    Record {
        rank: u8,
        to: Option<At>,
        cancelled: bool,
    },
    NoteMissing(bool),
    Lose,
    Abandon,
    Cancel,
    PlanAgain,
    /// Only in the variants without the claim.
    CancelUnclaimed,
    CancelAndForget,
    PlanUnclaimed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Poll {
    Idle,
    /// It read the record out of the open index, and has not asked yet.
    Saw {
        was: Record,
        since: u8,
    },
    Will {
        plan: Act,
        was: At,
        job: u8,
        since: u8,
    },
}

impl Poll {
    pub(crate) fn holds(&self) -> Option<(u8, u8)> {
        match *self {
            Poll::Idle => None,
            Poll::Saw { was, since } => was.job.map(|job| (job, since)),
            Poll::Will { job, since, .. } => Some((job, since)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Collect {
    Idle,
    /// It has read the part so, joined its rows and stored them under a key of its own.
    Joined {
        was: At,
        job: Option<u8>,
    },
    /// Its recording was answered with a failed condition, and it looks whose file stands there.
    Unsure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct State {
    pub(crate) record: Record,
    pub(crate) jobs: [Option<Job>; JOBS],
    pub(crate) workers: [Worker; 2],
    pub(crate) poll: Poll,
    pub(crate) collect: Collect,
    /// Jobs that ever started; two is too many.
    pub(crate) started: u8,
}

impl State {
    pub(crate) const FIRST: State = State {
        record: Record { at: At::Planned, job: None, rank: 0, missing: Missing::No, file: false, lease: None },
        jobs: [None; JOBS],
        workers: [Worker::IDLE; 2],
        poll: Poll::Idle,
        collect: Collect::Idle,
        started: 0,
    };

    pub(crate) fn job(&self, id: u8) -> Option<&Job> {
        self.jobs[id as usize].as_ref()
    }

    pub(crate) fn is(&self, at: At, job: u8) -> bool {
        self.record.at == at && self.record.job == Some(job)
    }

    /// Makes room: forgets cancelled jobs that no one refers to; and of the others that no one refers to their age, which only
    /// the sweep asks for.
    pub(crate) fn tidy(&mut self, bounded: bool) {
        if !bounded {
            self.workers.iter_mut().for_each(|worker| worker.since = 0);
        }
        for id in 0..JOBS as u8 {
            let referred = self.record.job == Some(id)
                || self.workers.iter().any(|w| w.job == Some(id))
                || self.poll.holds().is_some_and(|(job, _)| job == id);
            let Some(job) = &mut self.jobs[id as usize] else { continue };
            if !referred && !job.is_live() {
                self.jobs[id as usize] = None;
            } else if !referred {
                job.age = ORPHAN;
            }
        }
    }

    /// One of the states that differ from this one only in the names of the jobs and workers.
    pub(crate) fn canonical(mut self) -> State {
        let mut order: [u8; JOBS] = std::array::from_fn(|i| i as u8);
        order.sort_by_key(|&id| {
            let mut holders = self.workers.map(|w| (w.job == Some(id)).then_some((w.step, w.since)));
            holders.sort();
            let polled = self.poll.holds().is_some_and(|(job, _)| job == id);
            (self.record.job != Some(id), !polled, self.jobs[id as usize].is_none(), holders, self.jobs[id as usize])
        });
        let mut name = [0; JOBS];
        order.iter().enumerate().for_each(|(new, &old)| name[old as usize] = new as u8);
        let rename = |job: &mut Option<u8>| *job = job.map(|id| name[id as usize]);
        self.jobs = order.map(|old| self.jobs[old as usize]);
        rename(&mut self.record.job);
        self.workers.iter_mut().for_each(|w| rename(&mut w.job));
        match &mut self.poll {
            Poll::Idle => {}
            Poll::Saw { was, .. } => rename(&mut was.job),
            Poll::Will { job, .. } => *job = name[*job as usize],
        }
        if let Collect::Joined { job, .. } = &mut self.collect {
            rename(job);
        }
        if self.record.lease.is_none() {
            self.workers.sort();
        }
        self
    }
}
