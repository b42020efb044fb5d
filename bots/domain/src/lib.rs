//! The energy market as pure models: homes, providers, contracts, prices and the time they share.
//!
//! Nothing here knows of networks, clocks or databases. The bots are thin shells around [`agent::HomeAgent`],
//! [`provider_agent::ProviderAgent`] and [`market::MarketAgent`]; the [`ledger`] drives the same agents in simulated-time
//! order, and [`verify`] computes again what a run must have stored.

pub mod agent;
pub mod balance;
pub mod battery;
pub mod bill;
pub mod contract;
pub mod ean;
pub mod environment;
mod fields;
pub mod home;
pub mod home_file;
pub mod ledger;
pub mod load;
pub mod market;
mod months;
pub mod offer;
pub mod population;
pub mod prices;
pub mod profile;
pub mod provider;
pub mod provider_agent;
pub mod provider_file;
pub mod pv;
pub mod random;
pub mod region;
pub mod standard;
pub mod state;
pub mod sun;
pub mod tariff;
pub mod time;
pub mod topics;
pub mod totals;
pub mod trade;
pub mod verify;
pub mod weather;
