//! What the benchmarks share: what drives a core by frames, patterns in any number, the gateway as a process of its own, and the CPU
//! time and memory that programs take.

pub mod driver;
pub mod patterns;
#[cfg(feature = "load")]
pub mod process;
pub mod rpc;
#[cfg(feature = "load")]
pub mod usage;
