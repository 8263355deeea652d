//! What every request passes first: is it addressed to this relay, and does it come from nobody else's page?
//! And what every answer says to browsers.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::Refusal;
use super::origin::Origins;
use crate::metrics::Reason;
use crate::relay::Relay;

/// Asked for by whoever watches the relay, by address.
const HEALTH: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

pub(super) async fn guard(
    State(relay): State<Arc<Relay>>,
    request: Request,
    next: Next,
) -> Response {
    relay.metrics.requests.increment();
    let mut response = match check(&relay.origins, &request) {
        Ok(()) => next.run(request).await,
        Err((reason, refusal)) => {
            relay.metrics.refuse(reason);
            refusal.into_response()
        }
    };
    harden(response.headers_mut(), relay.origins.is_secure());
    response
}

fn check(origins: &Origins, request: &Request) -> Result<(), (Reason, Refusal)> {
    let path = request.uri().path();
    if HEALTH.contains(&path) {
        return Ok(());
    }
    let acts =
        !matches!(*request.method(), Method::GET | Method::HEAD) || path.starts_with("/link/");
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    decide(origins, request.headers(), authority, acts)
}

/// Whether a request with these headers is one for this relay, and not a foreign page's.
fn decide(
    origins: &Origins,
    headers: &HeaderMap,
    authority: Option<&str>,
    acts: bool,
) -> Result<(), (Reason, Refusal)> {
    let wrong_host = || {
        let refusal = Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            "wrong-host",
            format!(
                "This is the relay at {}, by no other name.",
                origins.public()
            ),
        );
        (Reason::Host, refusal)
    };
    let host = only(headers, &header::HOST).ok_or_else(wrong_host)?;
    if authority.is_some_and(|authority| authority != host) {
        return Err(wrong_host());
    }
    let own = origins.addressed(host).ok_or_else(wrong_host)?;
    if !acts {
        return Ok(());
    }
    let is_own = match headers.get(header::ORIGIN) {
        Some(_) => only(headers, &header::ORIGIN) == Some(own),
        // A program, or a browser that says in another way whose page it is.
        None => matches!(
            headers.get("sec-fetch-site").map(HeaderValue::as_bytes),
            None | Some(b"same-origin" | b"none")
        ),
    };
    if is_own {
        return Ok(());
    }
    let refusal = Refusal::new(
        StatusCode::FORBIDDEN,
        "wrong-origin",
        "Only this relay's own page may ask that.",
    );
    Err((Reason::Origin, refusal))
}

/// A header that is there once and is text.
fn only<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}

/// Headers of every answer. What an answer says for itself (the page's own policy, how long a file may be
/// kept) stays.
pub(super) fn harden(headers: &mut HeaderMap, secure: bool) {
    let mut fixed = |name, value| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    fixed(header::REFERRER_POLICY, "no-referrer");
    fixed(
        header::HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    fixed(
        header::HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    fixed(
        header::HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), display-capture=(), payment=(), usb=(), serial=(), hid=(), \
         bluetooth=(), midi=()",
    );
    if secure {
        fixed(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'",
        ));
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_ask_for_something() {
        let origins = Origins::new("127.0.0.1:80".parse().unwrap(), false, None).unwrap();
        const HERE: (&str, &str) = ("host", "127.0.0.1");
        type Row = (
            &'static [(&'static str, &'static str)],
            bool,
            Result<(), Reason>,
        );
        let table: [Row; 13] = [
            (&[HERE], false, Ok(())),
            (&[HERE], true, Ok(())),
            (&[], false, Err(Reason::Host)),
            (&[("host", "evil.example")], false, Err(Reason::Host)),
            (&[HERE, ("host", "localhost")], false, Err(Reason::Host)),
            (&[HERE, ("origin", "http://127.0.0.1")], true, Ok(())),
            // The same relay by another of its names is another origin.
            (
                &[HERE, ("origin", "http://localhost")],
                true,
                Err(Reason::Origin),
            ),
            (
                &[HERE, ("origin", "https://127.0.0.1")],
                true,
                Err(Reason::Origin),
            ),
            (
                &[HERE, ("origin", "http://evil.example")],
                true,
                Err(Reason::Origin),
            ),
            (&[HERE, ("origin", "null")], true, Err(Reason::Origin)),
            // Looking at the page is free to everybody.
            (&[HERE, ("origin", "http://evil.example")], false, Ok(())),
            (&[HERE, ("sec-fetch-site", "same-origin")], true, Ok(())),
            (
                &[HERE, ("sec-fetch-site", "same-site")],
                true,
                Err(Reason::Origin),
            ),
        ];
        for (given, acts, expected) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let got = decide(&origins, &headers, None, acts).map_err(|(reason, _)| reason);
            assert_eq!(got, expected, "{given:?} acts: {acts}");
        }
    }

    #[test]
    fn a_request_target_that_names_another_host_is_refused() {
        let origins = Origins::new("127.0.0.1:80".parse().unwrap(), false, None).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1"));
        assert!(decide(&origins, &headers, Some("127.0.0.1"), false).is_ok());
        assert!(decide(&origins, &headers, Some("evil.example"), false).is_err());
    }

    #[test]
    fn answers_keep_their_own_policy_and_get_the_rest() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'self'"),
        );
        harden(&mut headers, false);
        assert_eq!(
            headers[header::CONTENT_SECURITY_POLICY],
            "default-src 'self'"
        );
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert!(!headers.contains_key(header::STRICT_TRANSPORT_SECURITY));
        harden(&mut headers, true);
        assert!(headers.contains_key(header::STRICT_TRANSPORT_SECURITY));
    }
}
