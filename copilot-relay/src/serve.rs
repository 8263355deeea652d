//! Connections: accepting them, TLS, HTTP/1.1, and how many there may be.
//!
//! Nothing waits for ever: not a handshake, not the head of a request, not a connection that asks for nothing,
//! not an answer that nobody reads.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::acme;
use crate::http::{Peer, too_many_connections};
use crate::metrics::Reason;
use crate::places::{Held, Tenure};
use crate::relay::Relay;
use crate::tls::Tls;

/// Most bytes of the head of a request; what is read ahead of a socket's first message is in it too.
const HEAD_BYTES: usize = 16 * 1024;
/// How long not to accept when the system has no more file descriptors.
const RECOVER: Duration = Duration::from_millis(100);

/// What a listening relay needs to know.
pub struct Serving {
    /// The relay.
    pub relay: Arc<Relay>,
    /// Its requests.
    pub router: Router,
    /// TLS of its own.
    pub tls: Option<Arc<Tls>>,
    /// Whether a proxy in front of it says where requests come from.
    pub behind_proxy: bool,
}

/// Accepts connections until the relay ends, and then waits for what is being answered.
pub async fn serve(listener: TcpListener, serving: Serving) {
    let serving = Arc::new(serving);
    let relay = Arc::clone(&serving.relay);
    let connections = TaskTracker::new();
    let places = Arc::clone(&relay.places);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = relay.ending() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(RECOVER).await;
                continue;
            }
        };
        // Behind a proxy every connection is the proxy's; whose request it carries is seen later.
        let counted = (!serving.behind_proxy).then(|| peer.ip());
        let Some(place) = places.take(counted) else {
            // Closed without a word: whoever comes this often is not helped by one.
            relay.metrics.refuse(Reason::Connections);
            continue;
        };
        // Messages are small, and people wait for them.
        let _ = stream.set_nodelay(true);
        let stream = Held::new(stream, place, relay.limits.answer_taken);
        let serving = Arc::clone(&serving);
        connections.spawn(async move { connection(&serving, stream, peer).await });
    }
    connections.close();
    let _ = tokio::time::timeout(relay.limits.last_words, connections.wait()).await;
}

async fn connection(serving: &Serving, stream: Held, peer: SocketAddr) {
    let tenure = stream.tenure();
    let Some(tls) = &serving.tls else {
        return http(serving, stream, &tenure, peer).await;
    };
    let acceptor = TlsAcceptor::from(tls.current());
    let handshake = acceptor.accept(stream);
    match tokio::time::timeout(serving.relay.limits.request_head, handshake).await {
        // The handshake was all there is to it.
        Ok(Ok(stream)) if acme::is_challenge(stream.get_ref().1.alpn_protocol()) => {
            tracing::debug!("a name was checked");
        }
        Ok(Ok(stream)) => http(serving, stream, &tenure, peer).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => serving.relay.metrics.refuse(Reason::Slow),
    }
}

async fn http<S>(serving: &Serving, stream: S, tenure: &Arc<Tenure>, peer: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = serving.router.clone();
    let behind_proxy = serving.behind_proxy;
    let (relay, carries) = (Arc::clone(&serving.relay), Arc::clone(tenure));
    let service = service_fn(move |mut request: Request<Incoming>| {
        let named = named_address(behind_proxy, request.headers());
        let has_place = carries.is_of(&relay.places, named);
        request
            .extensions_mut()
            .insert(Peer(named.unwrap_or(peer.ip())));
        let refused = (!has_place).then(|| too_many_connections(&relay));
        let router = router.clone();
        async move {
            match refused {
                Some(refused) => Ok(refused),
                None => TowerToHyperService::new(router).call(request).await,
            }
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        // Also ends a connection that asks for nothing more.
        .header_read_timeout(serving.relay.limits.request_head)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = serving.relay.ending() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    // When it was upgraded: whoever has it now is bounded otherwise.
    tenure.becomes_link();
    if let Err(error) = ended {
        if error.is_timeout() {
            serving.relay.metrics.refuse(Reason::Slow);
        } else if was_not_read(&error) {
            serving.relay.metrics.refuse(Reason::Reader);
        }
        tracing::debug!(%error, "a connection broke");
    }
}

/// Whether a connection broke because nobody took what was written: see [`Held`].
fn was_not_read(error: &hyper::Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
}

/// The address that the proxy names for a request. It adds what it saw at the end of `x-forwarded-for`; what
/// stands before it anybody could have written.
fn named_address(behind_proxy: bool, headers: &axum::http::HeaderMap) -> Option<IpAddr> {
    if !behind_proxy {
        return None;
    }
    headers
        .get_all("x-forwarded-for")
        .iter()
        .next_back()
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.rsplit(',').next())
        .and_then(|address| address.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn only_the_proxy_says_where_a_request_comes_from() {
        let client = |behind_proxy, forwarded: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", HeaderValue::from_static(value));
            }
            named_address(behind_proxy, &headers).map(|address| address.to_string())
        };
        let named = Some("192.0.2.7".to_owned());
        assert_eq!(client(false, &["192.0.2.7"]), None);
        assert_eq!(client(true, &[]), None);
        assert_eq!(client(true, &["192.0.2.7"]), named);
        assert_eq!(client(true, &["10.9.9.9, 192.0.2.7"]), named);
        assert_eq!(client(true, &["10.9.9.9", "192.0.2.7"]), named);
        assert_eq!(client(true, &["nonsense"]), None);
    }
}
