//! The `moondrop` command.
fn main() {}
