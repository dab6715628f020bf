//! Each fault that a service, a network or a file can bring, by name: the functions are called in
//! this process, over real sockets, with a Batch API that answers what the test says.

mod absent;
mod asking;
mod cancelled;
mod cancelled_late;
mod clocks;
mod collect;
mod collect_bytes;
mod held;
mod held_kinds;
mod long_check;
mod lost_answers;
mod mapping;
mod not_started;
mod poll_answers;
mod poll_recovers;
mod problems;
mod problems_end;
mod publication;
mod safe_results;
mod secrets;
mod source;
mod submit_create;
mod submit_queue;
mod submit_upload;
mod sweep;
mod waits;

/// The most parts that are driven here: a drop of 250 million rows, at 25,000 rows a part.
const MANY: u32 = 10_000;
