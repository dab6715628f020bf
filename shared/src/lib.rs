//! What Moondrop's functions are built on.
//!
//! The domain comes first and does no I/O: [`csv`] and [`check`] read a file strictly and plan its parts, [`part`] and
//! [`join`] read the parts again, [`record`] and [`job`] are what the ledger holds, [`status`] is what users see. Behind it
//! stand the adapters, one service a file.

// The domain.
pub mod check;
pub mod csv;
pub mod drop;
pub mod event;
pub mod fault;
pub mod job;
pub mod join;
pub mod keys;
pub mod labels;
pub mod part;
pub mod record;
pub mod rejected;
pub mod results;
pub mod secret;
pub mod settings;
pub mod status;
pub mod tally;
pub mod trouble;
pub mod unique;

// The adapters.
pub mod api_key;
pub mod aws;
pub mod batch_api;
pub mod bus;
pub mod conclude;
pub mod ledger;
pub mod logs;
pub mod metrics;
pub mod report;
pub mod rows;
pub mod runtime;
pub mod signed;
pub mod source;
pub mod store;
pub mod web;
