//! What must hold for any bytes at all: the bodies of the fuzz targets under `tests/fuzz`, which
//! the corpus also runs through on stable Rust. Each panics where a promise is broken.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod events;
mod files;
mod results;
mod source;

pub use events::event;
pub use files::{check, resumed_check};
pub use results::results;
