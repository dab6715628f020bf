//! Which jobs to ask the API for in a tick, and what its answers mean. Makes no call: requests out,
//! answers in.
//!
//! A request asks for a hundred jobs. If the answer is an error, or leaves jobs out, smaller
//! requests follow, down to single jobs: one malformed job does not hold back others. A job counts
//! as absent only by an answer to a request for it alone, or for it and the witness (a job of ours
//! that the API reports), and only in a tick in which the API reported a job of ours: an API that
//! reports no job at all proves nothing about any job.

use moondrop_shared::error_chain::describe;
use moondrop_shared::job::{Job, Reported};
use moondrop_shared::part::decide::JobAnswer;
use moondrop_shared::services::batch_api::{ApiError, JOBS_PER_GET};
use std::collections::{HashMap, VecDeque};

/// The fewest calls that a tick may make; with many jobs it may make two for each hundred.
const FEWEST_CALLS: usize = 200;
/// How many requests of a tick are split after they were not answered in time: each half may take
/// as long.
const SLOW_SPLITS: usize = 8;
/// One call in so many is a smaller request, before all hundreds are asked for.
const EVERY: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// The jobs it asks for; none if it asks for the witness alone.
    pub(crate) ids: Vec<String>,
    /// The witness, if it is asked for as well.
    pub(crate) witness: Option<String>,
}

impl Request {
    pub(crate) fn all(&self) -> Vec<&str> {
        self.ids.iter().chain(&self.witness).map(String::as_str).collect()
    }
}

/// The queries of one tick.
#[derive(Debug)]
pub(crate) struct JobQueries {
    hundreds: VecDeque<Vec<String>>,
    singles: VecDeque<String>,
    /// Jobs without an answer, to be asked for again in smaller requests, the last first, so that
    /// it comes to single jobs; and whether to ask without the witness.
    rest: Vec<(Vec<String>, bool)>,
    /// Ask for the witness alone next.
    probe: bool,
    probed: bool,
    witness: Option<String>,
    /// The API answers 404 if it does not know a job: then each job is asked for without the
    /// witness.
    answers_404: bool,
    /// The API reported a job of ours in this tick.
    reported: bool,
    /// Jobs that were left out by an answer that counts once a job of ours is reported.
    left_out: Vec<String>,
    /// How many jobs were left out by answers that do not count.
    left_out_uncounted: usize,
    /// How many jobs were asked for alone and answered with 403.
    forbidden: usize,
    /// How many jobs have no answer in this tick.
    unanswered: usize,
    calls_left: usize,
    slow_splits_left: usize,
    stopped: bool,
    /// Why a request was split; a failure only if some of its jobs were not asked for again.
    split_error: Option<ApiError>,
    failure: Option<ApiError>,
}

