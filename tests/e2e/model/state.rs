//! What stands at one moment: the part's record, the API's jobs, and how far each invocation has
//! come.

pub(crate) use crate::record::{ENDED, Noted, PartState, RANKS, Record, Repeat, STARTED};

/// Jobs that exist at once; one that is cancelled and that no one refers to makes room.
pub(crate) const JOBS: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    Initialized,
    Started,
    Completed,
    Error,
    Cancelled,
    Gone,
}

/// The job's age in steps: fresh; old, the worker refuses (3 h 45); expired, the API refuses (4 h);
/// given up (4 h 30); an orphan if no record knows it (5 h); a day after the first upload began,
/// where that counts; a day after the URL ran out (28 h); and older than the API keeps any (35
/// days).
pub(crate) const OLD: u8 = 1;
pub(crate) const EXPIRED: u8 = 2;
pub(crate) const ORPHAN: u8 = 4;
pub(crate) const EARLY_DAY: u8 = 5;
pub(crate) const DAY: u8 = 6;
pub(crate) const OVERDUE: u8 = 7;

/// A job as it truly stands at the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Job {
    pub(crate) phase: Phase,
    /// It has rows.
    pub(crate) has_rows: bool,
    /// It began to evaluate them.
    pub(crate) started: bool,
    /// It stood in the record once.
    pub(crate) recorded: bool,
    /// Moondrop cancelled it.
    pub(crate) by_us: bool,
    /// How often its upload was repeated.
    pub(crate) repeats: u8,
    /// The earliest phase a lagging GET may still show.
    pub(crate) floor: Phase,
    pub(crate) age: u8,
}

impl Job {
    pub(crate) const NEW: Job = Job {
        phase: Phase::Initialized,
        has_rows: false,
        started: false,
        recorded: false,
        by_us: false,
        repeats: 0,
        floor: Phase::Initialized,
        age: 0,
    };

    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::Cancelled | Phase::Gone)
    }
}

/// How far an invocation of submit has come (`functions/submit/src`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Submit {
    Idle,
    /// It read PLANNED and created a job, which is not recorded yet.
    Created,
    /// Only in the variant that uploads first.
    CreatedAndSent,
    /// The answer to its recording was lost, and the client sends it again.
    Unsure,
    /// Its job is not the part's: it cancels it.
    NotRecorded,
    /// It read CREATED, and is to record that its upload begins.
    Read,
    /// That is recorded, and its upload is under way. `alone` if no other's has begun.
    Sending {
        alone: bool,
    },
    /// Its upload was accepted.
    Sent,
    /// It recorded that the one repeat begins, and that is under way.
    Repeating,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Worker {
    pub(crate) step: Submit,
    pub(crate) job: Option<u8>,
    /// The job's age when it began with it: an invocation lives 15 minutes.
    pub(crate) since: u8,
}

impl Worker {
    pub(crate) const IDLE: Worker = Worker { step: Submit::Idle, job: None, since: 0 };
}

/// What poll is about to do: `Action` of `shared/src/part/decide.rs`, and what follows it in the
/// same tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Act {
    Nothing,
    Record {
        rank: u8,
        to: Option<PartState>,
        cancelled: bool,
    },
    NoteAbsent,
    NoteReported,
    NoteOverdue,
    Lose,
    Fail,
    Abandon {
        ended: bool,
    },
    Cancel,
    PlanAgain,
    FailCancelled,
    Repeat,
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
    /// It is to cancel the job of the part that it claimed.
    Will {
        plan: Act,
        was: Record,
        since: u8,
    },
}

