//! Which jobs to ask the API for in a tick, and what its answers say. Makes no call: requests out, answers in.
//!
//! Jobs are asked for by the hundred. Where an answer is an error, or leaves jobs out, it is asked again for less, down to single
//! jobs: one odd job holds back no other. A job counts as absent only by an answer to a request for it alone, or for it and the
//! witness (a job of ours that the API reports), and only in a tick in which the API reported a job of ours: an answer that
//! reports nothing at all says nothing of any job.

use moondrop_shared::error_chain::describe;
use moondrop_shared::job::{Job, Reported};
use moondrop_shared::part::decide::JobAnswer;
use moondrop_shared::services::batch_api::{ApiError, JOBS_PER_GET};
use std::collections::{HashMap, VecDeque};

/// The fewest calls that a tick may make; with many jobs it is two for each hundred.
const FEWEST_CALLS: usize = 200;
/// How often in a tick a request that was not answered in time is asked again in halves: each may take as long.
const SLOW_SPLITS: usize = 8;
/// Every so many calls, one goes to what remains to be asked in smaller numbers, before all hundreds are asked.
const EVERY: usize = 4;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// The jobs it asks for; none if it asks for the witness alone.
    pub(crate) ids: Vec<String>,
    /// The witness, asked for beside them.
    pub(crate) witness: Option<String>,
}

impl Request {
    /// All ids of the request.
    pub(crate) fn all(&self) -> Vec<&str> {
        self.ids.iter().chain(&self.witness).map(String::as_str).collect()
    }
}

/// The queries of one tick.
#[derive(Debug)]
pub(crate) struct JobQueries {
    hundreds: VecDeque<Vec<String>>,
    singles: VecDeque<String>,
    /// What an answer said nothing of: asked again in smaller numbers; the last first, so that single jobs are reached.
    rest: Vec<(Vec<String>, bool)>,
    probe: bool,
    probed: bool,
    witness: Option<String>,
    /// This API answers 404 where a job is unknown: then it is asked for alone.
    answers_404: bool,
    reported: bool,
    /// Left out, by an answer that counts once a job of ours is reported.
    left_out: Vec<String>,
    /// Jobs that were left out together with the witness.
    silent: usize,
    /// Jobs that are not permitted, each asked for alone.
    forbidden: usize,
    /// How many jobs nothing was heard of.
    given_up: usize,
    calls_left: usize,
    slow_splits_left: usize,
    stopped: bool,
    /// Why a request was made again for less: a failure only if that did not come to an end.
    split_error: Option<ApiError>,
    failure: Option<ApiError>,
}

impl JobQueries {
    /// Asks for these jobs, and one by one for those that were absent before.
    pub(crate) fn new(jobs: &[String], absent: Vec<String>, witness: Option<String>) -> Self {
        let hundreds: VecDeque<_> = jobs.chunks(JOBS_PER_GET).map(<[String]>::to_vec).collect();
        JobQueries {
            calls_left: FEWEST_CALLS.max(2 * (jobs.len() + absent.len()).div_ceil(JOBS_PER_GET)),
            slow_splits_left: SLOW_SPLITS,
            hundreds,
            singles: absent.into(),
            rest: Vec::new(),
            probe: false,
            probed: false,
            witness,
            answers_404: false,
            reported: false,
            left_out: Vec::new(),
            silent: 0,
            forbidden: 0,
            given_up: 0,
            stopped: false,
            split_error: None,
            failure: None,
        }
    }

    /// The next request; `None` if there is none for now.
    pub(crate) fn next(&mut self) -> Option<Request> {
        if self.stopped || self.calls_left == 0 {
            return None;
        }
        let request = self.choose()?;
        self.calls_left -= 1;
        Some(request)
    }

    fn choose(&mut self) -> Option<Request> {
        if std::mem::take(&mut self.probe) {
            return Some(Request { ids: Vec::new(), witness: self.witness.clone() });
        }
        let turn = self.calls_left.is_multiple_of(EVERY);
        if !turn && let Some(ids) = self.hundreds.pop_front() {
            return Some(self.request(ids, false));
        }
        // Jobs that were absent before, and what is new, take turns.
        let single = |queries: &mut Self| queries.singles.pop_front().map(|id| (vec![id], false));
        let less = if (self.calls_left / EVERY).is_multiple_of(2) {
            single(self).or_else(|| self.rest.pop())
        } else {
            self.rest.pop().or_else(|| single(self))
        };
        match less {
            Some((ids, alone)) => Some(self.request(ids, alone)),
            None => self.hundreds.pop_front().map(|ids| self.request(ids, false)),
        }
    }

    fn request(&self, ids: Vec<String>, alone: bool) -> Request {
        let beside = ids.len() == 1 && !alone && !self.answers_404;
        Request { witness: self.witness.clone().filter(|witness| beside && *witness != ids[0]), ids }
    }

    /// Takes in an answer; gives what was heard of jobs by it.
    pub(crate) fn answered(&mut self, request: Request, answer: Result<Reported, ApiError>) -> Vec<(String, JobAnswer)> {
        let mut heard = match answer {
            Ok(reported) => self.reported(request, reported),
            Err(error) => self.failed(request, error),
        };
        if self.reported {
            heard.extend(self.left_out.drain(..).map(|id| (id, JobAnswer::Absent)));
        }
        heard
    }

