//! From which address a request comes, where proxies stand before the server: what they say is believed, and nobody else.
//!
//! Each proxy appends to `X-Forwarded-For` who asked it. Whatever stands before what the first trusted one appended, the client wrote
//! itself. So the list is read from its end: the first address that is no trusted proxy's is the client's.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies whose word counts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// From a list such as `10.0.0.0/8, 192.0.2.7`; none when unset.
    ///
    /// # Errors
    /// Which part is neither an address nor a network.
    pub fn parse(list: Option<&str>) -> anyhow::Result<Self> {
        let parts = list.unwrap_or_default().split(',').map(str::trim);
        let networks = parts.filter(|part| !part.is_empty()).map(|part| {
            let address = part.parse::<IpAddr>().map(IpNet::from);
            address.or_else(|_| part.parse()).map_err(|_| {
                anyhow::anyhow!(
                    "LEADLEDGER_TRUSTED_PROXIES: {part:?} is neither an address nor a network such as 10.0.0.0/8"
                )
            })
        });
        Ok(Self(networks.collect::<anyhow::Result<_>>()?))
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who asked the first of the trusted proxies, as far as they tell; the peer, if that is none.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines: Vec<&str> = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .map(|line| line.to_str().unwrap_or_default())
            .collect();
        let mut client = peer.to_canonical();
        for told in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            if !self.trust(client) {
                break;
            }
            let Some(before) = address(told.trim()) else {
                break;
            };
            client = before;
        }
        client
    }
}

/// An address, with a port or without.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let with_port = || text.parse().map(|address: SocketAddr| address.ip());
    let address = bare.parse().or_else(|_| with_port()).ok()?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_what_trusted_proxies_say_is_believed() {
        let none = TrustedProxies::default();
        let some = TrustedProxies::parse(Some("10.0.0.0/8, 192.0.2.7,2001:db8::/32,")).unwrap();
        for (proxies, peer, told, client) in [
            (&none, "10.0.0.1", &["6.6.6.6"][..], "10.0.0.1"),
            (&some, "10.0.0.1", &[], "10.0.0.1"),
            (&some, "10.0.0.1", &["6.6.6.6"], "6.6.6.6"),
            (&some, "::ffff:10.0.0.1", &["6.6.6.6"], "6.6.6.6"),
            // What the client wrote itself comes first.
            (&some, "10.0.0.1", &["1.1.1.1, 6.6.6.6"], "6.6.6.6"),
            (
                &some,
                "10.0.0.1",
                &["1.1.1.1", "6.6.6.6,10.2.3.4"],
                "6.6.6.6",
            ),
            (&some, "10.0.0.1", &["10.9.9.9, 192.0.2.7"], "10.9.9.9"),
            (&some, "192.0.2.7", &["6.6.6.6:4711"], "6.6.6.6"),
            (&some, "192.0.2.7", &["[2a00::1]:443"], "2a00::1"),
            (&some, "2001:db8::5", &["[2a00::1]"], "2a00::1"),
            // What is no address ends the list.
            (
                &some,
                "10.0.0.1",
                &["6.6.6.6, unknown, 10.0.0.2"],
                "10.0.0.2",
            ),
            (&some, "10.0.0.1", &["6.6.6.6, "], "10.0.0.1"),
            (&some, "192.0.2.8", &["6.6.6.6"], "192.0.2.8"),
        ] {
            let mut headers = HeaderMap::new();
            for line in told {
                headers.append(FORWARDED_FOR, HeaderValue::from_static(line));
            }
            let found = proxies.client(peer.parse().unwrap(), &headers);
            assert_eq!(found.to_string(), client, "{peer} {told:?}");
        }
        for wrong in ["10.0.0.0/33", "proxy.example"] {
            assert!(TrustedProxies::parse(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
