//! The dashboard: a page with live data, the JSON API that it reads, and control of the simulation.
//!
//! [`run`] serves it. What a page shows comes from the query procedures and straight from the gateway; nothing is kept here
//! but sign-ins and a short history of the totals. `README.md` beside this crate describes page and API.

mod api;
mod assets;
mod bot;
mod config;
mod control;
mod csv;
mod error;
mod gauges;
mod listener;
mod live;
mod pages;
mod problem;
mod series;
mod sessions;
mod state;
mod transport;
mod visitor;

pub use assets::has_page;
pub use bot::{Dashboard, run};
pub use config::{Certificate, Config, DEFAULT_HOST_NAME, DEFAULT_PORT, SETTINGS};
pub use error::DashboardError;
pub use sessions::{Password, Secret};
pub use transport::GatewayUrl;
