//! How far each drop has come: a bar for each on a terminal, plain lines elsewhere.

use crate::sync::locked;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use moondrop_shared::drop::DropState;
use moondrop_shared::drop::status::Status;
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::Duration;

pub(crate) struct Progress {
    names: Vec<String>,
    bars: Option<(MultiProgress, Vec<ProgressBar>)>,
    printed: Mutex<Vec<String>>,
}

impl Progress {
    pub(crate) fn new(names: &[String]) -> Self {
        let bars = std::io::stderr().is_terminal().then(|| {
            let all = MultiProgress::new();
            let bars = names.iter().map(|name| {
                let bar =
                    all.add(ProgressBar::new(0).with_prefix(name.clone()).with_style(style()));
                bar.enable_steady_tick(Duration::from_millis(100));
                bar
            });
            let bars = bars.collect();
            (all, bars)
        });
        Progress {
            names: names.to_vec(),
            bars,
            printed: Mutex::new(vec![String::new(); names.len()]),
        }
    }

    /// Shows how far a drop has come.
    pub(crate) fn show(&self, index: usize, status: &Status) {
        let words = words(status);
        match &self.bars {
            Some((_, bars)) => {
                let rows = &status.rows;
                bars[index].set_length(rows.total.unwrap_or(u64::MAX));
                bars[index].set_position(rows.outcomes.total());
                bars[index].set_message(words);
            }
            None => self.print(index, words),
        }
    }

    /// Shows how a drop ended.
    pub(crate) fn finish(&self, index: usize, status: &Status) {
        self.show(index, status);
        if let Some((_, bars)) = &self.bars {
            bars[index].finish();
        }
    }

    /// Takes the bars away.
    pub(crate) fn clear(&self) {
        if let Some((all, _)) = &self.bars {
            // A terminal that went away is no reason to fail.
            let _ = all.clear();
        }
    }

    /// Writes a line, if it says something new.
    fn print(&self, index: usize, words: String) {
        let mut printed = locked(&self.printed);
        if printed[index] != words {
            let _ = writeln!(std::io::stderr(), "{}: {words}", self.names[index]);
            printed[index] = words;
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix:.bold} {bar:24} {percent:>3}%  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// How far a drop has come, in a line.
fn words(status: &Status) -> String {
    let rows = &status.rows;
    let mut words = match status.state {
        DropState::Checking => format!("checking, {} rows so far", rows.checked),
        DropState::Uploading => {
            format!("uploading, {} of {} parts", uploaded(status), status.parts.len())
        }
        DropState::Evaluating => {
            let jobs: Vec<String> =
                jobs(status).into_iter().map(|(state, n)| format!("{n} {state}")).collect();
            let collected = rows.outcomes.total();
            format!(
                "evaluating: {}; {collected} of {} rows collected",
                jobs.join(", "),
                rows.total.unwrap_or(0)
            )
        }
        state => state.as_str().replace('_', " "),
    };
    if let Some(problem) = &status.problem {
        words.push_str(&format!(" ({}: {}. {})", problem.code, problem.message, problem.next_step));
    }
    words
}

/// How many parts are uploaded.
fn uploaded(status: &Status) -> usize {
    status
        .parts
        .iter()
        .filter(|p| !matches!(p.state.as_str(), "PLANNED" | "CREATED" | "ABANDONING"))
        .count()
}

/// Jobs by state: the API's name for it, or collected.
fn jobs(status: &Status) -> BTreeMap<String, usize> {
    let mut jobs = BTreeMap::new();
    for part in &status.parts {
        let state = match part.state.as_str() {
            "UPLOADED" => part.job_state.clone().unwrap_or_else(|| "UPLOADED".to_owned()),
            state => state.to_owned(),
        };
        *jobs.entry(state.to_lowercase()).or_default() += 1;
    }
    jobs
}
