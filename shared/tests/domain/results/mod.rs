//! The API's results: their form, and what their rows say.

mod answers;
mod content;
mod form;
mod rows;
