//! JSON-RPC 2.0 messages, as bytes and as values. No I/O.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// An error that the host answered a request with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    /// The number that JSON-RPC or AHP gives this kind of error.
    pub code: i32,
    /// What went wrong, for people.
    pub message: String,
    /// What to do next, when the host knows.
    pub hint: Option<String>,
}

/// One message of the host.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// The answer to the request with this id.
    Reply {
        id: u64,
        result: Result<Box<RawValue>, RpcError>,
    },
    /// Something that happened.
    Notification {
        method: String,
        params: Box<RawValue>,
    },
    /// A request of the host. This client offers no methods.
    Request,
}

#[derive(Serialize)]
struct Outgoing<'a, P> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    method: &'a str,
    params: &'a P,
}

/// A request (with an id) or a notification (without).
pub(crate) fn encode<P: Serialize>(
    id: Option<u64>,
    method: &str,
    params: &P,
) -> Result<Bytes, serde_json::Error> {
    let message = Outgoing {
        jsonrpc: "2.0",
        id,
        method,
        params,
    };
    serde_json::to_vec(&message).map(Bytes::from)
}

#[derive(serde::Deserialize)]
struct Wire {
    id: Option<Value>,
    method: Option<String>,
    params: Option<Box<RawValue>>,
    result: Option<Box<RawValue>>,
    error: Option<WireError>,
}

#[derive(serde::Deserialize)]
struct WireError {
    code: i32,
    message: String,
    data: Option<Value>,
}

/// Reads one message.
pub(crate) fn decode(bytes: &[u8]) -> Result<Incoming, serde_json::Error> {
    use serde::de::Error as _;
    let wire: Wire = serde_json::from_slice(bytes)?;
    match (wire.method, wire.id) {
        (Some(_), Some(_)) => Ok(Incoming::Request),
        (Some(method), None) => Ok(Incoming::Notification {
            method,
            params: match wire.params {
                Some(params) => params,
                None => RawValue::from_string("{}".to_owned())?,
            },
        }),
        (None, Some(id)) => {
            let id = id.as_u64().ok_or_else(|| {
                serde_json::Error::custom("a reply with an id that was never sent")
            })?;
            let result = match wire.error {
                Some(error) => Err(RpcError {
                    code: error.code,
                    message: error.message,
                    hint: error
                        .data
                        .as_ref()
                        .and_then(|data| data.get("hint"))
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                }),
                None => Ok(match wire.result {
                    Some(result) => result,
                    // `"result": null` reads as absent.
                    None => RawValue::from_string("null".to_owned())?,
                }),
            };
            Ok(Incoming::Reply { id, result })
        }
        (None, None) => Err(serde_json::Error::custom(
            "neither a reply nor a notification",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_an_id_and_notifications_do_not() {
        let request = encode(Some(7), "ping", &serde_json::json!({"channel": "x"})).unwrap();
        assert_eq!(
            request,
            r#"{"jsonrpc":"2.0","id":7,"method":"ping","params":{"channel":"x"}}"#
        );
        let note = encode(None, "unsubscribe", &serde_json::json!({})).unwrap();
        assert_eq!(
            note,
            r#"{"jsonrpc":"2.0","method":"unsubscribe","params":{}}"#
        );
    }

    #[test]
    fn replies_errors_and_notifications_are_told_apart() {
        let ok = decode(br#"{"jsonrpc":"2.0","id":1,"result":null}"#).unwrap();
        assert!(matches!(ok, Incoming::Reply { id: 1, result: Ok(ref v) } if v.get() == "null"));
        let err = decode(
            br#"{"jsonrpc":"2.0","id":2,"error":{"code":-32001,"message":"gone","data":{"hint":"list"}}}"#,
        )
        .unwrap();
        let Incoming::Reply {
            id: 2,
            result: Err(e),
        } = err
        else {
            panic!("not an error reply");
        };
        assert_eq!((e.code, e.hint.as_deref()), (-32001, Some("list")));
        let note = decode(br#"{"jsonrpc":"2.0","method":"action","params":{"a":1}}"#).unwrap();
        assert!(matches!(note, Incoming::Notification { ref method, .. } if method == "action"));
        let request = decode(br#"{"jsonrpc":"2.0","id":"x","method":"resourceRead"}"#).unwrap();
        assert!(matches!(request, Incoming::Request));
    }

    #[test]
    fn garbage_is_an_error() {
        for bytes in [
            &b""[..],
            b"{}",
            b"[]",
            b"nonsense",
            br#"{"id":"text","result":1}"#,
        ] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
