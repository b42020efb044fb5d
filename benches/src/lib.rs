//! What the benchmark binaries share: the gateway as a process of its own, and the CPU time and memory that programs take.

pub mod process;
pub mod usage;
