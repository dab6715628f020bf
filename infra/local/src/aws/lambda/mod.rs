//! Lambda: invocations that wait for a process, the Runtime API the processes ask, the processes
//! themselves; and the two ways an event becomes an invocation, by the queue or asynchronously.

mod asynchronous;
mod invoker;
mod process;
mod queue;
mod runtime;

pub use invoker::{Counts, Function};

pub(super) use asynchronous::Asynchronous;
pub(super) use invoker::Invoker;
pub(super) use process::{Launch, Pool};
pub(super) use queue::Queue;
