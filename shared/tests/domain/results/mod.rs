//! The API's results: their form, and what their rows say.

mod answers;
mod coming;
mod content;
mod form;
mod rows;
