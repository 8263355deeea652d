//! What a request carries to say who it is from.

use axum::http::{HeaderMap, HeaderValue, header};
use link_proto::http::{DEVICE_COOKIE, LOOPBACK_DEVICE_COOKIE};
use link_proto::keys::Token;

/// How long a browser keeps the cookie of a device: as long as browsers keep any.
const COOKIE_SECONDS: u32 = 400 * 24 * 60 * 60;

/// Who a request is from, as it says.
pub(super) enum Credential {
    /// `authorization: Bearer`, of a machine or of a device that is not a page.
    Bearer(Token),
    /// The cookie of a device's page.
    Cookie(Token),
}

/// The credential of a request. A cookie counts only together with an `Origin` (which the guard has compared):
/// browsers send it with everything that acts.
pub(super) fn credential(headers: &HeaderMap, secure: bool) -> Option<Credential> {
    if let Some(token) = scheme(headers, "bearer") {
        return Some(Credential::Bearer(token));
    }
    if !headers.contains_key(header::ORIGIN) {
        return None;
    }
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, _)| *name == cookie_name(secure))
        .and_then(|(_, value)| value.parse().ok())
        .map(Credential::Cookie)
}

/// The secret of a long poll.
pub(super) fn poll(headers: &HeaderMap) -> Option<Token> {
    scheme(headers, "poll")
}

fn scheme(headers: &HeaderMap, wanted: &str) -> Option<Token> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case(wanted) {
        return None;
    }
    token.trim().parse().ok()
}

/// Sets the cookie of a device, or takes it back.
pub(super) fn set_cookie(token: Option<&Token>, secure: bool) -> Option<HeaderValue> {
    let name = cookie_name(secure);
    let (value, age) = match token {
        Some(token) => (token.to_text(), COOKIE_SECONDS),
        None => (String::new().into(), 0),
    };
    // Not every browser takes `Secure` on plain loopback.
    let secure = if secure { " Secure;" } else { "" };
    let cookie = format!(
        "{name}={};{secure} HttpOnly; SameSite=Strict; Path=/; Max-Age={age}",
        value.as_str()
    );
    let mut cookie = HeaderValue::try_from(cookie).ok()?;
    cookie.set_sensitive(true);
    Some(cookie)
}

fn cookie_name(secure: bool) -> &'static str {
    if secure {
        DEVICE_COOKIE
    } else {
        LOOPBACK_DEVICE_COOKIE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(secure: bool, given: &[(&'static str, String)]) -> Option<(&'static str, u8)> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::try_from(value).unwrap());
        }
        credential(&headers, secure).map(|credential| match credential {
            Credential::Bearer(token) => ("bearer", token.as_bytes()[0]),
            Credential::Cookie(token) => ("cookie", token.as_bytes()[0]),
        })
    }

    #[test]
    fn who_a_request_is_from() {
        let token = |n| Token::from_bytes([n; 32]).to_text().to_string();
        let own = ("origin", "https://relay.example".to_owned());
        let cookies = (
            "cookie",
            format!("a=b; __Host-copilot-device={}; c", token(2)),
        );
        let bearer = ("authorization", format!("Bearer {}", token(1)));
        assert_eq!(found(true, &[]), None);
        assert_eq!(
            found(true, std::slice::from_ref(&bearer)),
            Some(("bearer", 1))
        );
        assert_eq!(
            found(true, std::slice::from_ref(&cookies)),
            None,
            "no page sent it"
        );
        assert_eq!(
            found(true, &[cookies.clone(), own.clone()]),
            Some(("cookie", 2))
        );
        assert_eq!(
            found(false, &[cookies.clone(), own.clone()]),
            None,
            "another name"
        );
        assert_eq!(found(true, &[bearer, cookies, own]), Some(("bearer", 1)));
        assert_eq!(
            found(true, &[("authorization", "Bearer short".to_owned())]),
            None
        );
        assert_eq!(found(true, &[("authorization", token(1))]), None);
    }

    #[test]
    fn the_cookie_is_out_of_reach_of_scripts_and_other_sites() {
        let token = Token::from_bytes([0; 32]);
        let set = set_cookie(Some(&token), true).unwrap();
        let text = token.to_text();
        assert_eq!(
            set.to_str().unwrap(),
            format!(
                "__Host-copilot-device={}; Secure; HttpOnly; SameSite=Strict; Path=/; Max-Age=34560000",
                text.as_str()
            )
        );
        assert!(format!("{set:?}").contains("Sensitive"));
        assert_eq!(
            set_cookie(None, false).unwrap().to_str().unwrap(),
            "copilot-device=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"
        );
    }
}
