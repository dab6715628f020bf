//! The search: breadth first, every state once; then backward from the ends.

use crate::next::Next;
use crate::rules::{Scenario, broken, is_over};
use crate::state::State;
use crate::{cancel, collect, poll, submit, surroundings};
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};

/// A model that has grown beyond this is no test any more.
const MOST_STATES: usize = 4_000_000;

/// What was found.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing is broken, and no state is stuck.
    Safe {
        states: usize,
        steps: usize,
        /// Steps that uploaded the same bytes once more to a job that had them.
        again: usize,
    },
    /// A way to something broken, one step a line.
    Unsafe { what: &'static str, trace: String },
}

/// A hash for many small values: most of the search's time goes into looking states up. Eight are
/// mixed in at once.
#[derive(Default)]
struct Quick {
    hash: u64,
    last: u64,
    values: u8,
}

impl Quick {
    fn mix(&mut self) {
        self.hash = (self.hash.rotate_left(5) ^ self.last).wrapping_mul(0x517c_c1b7_2722_0a95);
        (self.last, self.values) = (0, 0);
    }
}

impl Hasher for Quick {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u8(byte));
    }

    fn write_u8(&mut self, value: u8) {
        self.last = self.last << 8 | u64::from(value);
        self.values += 1;
        if self.values == 8 {
            self.mix();
        }
    }

    /// Of a list's length and of an enum's variant: both are small.
    fn write_usize(&mut self, value: usize) {
        self.write_u8(value as u8);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u8(value as u8);
    }

    fn finish(&self) -> u64 {
        (self.hash.rotate_left(5) ^ self.last).wrapping_mul(0x517c_c1b7_2722_0a95)
    }
}

struct Search {
    states: Vec<State>,
    /// Where each state stands among them, plus one, with the upper half of its hash; a power of
    /// two of places, never more than half full.
    places: Vec<u64>,
    /// How each state was first reached.
    from: Vec<(u32, &'static str)>,
    /// The steps that are no faults: from where, and the step before it in this list that leads to
    /// the same state.
    fair: Vec<(u32, Option<u32>)>,
    /// The last of them that leads to each state.
    last_to: Vec<Option<u32>>,
}

/// Searches all that can happen. With something `wanted` only that is looked for, and jobs and
/// workers keep their names, for a trace that reads well.
pub(crate) fn search(scenario: &Scenario, wanted: Option<&str>) -> Found {
    let mut search = Search {
        states: Vec::new(),
        places: vec![0; 1 << 16],
        from: Vec::new(),
        fair: Vec::new(),
        last_to: Vec::new(),
    };
    search.add(State::FIRST, 0, "");
    let (mut at, mut steps, mut again) = (0, 0, 0);
    let mut next = Vec::new();
    while at < search.states.len() {
        assert!(at < MOST_STATES, "the model has grown beyond {MOST_STATES} states");
        let state = search.states[at];
        next.clear();
        all_steps(scenario, &state, &mut next);
        for step in &mut next {
            steps += 1;
            again += usize::from(step.again);
            let broken = [step.broken, broken(scenario, &state, step)].into_iter().flatten();
            if let Some(what) =
                broken.into_iter().find(|what| wanted.is_none_or(|wanted| wanted == *what))
            {
                return Found::Unsafe { what, trace: search.trace(at as u32, step.what) };
            }
            step.state.tidy(scenario.world.stalls, wanted.is_some());
            let reached = search.add(
                if wanted.is_some() { step.state } else { step.state.canonical() },
                at as u32,
                step.what,
            );
            if !step.fault {
                let before = search.last_to[reached as usize].replace(search.fair.len() as u32);
                search.fair.push((at as u32, before));
            }
        }
        at += 1;
    }
    match search.stuck() {
        Some(stuck) => Found::Unsafe {
            what: "no fair continuation ends",
            trace: search.trace(stuck, "and is stuck"),
        },
        None => Found::Safe { states: search.states.len(), steps, again },
    }
}

fn all_steps(scenario: &Scenario, state: &State, out: &mut Vec<Next>) {
    for me in 0..state.workers.len() {
        submit::steps(scenario, state, me, out);
    }
    poll::steps(scenario, state, out);
    collect::steps(scenario, state, out);
    cancel::steps(scenario, state, out);
    surroundings::steps(scenario, state, out);
}

impl Search {
    fn add(&mut self, state: State, from: u32, what: &'static str) -> u32 {
        let (place, hash) = self.place(&state);
        if self.places[place] != 0 {
            return (self.places[place] as u32) - 1;
        }
        let index = self.states.len() as u32;
        self.states.push(state);
        self.from.push((from, what));
        self.last_to.push(None);
        self.places[place] = hash | u64::from(index + 1);
        if self.states.len() * 2 > self.places.len() {
            self.places = vec![0; self.places.len() * 4];
            for i in 0..=index {
                let (place, hash) = self.place(&self.states[i as usize]);
                self.places[place] = hash | u64::from(i + 1);
            }
        }
        index
    }

    /// Where the state stands, or is to stand; and the upper half of its hash.
    fn place(&self, state: &State) -> (usize, u64) {
        let mut hash = Quick::default();
        state.hash(&mut hash);
        let (mask, hash) = (self.places.len() - 1, hash.finish());
        let (mut place, upper) = ((hash >> 20) as usize & mask, hash >> 32 << 32);
        while self.places[place] != 0 {
            let known = self.places[place] as u32 - 1;
            if self.places[place] >> 32 << 32 == upper && self.states[known as usize] == *state {
                break;
            }
            place = (place + 1) & mask;
        }
        (place, upper)
    }

    /// The first state from which no fair continuation reaches an end.
    fn stuck(&self) -> Option<u32> {
        let mut good: Vec<bool> = self.states.iter().map(is_over).collect();
        let mut open: Vec<u32> = (0..good.len() as u32).filter(|&i| good[i as usize]).collect();
        while let Some(end) = open.pop() {
            let mut step = self.last_to[end as usize];
            while let Some((from, before)) = step.map(|step| self.fair[step as usize]) {
                step = before;
                if !std::mem::replace(&mut good[from as usize], true) {
                    open.push(from);
                }
            }
        }
        good.iter().position(|good| !good).map(|i| i as u32)
    }

    fn trace(&self, end: u32, last: &str) -> String {
        let (mut path, mut at) = (Vec::new(), end);
        while at != 0 {
            path.push(at);
            at = self.from[at as usize].0;
        }
        let mut text = String::new();
        for (i, &at) in path.iter().rev().enumerate() {
            let (from, what) = self.from[at as usize];
            let (was, is) = (&self.states[from as usize], &self.states[at as usize]);
            let who =
                (0..2).find(|&w| was.workers[w] != is.workers[w]).map_or("", |w| ["A ", "B "][w]);
            let who =
                if what.contains(':') && !what.starts_with("records") && !what.starts_with("is ") {
                    ""
                } else {
                    who
                };
            let job = |id: Option<u8>| id.map_or_else(String::new, |id| format!(" j{}", id + 1));
            let _ = writeln!(
                text,
                "{:3}. {who}{what}  [{:?}{}]",
                i + 1,
                is.record.at,
                job(is.record.job)
            );
        }
        let _ = write!(text, "{:3}. {last}", path.len() + 1);
        text
    }
}
