//! The protocol of a publication, searched breadth first: two parts, two collects at once, and poll.
//! The steps are those of `functions/collect/src/{lib,publish,assemble}.rs`.
//!
//! A message is delivered at least once; an invocation may be killed at any point, and its message
//! come again or be lost. Whatever happens, `results.csv` appears once and with all parts, and from
//! every state the drop can still end without a further fault.
//!
//! | left out, or done otherwise | what it breaks |
//! |---|---|
//! | the query that decides: an empty set does | of an older plan, which has none, a file is published without all its parts |
//! | the order of recording a part and taking it out of its set, and that query | the same |
//! | poll, which finds a drop whose last collect was killed | the drop never ends |
//! | `If-None-Match` and the recorded upload | `results.csv` is written twice |

use std::collections::{HashMap, HashSet, VecDeque};

const PARTS: usize = 2;
const UPLOADS: usize = 3;

#[derive(Debug, Clone, Copy)]
struct Rules {
    /// A consistent query decides whether all parts are collected; otherwise the set alone.
    query: bool,
    /// A part is taken out of its set after it is recorded; otherwise before.
    record_first: bool,
    /// Poll has a drop published that is idle and whose parts are all collected.
    poll_recovers: bool,
    /// `results.csv` is written only if there is none.
    only_new: bool,
    /// The upload is recorded before it is used; otherwise each publisher uses its own.
    record_upload: bool,
}

const ALL: Rules = Rules {
    query: true,
    record_first: true,
    poll_recovers: true,
    only_new: true,
    record_upload: true,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Upload {
    None,
    Open,
    Completed,
    Aborted,
}

/// How far a collect has come; it handles the message of a part, or the one that only asks for the
/// publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Idle,
    /// The part's rows are stored, and not recorded.
    Joined(usize),
    /// The first of recording and taking out is done.
    Half(usize),
    /// The sets are empty, or there is none.
    Suggested(Option<usize>),
    /// All parts are collected, by what decides that.
    Decided(Option<usize>),
    /// It has made an upload of its own.
    Created(Option<usize>, u8),
    /// It sends pieces to this upload.
    Sending(Option<usize>, u8),
    /// `results.csv` is there.
    Written(Option<usize>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    /// An older plan has no sets.
    has_set: bool,
    left: [bool; PARTS],
    collected: [bool; PARTS],
    messages: [bool; PARTS],
    /// Poll's message, which only asks for the publication.
    publish: bool,
    collects: [Step; 2],
    uploads: [Upload; UPLOADS],
    recorded: Option<u8>,
    /// How often `results.csv` was written.
    written: u8,
    ended: bool,
}

type Next = (&'static str, bool, State);

fn first(has_set: bool) -> State {
    State {
        has_set,
        left: [has_set; PARTS],
        collected: [false; PARTS],
        messages: [true; PARTS],
        publish: false,
        collects: [Step::Idle; 2],
        uploads: [Upload::None; UPLOADS],
        recorded: None,
        written: 0,
        ended: false,
    }
}

fn next(rules: Rules, state: &State) -> Vec<Next> {
    let mut out = Vec::new();
    for who in 0..2 {
        collect(rules, state, who, &mut out);
    }
    // Poll: an ended part that is not collected is announced again, and an idle drop published.
    let mut polled = *state;
    for part in 0..PARTS {
        polled.messages[part] |= !state.collected[part];
    }
    if rules.poll_recovers && !state.ended && state.collected == [true; PARTS] {
        polled.publish = true;
    }
    out.push(("poll: announces", false, polled));
    out
}

fn collect(rules: Rules, state: &State, who: usize, out: &mut Vec<Next>) {
    let with = |step: Step| {
        let mut next = *state;
        next.collects[who] = step;
        next
    };
    // Done: its message is deleted.
    let done = |of: Option<usize>| {
        let mut next = with(Step::Idle);
        match of {
            Some(part) => next.messages[part] = false,
            None => next.publish = false,
        }
        next
    };
    let step = state.collects[who];
    if step != Step::Idle {
        out.push(("collect: is killed, and its message comes again", true, with(Step::Idle)));
        out.push(("collect: is killed, and its message is lost", true, done(message(step))));
    }
    match step {
        Step::Idle => {
            for part in (0..PARTS).filter(|part| state.messages[*part]) {
                out.push(match (state.ended, state.collected[part]) {
                    (true, _) => ("collect: the drop has ended", false, done(Some(part))),
                    (false, false) => ("collect: joins", false, with(Step::Joined(part))),
                    // Whoever recorded it may have been killed before it took it out.
                    (false, true) => ("collect: collected before", false, with(Step::Half(part))),
                });
            }
            if state.publish {
                out.push(match state.ended {
                    true => ("collect: the drop has ended", false, done(None)),
                    false => ("collect: is to publish", false, with(Step::Suggested(None))),
                });
            }
        }
        Step::Joined(part) => {
            let mut next = with(Step::Half(part));
            if rules.record_first {
                next.collected[part] = true;
            } else {
                next.left[part] = false;
            }
            out.push(("collect: the first of two writes", false, next));
        }
        Step::Half(part) => {
            let mut next = *state;
            next.left[part] = false;
            next.collected[part] = true;
            let empty = next.left == [false; PARTS];
            let then = if empty { Step::Suggested(Some(part)) } else { Step::Idle };
            next.collects[who] = then;
            next.messages[part] &= empty;
            out.push(("collect: the second of two writes", false, next));
        }
        Step::Suggested(of) => out.push(match rules.query && state.collected != [true; PARTS] {
            true => ("collect: another part is not collected", false, done(of)),
            false => ("collect: all are collected", false, with(Step::Decided(of))),
        }),
        Step::Decided(of) => match state.recorded.filter(|_| rules.record_upload) {
            _ if state.written > 0 && rules.only_new => {
                out.push(("collect: results.csv is there", false, with(Step::Written(of))));
            }
            Some(upload) => {
                out.push(("collect: goes on with it", false, with(Step::Sending(of, upload))));
            }
            None => {
                let free = state.uploads.iter().position(|upload| *upload == Upload::None);
                if let Some(free) = free {
                    let mut next = with(Step::Created(of, free as u8));
                    next.uploads[free] = Upload::Open;
                    out.push(("collect: makes an upload", false, next));
                } else {
                    // The lifecycle rule has ended those that nobody knows.
                    let mut next = *state;
                    next.uploads = next.uploads.map(|_| Upload::None);
                    let used = |step: &Step| matches!(step, Step::Created(..) | Step::Sending(..));
                    if !next.collects.iter().any(used) && next.recorded.is_none() {
                        out.push(("S3: uploads that nobody knows end", false, next));
                    }
                }
            }
        },
        Step::Created(of, own) => {
            let mut next = with(Step::Sending(of, own));
            match state.recorded.filter(|_| rules.record_upload) {
                Some(theirs) => {
                    next.uploads[own as usize] = Upload::Aborted;
                    next.collects[who] = Step::Sending(of, theirs);
                }
                None if rules.record_upload => next.recorded = Some(own),
                None => {}
            }
            out.push(("collect: records the upload", false, next));
        }
        Step::Sending(of, upload) => {
            let mut next = with(Step::Written(of));
            match state.uploads[upload as usize] {
                Upload::Open if state.written == 0 || !rules.only_new => {
                    next.written += 1;
                    next.uploads[upload as usize] = Upload::Completed;
                    out.push(("collect: completes the upload", false, next));
                }
                // NoSuchUpload, or 412: HEAD finds our digest.
                _ if state.written > 0 => {
                    out.push(("collect: results.csv is there", false, next));
                }
                // It is over without results.csv: forgotten, and a new one is made.
                _ => {
                    next.collects[who] = Step::Decided(of);
                    next.recorded = state.recorded.filter(|recorded| *recorded != upload);
                    out.push(("collect: forgets the upload", false, next));
                }
            }
        }
        Step::Written(of) => {
            let mut next = done(of);
            next.ended = true;
            out.push(("collect: the drop ends", false, next));
        }
    }
}

/// The part whose message a collect handles; none if it is the one for the publication.
fn message(step: Step) -> Option<usize> {
    match step {
        Step::Idle => None,
        Step::Joined(part) | Step::Half(part) => Some(part),
        Step::Suggested(of) | Step::Decided(of) | Step::Written(of) => of,
        Step::Created(of, _) | Step::Sending(of, _) => of,
    }
}

fn broken(state: &State) -> Option<&'static str> {
    if state.written > 0 && state.collected != [true; PARTS] {
        return Some("a file is published without all its parts");
    }
    if state.written > 1 {
        return Some("results.csv is written twice");
    }
    if state.ended && state.written == 0 {
        return Some("the drop ended without results.csv");
    }
    None
}

/// The number of states, or what breaks.
fn search(rules: Rules, has_set: bool) -> Result<usize, &'static str> {
    let start = first(has_set);
    let (mut seen, mut queue) = (HashSet::from([start]), VecDeque::from([start]));
    // From a state back to those that lead to it without a fault.
    let mut back: HashMap<State, Vec<State>> = HashMap::new();
    while let Some(state) = queue.pop_front() {
        for (_, fault, to) in next(rules, &state) {
            if let Some(what) = broken(&to) {
                return Err(what);
            }
            if !fault {
                back.entry(to).or_default().push(state);
            }
            if seen.insert(to) {
                queue.push_back(to);
            }
        }
    }
    let mut ends: Vec<State> = seen.iter().filter(|state| state.ended).copied().collect();
    let mut can_end: HashSet<State> = ends.iter().copied().collect();
    while let Some(state) = ends.pop() {
        for from in back.get(&state).into_iter().flatten() {
            if can_end.insert(*from) {
                ends.push(*from);
            }
        }
    }
    if can_end.len() < seen.len() { Err("the drop never ends") } else { Ok(seen.len()) }
}

