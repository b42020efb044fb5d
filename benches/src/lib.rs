//! What the benchmark binaries share: the gateway as a process of its own, and the CPU time it takes.

pub mod process;
