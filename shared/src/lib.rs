//! What Moondrop's functions are built on.
//!
//! The rooms below do no I/O, and each builds on those above it: [`csv`] reads a file strictly; [`check`] checks a whole file and
//! plans its parts; [`results`] reads what the API returns; [`part`] and [`drop`] hold the records and decide what becomes of
//! them; [`event`] is what comes in and goes out. [`services`] holds the adapters, one service each, and [`lifecycle`] is what the
//! functions do with several of them.

pub mod error_chain;
pub mod form;
pub mod object_key;
pub mod plan;
pub mod problem;
pub mod source;

pub mod csv;
pub mod job;

pub mod check;
pub mod results;

pub mod part;

pub mod drop;

pub mod event;

pub mod services;

pub mod lifecycle;
