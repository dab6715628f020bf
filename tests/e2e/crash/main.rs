//! Crash anywhere: whatever faults the requests of a drop's way meet, the drop comes to the same
//! end.
//!
//! `every` takes each request and each fault in turn; `schedules` draws several faults at once,
//! with functions that overlap. By default a sample of the first and some of the second are run:
//! `MOONDROP_CRASH_CASES=all` and `MOONDROP_SCHEDULES=1000` are the long soak, and `MOONDROP_SEED`
//! is one schedule again.

mod cancelled;
mod case;
mod every;
mod large;
mod requests;
mod schedules;

/// A number that a variable asks for.
fn asked<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is not a number")))
}
