//! Lambda: invocations that wait for a process, the Runtime API the processes ask, the processes
//! themselves, and the queues by which an event becomes an invocation.

mod invoker;
mod process;
mod queue;
mod runtime;

pub use invoker::{Counts, Function};

pub(super) use invoker::Invoker;
pub(super) use process::{Launch, Pool};
pub(super) use queue::Queue;