impl Poll {
    pub(crate) fn holds(&self) -> Option<(u8, u8)> {
        match *self {
            Poll::Idle => None,
            Poll::Saw { was, since } | Poll::Will { was, since, .. } => {
                was.job.map(|job| (job, since))
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Collect {
    Idle,
    /// It has read the part so, joined its rows and stored them under a key of its own.
    Joined {
        was: PartState,
        job: Option<u8>,
    },
    /// The API reports the job of a part that is lost.
    Found {
        job: u8,
    },
    /// The answer to its recording was lost, and the client sends it again.
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
    /// `cancelled_at` of the drop.
    pub(crate) requested: bool,
}

impl State {
    pub(crate) const FIRST: State = State {
        record: Record::FIRST,
        jobs: [None; JOBS],
        workers: [Worker::IDLE; 2],
        poll: Poll::Idle,
        collect: Collect::Idle,
        started: 0,
        requested: false,
    };

    pub(crate) fn job(&self, id: u8) -> Option<&Job> {
        self.jobs[id as usize].as_ref()
    }

    pub(crate) fn is(&self, at: PartState, job: u8) -> bool {
        self.record.at == at && self.record.job == Some(job)
    }

    /// Makes room: forgets what no one reads of the record and of jobs, and cancelled jobs that no
    /// one refers to. For a trace, only if there is no other room: its name is not to be another's
    /// at once.
    pub(crate) fn tidy(&mut self, stalls: bool, for_trace: bool) {
        self.record = self.record.tidy();
        self.requested &= !self.record.has_ended();
        if stalls {
            self.workers.iter_mut().for_each(|worker| worker.since = 0);
        }
        for id in 0..JOBS as u8 {
            let held = self.workers.iter().any(|w| w.job == Some(id))
                || self.poll.holds().is_some_and(|(job, _)| job == id)
                || matches!(self.collect, Collect::Found { job } if job == id);
            let own = self.record.job == Some(id);
            let Some(job) = &mut self.jobs[id as usize] else { continue };
            let idle = !job.is_live() || (job.phase == Phase::Error && !job.has_rows);
            if !held && !own && idle {
                *job = Job { phase: Phase::Gone, age: ORPHAN, ..Job::NEW };
                if !for_trace || self.jobs.iter().all(Option::is_some) {
                    self.jobs[id as usize] = None;
                }
                continue;
            }
            if job.phase == Phase::Gone {
                let age = if !held && self.record.rank >= STARTED {
                    job.age.max(ORPHAN)
                } else {
                    job.age
                };
                *job = Job { phase: Phase::Gone, age, recorded: true, ..Job::NEW };
            }
            // Only the sweep asks for its age.
            if !held && !own {
                job.age = job.age.max(ORPHAN);
            }
            // That GET may show it as it was before it started matters no more, and whether it is
            // overdue only of one that is gone.
            if !held && own && job.started && self.record.rank >= STARTED {
                (job.age, job.floor) = (ORPHAN, job.floor.max(Phase::Started));
            }
        }
    }

    /// One of the states that differ from this one only in the names of the jobs and workers.
    pub(crate) fn canonical(mut self) -> State {
        let mut order: [u8; JOBS] = std::array::from_fn(|i| i as u8);
        order.sort_by_key(|&id| {
            let mut holders =
                self.workers.map(|w| (w.job == Some(id)).then_some((w.step, w.since)));
            holders.sort();
            let polled = self.poll.holds().is_some_and(|(job, _)| job == id);
            (
                self.record.job != Some(id),
                !polled,
                self.jobs[id as usize].is_none(),
                holders,
                self.jobs[id as usize],
            )
        });
        let mut name = [0; JOBS];
        order.iter().enumerate().for_each(|(new, &old)| name[old as usize] = new as u8);
        let rename = |job: &mut Option<u8>| *job = job.map(|id| name[id as usize]);
        self.jobs = order.map(|old| self.jobs[old as usize]);
        rename(&mut self.record.job);
        self.workers.iter_mut().for_each(|w| rename(&mut w.job));
        match &mut self.poll {
            Poll::Idle => {}
            Poll::Saw { was, .. } | Poll::Will { was, .. } => rename(&mut was.job),
        }
        match &mut self.collect {
            Collect::Joined { job, .. } => rename(job),
            Collect::Found { job } => *job = name[*job as usize],
            Collect::Idle | Collect::Unsure => {}
        }
        if self.record.lease.is_none() {
            self.workers.sort();
        }
        self
    }
}