#[test]
fn a_publication_is_safe_and_never_stuck_with_two_publishers_and_whoever_is_killed() {
    for (has_set, plan) in [(true, "a plan with sets"), (false, "an older plan")] {
        let states = search(ALL, has_set).unwrap_or_else(|what| panic!("{plan}: {what}"));
        println!("{plan}: safe; {states} states");
        assert!(states > 5_000, "{plan}: only {states} states were explored");
    }
}

#[test]
fn each_rule_of_a_publication_is_needed() {
    const WITHOUT_ALL: &str = "a file is published without all its parts";
    let set_decides = Rules { query: false, ..ALL };
    assert_eq!(search(set_decides, false), Err(WITHOUT_ALL), "an older plan");
    let taken_out_first = Rules { record_first: false, ..set_decides };
    assert_eq!(search(taken_out_first, true), Err(WITHOUT_ALL));
    assert!(search(set_decides, true).is_ok(), "with sets, the query only adds up the rows");
    let alone = Rules { poll_recovers: false, ..ALL };
    assert_eq!(search(alone, true), Err("the drop never ends"));
    let overwriting = Rules { only_new: false, record_upload: false, ..ALL };
    assert_eq!(search(overwriting, true), Err("results.csv is written twice"));
    for one in [Rules { only_new: false, ..ALL }, Rules { record_upload: false, ..ALL }] {
        assert!(search(one, true).is_ok(), "either is enough: {one:?}");
    }
}
