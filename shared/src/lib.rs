//! What Moondrop's functions are built on.
//!
//! The modules up to [`event`] do no I/O, and each uses only those above it: [`csv`] reads a file
//! strictly; [`job`] reads what the API reports of a job; [`check`] checks a whole file and plans
//! its parts; [`results`] reads the API's results; [`part`] and [`mod@drop`] hold the records and
//! decide how they change; [`event`] has the incoming and outgoing events. [`services`] holds the
//! adapters, one for each service, and [`lifecycle`] is what the functions do with several of them.

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
