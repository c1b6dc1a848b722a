//! From which address a request comes, where proxies stand before the server ([`TrustedProxies`]).

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::trusted_proxies::TrustedProxies;

/// The middleware: puts the client's address in the place of the peer's, where the peer is a trusted proxy. Of the port nothing is known.
pub async fn of_the_client(
    State(proxies): State<TrustedProxies>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        let client = proxies.client(peer.ip(), request.headers());
        if client != peer.ip() {
            let client = ConnectInfo(SocketAddr::new(client, 0));
            request.extensions_mut().insert(client);
        }
    }
    next.run(request).await
}