impl JobQueries {
    /// Queries for these jobs, and one by one for those that were absent before.
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
            left_out_uncounted: 0,
            forbidden: 0,
            unanswered: 0,
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
        // Jobs that were absent before, and smaller requests, take turns.
        let single = |queries: &mut Self| queries.singles.pop_front().map(|id| (vec![id], false));
        let smaller = if (self.calls_left / EVERY).is_multiple_of(2) {
            single(self).or_else(|| self.rest.pop())
        } else {
            self.rest.pop().or_else(|| single(self))
        };
        match smaller {
            Some((ids, alone)) => Some(self.request(ids, alone)),
            None => self.hundreds.pop_front().map(|ids| self.request(ids, false)),
        }
    }

    fn request(&self, ids: Vec<String>, alone: bool) -> Request {
        let with_witness = ids.len() == 1 && !alone && !self.answers_404;
        Request {
            witness: self.witness.clone().filter(|witness| with_witness && *witness != ids[0]),
            ids,
        }
    }

    /// Takes the answer to a request; returns the answers about jobs.
    pub(crate) fn answered(
        &mut self,
        request: Request,
        answer: Result<Reported, ApiError>,
    ) -> Vec<(String, JobAnswer)> {
        let mut answers = match answer {
            Ok(reported) => self.reported(request, reported),
            Err(error) => self.failed(request, error),
        };
        if self.reported {
            answers.extend(self.left_out.drain(..).map(|id| (id, JobAnswer::Absent)));
        }
        answers
    }

    fn reported(&mut self, request: Request, reported: Reported) -> Vec<(String, JobAnswer)> {
        let mut reported_jobs: HashMap<String, Job> = HashMap::new();
        for job in reported.jobs {
            // Jobs that were not asked for are ignored; of two records of a job, the one that is
            // further along counts.
            if reported_jobs.get(&job.id).is_none_or(|k| k.state.rank() < job.state.rank()) {
                reported_jobs.insert(job.id.clone(), job);
            }
        }
        let witnessed = request.witness.as_ref().map(|witness| reported_jobs.contains_key(witness));
        let asked = request.ids.len();
        let (found, rest): (Vec<_>, Vec<_>) =
            request.ids.into_iter().partition(|id| reported_jobs.contains_key(id));
        if let Some(last) = found.last() {
            self.witness = Some(last.clone());
        }
        self.reported |= !found.is_empty() || witnessed == Some(true);
        let mut answers: Vec<_> = found
            .into_iter()
            .filter_map(|id| {
                reported_jobs.remove(&id).map(|job| (id, JobAnswer::Job(Box::new(job))))
            })
            .collect();
        match (rest.len(), witnessed) {
            (0, Some(false)) if asked == 0 => self.witness = None,
            (0, _) => {}
            // A record without an id may be this job's.
            (1, _) if asked == 1 && reported.nameless > 0 => {
                answers.extend(self.leave_unanswered(rest, None))
            }
            (1, None | Some(true)) if asked == 1 => self.left_out.extend(rest),
            // The answer leaves out the witness too, so it does not count.
            (1, Some(false)) if asked == 1 => {
                self.left_out_uncounted += 1;
                answers.extend(rest.into_iter().map(|id| (id, JobAnswer::Nothing)));
            }
            (n, _) if n < asked => self.rest.push((rest, false)),
            _ => self.split(rest, false),
        }
        answers
    }

    fn failed(&mut self, request: Request, error: ApiError) -> Vec<(String, JobAnswer)> {
        let Request { ids, witness } = request;
        let with_witness = witness.is_some() && !ids.is_empty();
        if error.stops_all() {
            self.stop(error);
            return Vec::new();
        }
        match (&error, ids.len()) {
            // The witness alone.
            (ApiError::NotPermitted(_), 0) => self.stop(error),
            (ApiError::NotFound(_), 0) => self.witness = None,
            (_, 0) => {}
            (ApiError::Unknown(_), n) if n > 1 && self.slow_splits_left > 0 => {
                self.slow_splits_left -= 1;
                self.split_error.get_or_insert(error);
                self.split(ids, true);
                return Vec::new();
            }
            (ApiError::Unknown(_) | ApiError::Unreachable(_), _) => {
                return self.leave_unanswered(ids, Some(error));
            }
            (ApiError::NotFound(_), 1) if with_witness => {
                self.answers_404 = true;
                self.probe_witness();
                self.rest.push((ids, true));
            }
            (ApiError::NotFound(_), 1) => self.left_out.extend(ids),
            (ApiError::NotFound(_), _) => {
                self.answers_404 = true;
                self.split(ids, true);
            }
            // It is about the key's rights, or about one of these jobs: the witness shows which.
            (ApiError::NotPermitted(_), n) => {
                self.probe_witness();
                match n {
                    1 if with_witness => self.rest.push((ids, true)),
                    1 => {
                        self.forbidden += 1;
                        return self.leave_unanswered(ids, Some(error));
                    }
                    _ => self.split(ids, true),
                }
            }
            (_, 1) if with_witness => self.rest.push((ids, true)),
            (_, 1) => return self.leave_unanswered(ids, Some(error)),
            (_, _) => {
                self.split_error.get_or_insert(error);
                self.split(ids, true);
                return Vec::new();
            }
        }
        Vec::new()
    }

    /// These jobs get no answer in this tick; the next one asks again.
    fn leave_unanswered(
        &mut self,
        ids: Vec<String>,
        error: Option<ApiError>,
    ) -> Vec<(String, JobAnswer)> {
        self.unanswered += ids.len();
        let job = ids.first().filter(|_| ids.len() == 1).cloned();
        let error = error.unwrap_or_else(|| {
            ApiError::Unclear(anyhow::anyhow!("the API's answer does not report a job"))
        });
        let shown = describe(&anyhow::anyhow!("{error}"));
        tracing::warn!(jobs = ids.len(), job, error = shown, "the API did not report some jobs");
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

    /// The jobs that were left out in a tick in which no job was reported: they do not count as
    /// absent.
    pub(crate) fn take_left_out(&mut self) -> Vec<(String, JobAnswer)> {
        self.left_out_uncounted += self.left_out.len();
        self.left_out.drain(..).map(|id| (id, JobAnswer::Nothing)).collect()
    }

    pub(crate) fn outcome(mut self) -> Outcome {
        let none_reported = !self.reported && !self.stopped;
        if none_reported && self.forbidden > 0 && self.forbidden == self.unanswered {
            // Every job that was asked for was answered with 403.
            self.stopped = true;
        }
        Outcome {
            reported: self.reported,
            no_right: self.stopped && matches!(self.failure, Some(ApiError::NotPermitted(_))),
            left_out: self.left_out.len() + self.left_out_uncounted,
            witness: self.witness.filter(|_| self.reported),
            failure: self.failure.or(self.split_error.filter(|_| !self.rest.is_empty())),
        }
    }
}

/// The outcome of a tick's queries.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Whether the API reported a job of ours.
    pub(crate) reported: bool,
    /// How many jobs it left out.
    pub(crate) left_out: usize,
    /// The job of ours that it reported last.
    pub(crate) witness: Option<String>,
    /// Whether the API lets the key read no job (403).
    pub(crate) no_right: bool,
    /// Why some jobs have no answer.
    pub(crate) failure: Option<ApiError>,
}
