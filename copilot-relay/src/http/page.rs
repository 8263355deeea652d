//! The page for browsers, as it was built into this program.
//!
//! The page is `web/dist`; a build without it says so instead. Texts are in it compressed as well, and are
//! sent so to whoever takes that.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse as _, Response};
use bytes::Bytes;
use rust_embed::RustEmbed;

use super::Refusal;

#[derive(RustEmbed)]
#[folder = "../web/dist"]
#[allow_missing = true]
struct Assets;

/// No inline script or style, nothing from elsewhere, connections to this relay only. Markup is made
/// by three named policies and nobody else: Svelte's for its own templates, the sanitiser's, and the
/// one that names the service worker.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
    trusted-types svelte-trusted-html dompurify copilot-worker";

/// A file of the page.
pub(super) async fn asset(uri: Uri, headers: HeaderMap) -> Response {
    let path = match uri.path() {
        "/" => "index.html",
        path => path.trim_start_matches('/'),
    };
    let compressed = match takes_gzip(&headers) {
        true => Assets::get(&format!("{path}.gz")),
        false => None,
    };
    let is_compressed = compressed.is_some();
    let Some(file) = compressed.or_else(|| Assets::get(path)) else {
        if path == "index.html" {
            return without_a_page();
        }
        let refusal = Refusal::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here.");
        return refusal.into_response();
    };
    let hash = file.metadata.sha256_hash();
    let tag: String = hash
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let tag = format!("\"{tag}\"");
    // Files of `assets` have their hash in their name.
    let kept = if path.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let common: [(HeaderName, String); 4] = [
        (header::VARY, "accept-encoding".to_owned()),
        (header::ETAG, tag),
        (header::CACHE_CONTROL, kept.to_owned()),
        (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let kind = [(header::CONTENT_TYPE, content_type(path))];
    let mut response = (common, kind, body(file.data)).into_response();
    if is_compressed {
        let gzip = HeaderValue::from_static("gzip");
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, gzip);
    }
    response
}

/// What was built in is sent from where it is, however many ask for it.
fn body(data: Cow<'static, [u8]>) -> Bytes {
    match data {
        Cow::Borrowed(built_in) => Bytes::from_static(built_in),
        Cow::Owned(read) => read.into(),
    }
}

/// Whether a request says that it takes `gzip`, and not that it does not.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let offered = headers.get_all(header::ACCEPT_ENCODING).iter();
    let offered = offered.filter_map(|value| value.to_str().ok());
    offered.flat_map(|value| value.split(',')).any(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        let quality = |part: &str| part.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok());
        parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
            && parts.filter_map(quality).all(|quality| quality > 0.0)
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("wasm") => "application/wasm",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn without_a_page() -> Response {
    Html(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>copilot-relay</title>\n\
         <h1>This is a Copilot relay</h1>\n\
         <p>It connects the devices of its owner with sessions on their machines, and can read none of what \
         they say.</p>\n\
         <p>This build of the relay carries no page, so a browser cannot show a session here. Devices with a \
         client of their own can connect.</p>\n",
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_is_not_copied() {
        static FILE: &[u8] = b"a file";
        assert_eq!(body(Cow::Borrowed(FILE)).as_ptr(), FILE.as_ptr());
    }

    #[test]
    fn texts_are_compressed_for_who_takes_that() {
        for (offered, taken) in [
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("br, x-gzip", false),
            ("identity", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(offered));
            assert_eq!(takes_gzip(&headers), taken, "{offered}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