    fn reported(&mut self, request: Request, reported: Reported) -> Vec<(String, JobAnswer)> {
        let mut known: HashMap<String, Job> = HashMap::new();
        for job in reported.jobs {
            // Jobs that were not asked for are passed over; of one that stands twice, what is further along counts.
            if known.get(&job.id).is_none_or(|k| k.state.rank() < job.state.rank()) {
                known.insert(job.id.clone(), job);
            }
        }
        let witnessed = request.witness.as_ref().map(|witness| known.contains_key(witness));
        let asked = request.ids.len();
        let (told, rest): (Vec<_>, Vec<_>) = request.ids.into_iter().partition(|id| known.contains_key(id));
        if let Some(last) = told.last() {
            self.witness = Some(last.clone());
        }
        self.reported |= !told.is_empty() || witnessed == Some(true);
        let mut heard: Vec<_> =
            told.into_iter().filter_map(|id| known.remove(&id).map(|job| (id, JobAnswer::Job(Box::new(job))))).collect();
        match (rest.len(), witnessed) {
            (0, Some(false)) if asked == 0 => self.witness = None,
            (0, _) => {}
            // A record that does not say which job it is about may be this one's.
            (1, _) if asked == 1 && reported.nameless > 0 => heard.extend(self.give_up(rest, None)),
            (1, None | Some(true)) if asked == 1 => self.left_out.extend(rest),
            // It leaves out the witness, too: it says nothing of either.
            (1, Some(false)) if asked == 1 => {
                self.silent += 1;
                heard.extend(rest.into_iter().map(|id| (id, JobAnswer::Nothing)));
            }
            (n, _) if n < asked => self.rest.push((rest, false)),
            _ => self.split(rest, false),
        }
        heard
    }

    fn failed(&mut self, request: Request, error: ApiError) -> Vec<(String, JobAnswer)> {
        let Request { ids, witness } = request;
        let beside = witness.is_some() && !ids.is_empty();
        if error.stops_all() {
            self.stop(error);
            return Vec::new();
        }
        match (&error, ids.len()) {
            // The witness alone.
            (ApiError::NotPermitted(_), 0) => self.stop(ApiError::Key),
            (ApiError::NotFound(_), 0) => self.witness = None,
            (_, 0) => {}
            (ApiError::Unknown(_), n) if n > 1 && self.slow_splits_left > 0 => {
                self.slow_splits_left -= 1;
                self.split_error.get_or_insert(error);
                self.split(ids, true);
                return Vec::new();
            }
            (ApiError::Unknown(_) | ApiError::Unreachable(_), _) => return self.give_up(ids, Some(error)),
            (ApiError::NotFound(_), 1) if beside => {
                self.answers_404 = true;
                self.probe_witness();
                self.rest.push((ids, true));
            }
            (ApiError::NotFound(_), 1) => self.left_out.extend(ids),
            (ApiError::NotFound(_), _) => {
                self.answers_404 = true;
                self.split(ids, true);
            }
            // The key's rights, or those for one of these jobs: the witness tells.
            (ApiError::NotPermitted(_), n) => {
                self.probe_witness();
                match n {
                    1 if beside => self.rest.push((ids, true)),
                    1 => {
                        self.forbidden += 1;
                        return self.give_up(ids, Some(error));
                    }
                    _ => self.split(ids, true),
                }
            }
            (_, 1) if beside => self.rest.push((ids, true)),
            (_, 1) => return self.give_up(ids, Some(error)),
            (_, _) => {
                self.split_error.get_or_insert(error);
                self.split(ids, true);
                return Vec::new();
            }
        }
        Vec::new()
    }

    /// Nothing is heard of these in this tick: the next one asks again.
    fn give_up(&mut self, ids: Vec<String>, error: Option<ApiError>) -> Vec<(String, JobAnswer)> {
        self.given_up += ids.len();
        let job = ids.first().filter(|_| ids.len() == 1).cloned();
        let error = error.unwrap_or_else(|| ApiError::Unclear(anyhow::anyhow!("the API's answer says nothing of a job")));
        let shown = describe(&anyhow::anyhow!("{error}"));
        tracing::warn!(jobs = ids.len(), job, error = shown, "the API said nothing of some jobs");
        self.failure.get_or_insert(error);
        ids.into_iter().map(|id| (id, JobAnswer::Nothing)).collect()
    }

    fn split(&mut self, mut ids: Vec<String>, alone: bool) {
        let half = ids.split_off(ids.len() / 2);
        self.rest.push((half, alone));
        self.rest.push((ids, alone));
    }

    fn probe_witness(&mut self) {
        if !self.reported && !self.probed && self.witness.is_some() {
            (self.probe, self.probed) = (true, true);
        }
    }

    fn stop(&mut self, error: ApiError) {
        self.stopped = true;
        self.failure = Some(error);
    }

    /// The jobs that were left out in a tick in which nothing was reported: that says nothing of them.
    pub(crate) fn unheard(&mut self) -> Vec<(String, JobAnswer)> {
        self.silent += self.left_out.len();
        self.left_out.drain(..).map(|id| (id, JobAnswer::Nothing)).collect()
    }

    /// What the tick has come to: the failure that is to be told, if any.
    pub(crate) fn outcome(mut self) -> Outcome {
        let nothing = !self.reported && !self.stopped;
        if nothing && self.forbidden > 0 && self.forbidden == self.given_up {
            // Nothing but "not permitted", of every job that was asked for.
            self.failure = Some(ApiError::Key);
        }
        Outcome {
            reported: self.reported,
            left_out: self.left_out.len() + self.silent,
            witness: self.witness.filter(|_| self.reported),
            failure: self.failure.or(self.split_error.filter(|_| !self.rest.is_empty())),
        }
    }
}

/// What a tick's asking has come to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Whether the API reported a job of ours.
    pub(crate) reported: bool,
    /// How many jobs it left out, where it reported none.
    pub(crate) left_out: usize,
    /// The job of ours that it reported last.
    pub(crate) witness: Option<String>,
    /// Why something was not learnt.
    pub(crate) failure: Option<ApiError>,
}
