//! The pure rooms from the outside: what is accepted, rejected or refused, where parts end, what
//! results say, and what a user sees of it. Bytes and values in, values out: nothing here does I/O.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod blocks;
mod errors;
mod files;
mod labels;
mod limits;
mod malformed;
mod mapping;
mod part;
mod reference;
mod results;
mod round_trip;
mod rules;
mod status;
mod support;
mod uploads;
