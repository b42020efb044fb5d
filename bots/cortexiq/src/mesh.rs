//! The four gateways of the world, meshed over real QUIC on this machine.

use std::time::Duration;

use cortexiq_domain::region::Region;
use macula_gateway::{Gateway, Settings, StartError};
use macula_proto::vars::{Problems, Vars};

/// The ports of the gateways: `base` for the hub and 100 more for each region, each followed by its admin port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The hub's; 0 for free ports everywhere.
    pub base: u16,
}

/// Unless told otherwise, as in the deployment: 9443, 9543, 9643, 9743.
pub const DEFAULT_BASE_PORT: u16 = 9443;

/// Running gateways.
#[derive(Debug)]
pub struct Mesh {
    gateways: Vec<(Place, Gateway)>,
}

/// Where a gateway stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Simulation, projections and queries.
    Hub,
    /// Homes and utilities of a region.
    Region(Region),
}

/// Why there is no mesh.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// A port beyond 65535.
    #[error(
        "--base-port {0}: the last gateway's admin port would be beyond 65535; choose at most {MOST_BASE}"
    )]
    Base(u16),
    /// A gateway's settings were refused.
    #[error("gateway {place}: {problems}")]
    Settings {
        /// Which.
        place: Place,
        /// All that is wrong.
        problems: Problems,
    },
    /// A gateway did not start.
    #[error("gateway {place}: {source} (--base-port chooses other ports)")]
    Start {
        /// Which.
        place: Place,
        /// Why.
        source: StartError,
    },
    /// The gateways did not find each other.
    #[error("the gateways have not meshed within {PATIENCE:?}: {0}")]
    Apart(String),
}

impl Place {
    /// In the order of their ports.
    pub const ALL: [Self; 4] = [
        Self::Hub,
        Self::Region(Region::Antwerp),
        Self::Region(Region::Brabant),
        Self::Region(Region::EastFlanders),
    ];

    /// The gateway's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hub => "macula-hub",
            Self::Region(Region::Antwerp) => "be-antwerp",
            Self::Region(Region::Brabant) => "be-brabant",
            Self::Region(Region::EastFlanders) => "be-east-flanders",
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Ports {
    /// UDP port and admin port of the gateway at an index of [`Place::ALL`].
    fn of(self, index: usize) -> Option<(u16, u16)> {
        if self.base == 0 {
            return Some((0, 0));
        }
        let port = self.base.checked_add(index as u16 * 100)?;
        Some((port, port.checked_add(1)?))
    }
}

impl Mesh {
    /// Starts all gateways, each dialling those before it, and waits until every one has links to all others.
    pub async fn start(ports: Ports) -> Result<Self, MeshError> {
        // Before anything is started: the last one has the highest port.
        ports.of(Place::ALL.len() - 1).ok_or(MeshError::Base(ports.base))?;
        let mut mesh = Self { gateways: Vec::new() };
        for (index, place) in Place::ALL.into_iter().enumerate() {
            let (port, admin) = ports.of(index).ok_or(MeshError::Base(ports.base))?;
            let peers: Vec<_> =
                mesh.gateways.iter().map(|(_, gateway)| url(gateway.local_addr().port())).collect();
            let values = [
                ("MACULA_NODE_NAME", place.name().to_owned()),
                ("MACULA_GATEWAY_PORT", port.to_string()),
                ("MACULA_ADMIN_PORT", admin.to_string()),
                ("MESH_PEERS", peers.join(",")),
            ];
            let vars = Vars::new(values.map(|(name, value)| (name.to_owned(), value)));
            let settings =
                Settings::read(vars).map_err(|problems| MeshError::Settings { place, problems })?;
            let gateway =
                Gateway::start(settings).await.map_err(|source| MeshError::Start { place, source })?;
            mesh.gateways.push((place, gateway));
        }
        match tokio::time::timeout(PATIENCE, mesh.meshed()).await {
            Ok(()) => Ok(mesh),
            Err(_) => Err(MeshError::Apart(mesh.links().await)),
        }
    }

    /// Where clients connect to a gateway.
    pub fn url(&self, place: Place) -> String {
        let found = self.gateways.iter().find(|(other, _)| *other == place);
        let (_, gateway) = found.expect("`start` starts a gateway at every place");
        url(gateway.local_addr().port())
    }

    /// Name, URL and admin port of every gateway, for people.
    pub fn places(&self) -> impl Iterator<Item = (Place, String, Option<u16>)> {
        self.gateways.iter().map(|(place, gateway)| {
            let admin = gateway.admin_addr().map(|address| address.port());
            (*place, url(gateway.local_addr().port()), admin)
        })
    }

    /// Stops all of them, the hub last.
    pub async fn shutdown(mut self) {
        while let Some((_, gateway)) = self.gateways.pop() {
            gateway.shutdown().await;
        }
    }

    async fn meshed(&self) {
        for (_, gateway) in &self.gateways {
            gateway.ready().await;
            while gateway.status().await.is_none_or(|status| status.peers.len() + 1 < self.gateways.len()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    async fn links(&self) -> String {
        let mut told = Vec::new();
        for (place, gateway) in &self.gateways {
            let links = gateway.status().await.map_or(0, |status| status.peers.len());
            told.push(format!("{place} has {links} links"));
        }
        told.join(", ")
    }
}

fn url(port: u16) -> String {
    format!("https://localhost:{port}")
}

/// Longest wait for links on one machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// 301 below the last port.
const MOST_BASE: u16 = 65_234;

#[cfg(test)]
mod tests {
    use super::Ports;

    #[test]
    fn every_region_is_a_hundred_ports_further() {
        let ports = Ports { base: 9443 };
        assert_eq!(ports.of(0), Some((9443, 9444)));
        assert_eq!(ports.of(3), Some((9743, 9744)));
        assert_eq!(Ports { base: super::MOST_BASE }.of(3), Some((65_534, 65_535)));
        assert_eq!(Ports { base: super::MOST_BASE + 1 }.of(3), None);
        assert_eq!(Ports { base: 0 }.of(2), Some((0, 0)));
    }
}
