//! The energy market as pure models: homes, providers, contracts, prices and the time they share.
//!
//! Nothing here knows of networks, clocks or databases. The bots are thin shells around these models, and the ledger
//! drives the same models in simulated-time order.

pub mod topics;
