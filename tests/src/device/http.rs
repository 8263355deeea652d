//! The device's requests to the relay, one a connection, by hand: tests look
//! at statuses and bodies.

use std::io::{Read as _, Write as _};

use link_proto::http::{CLAIM, Claim, Claimed, DEVICE_SELF, ErrorBody, Ticket};
use link_proto::keys::Token;
use link_proto::links::RelayUrl;
use serde::Serialize;

use super::stream::{Stream, authority};

/// A ticket: of a pairing, or of this device.
pub(super) fn ticket(
    relay: &RelayUrl,
    path: &str,
    token: Option<&Token>,
) -> Result<Ticket, String> {
    let body = request(relay, "POST", path, token, &())?;
    serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))
}

/// The token of a device that was just paired, which shows the one that it has already.
pub(super) fn claim(
    relay: &RelayUrl,
    claim: &Token,
    shown: Option<&Token>,
) -> Result<Token, String> {
    let claim = Claim {
        claim: claim.clone(),
    };
    let body = request(relay, "POST", CLAIM, shown, &claim)?;
    let claimed: Claimed =
        serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
    Ok(claimed.device_token)
}

/// Forgets a device.
pub(super) fn forget(relay: &RelayUrl, token: &Token) -> Result<(), String> {
    request(relay, "DELETE", DEVICE_SELF, Some(token), &()).map(|_| ())
}

pub(super) fn request<B: Serialize>(
    relay: &RelayUrl,
    method: &str,
    path: &str,
    token: Option<&Token>,
    body: &B,
) -> Result<String, String> {
    let body = serde_json::to_string(body).expect("JSON");
    let authorization = token.map_or_else(String::new, |token| {
        format!("authorization: Bearer {}\r\n", *token.to_text())
    });
    let mut stream = Stream::connect(relay)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {}\r\n{authorization}content-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        authority(relay),
        body.len(),
    )
    .map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .map_err(|error| error.to_string())?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| format!("no HTTP: {answer}"))?;
    match head.split(' ').nth(1) {
        Some("200" | "201" | "204") => Ok(body.to_owned()),
        status => Err(serde_json::from_str::<ErrorBody>(body).map_or_else(
            |_| format!("{status:?}: {body}"),
            |refused| refused.error.message,
        )),
    }
}
