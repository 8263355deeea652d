//! JSON-RPC 2.0 as AHP uses it: parsing what clients send, encoding what they get.
//!
//! Knows no method and no state. Bad input becomes an error reply, never a panic.

use ahp_types::errors::{ahp_error_codes, json_rpc_error_codes};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

/// What a client may send: a request (with `id`) or a notification (without).
#[derive(Debug, serde::Deserialize)]
pub struct Incoming<'a> {
    /// `"2.0"`; anything else is refused.
    #[serde(default)]
    pub jsonrpc: String,
    /// A number or a string, echoed in the reply; absent on notifications.
    #[serde(default)]
    pub id: Option<Value>,
    /// Method name; absent on a reply, which this host never asks for.
    #[serde(default)]
    pub method: Option<String>,
    /// Parameters, decoded by the method.
    #[serde(borrow, default)]
    pub params: Option<&'a RawValue>,
}

/// An error reply: a code of JSON-RPC or AHP and a sentence for people.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    /// JSON-RPC or AHP error code.
    pub code: i32,
    /// What failed and what to do, in words.
    pub message: String,
    /// Details that a program may read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// The answer in place of one that is larger than a transport takes.
pub fn too_large(message: &[u8]) -> Bytes {
    let incoming: Option<Incoming<'_>> = serde_json::from_slice(message).ok();
    let id = incoming.and_then(|i| i.id).unwrap_or_default();
    let words = "the answer is too large to be sent; ask for fewer turns";
    error(&id, &RpcError::internal(words))
}

impl RpcError {
    /// An error with `code` and `message`.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// The parameters do not fit the method.
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(json_rpc_error_codes::INVALID_PARAMS, message)
    }

    /// The message is not a request this host understands.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(json_rpc_error_codes::INVALID_REQUEST, message)
    }

    /// The connection's trust level does not allow it.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(ahp_error_codes::PERMISSION_DENIED, message)
    }

    /// No session of that URI; also the answer for what the caller may not see.
    pub fn session_not_found(uri: &str) -> Self {
        Self::new(
            ahp_error_codes::SESSION_NOT_FOUND,
            format!("there is no session {uri}"),
        )
    }

    /// No resource of that URI, or not one that the caller may read.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ahp_error_codes::NOT_FOUND, message)
    }

    /// Something of ours failed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(json_rpc_error_codes::INTERNAL_ERROR, message)
    }
}

/// Reads one message of a client.
pub fn parse(message: &[u8]) -> Result<Incoming<'_>, RpcError> {
    let wrong = |why: &dyn std::fmt::Display| {
        let code = json_rpc_error_codes::PARSE_ERROR;
        RpcError::new(code, format!("not a JSON-RPC message: {why}"))
    };
    // A list would be taken for the fields in their order.
    if message.trim_ascii_start().first() == Some(&b'[') {
        return Err(wrong(&"a list of messages; send them one by one"));
    }
    serde_json::from_slice(message).map_err(|error| wrong(&error))
}

/// Decodes a method's parameters; missing ones count as an empty object.
pub fn params<T: DeserializeOwned>(raw: Option<&RawValue>) -> Result<T, RpcError> {
    let text = raw.map_or("{}", RawValue::get);
    serde_json::from_str(text)
        .map_err(|e| RpcError::invalid_params(format!("the parameters do not fit the method: {e}")))
}

/// A success reply. `result` is encoded here.
pub fn reply<T: Serialize>(id: &Value, result: &T) -> Bytes {
    match serde_json::to_string(result) {
        Ok(json) => reply_raw(id, &json),
        Err(e) => error(
            id,
            &RpcError::internal(format!("the reply could not be encoded: {e}")),
        ),
    }
}

/// The same when it has at most `most` bytes; `None` when it has more, after no more work than that.
pub fn reply_within<T: Serialize>(id: &Value, result: &T, most: usize) -> Option<Bytes> {
    struct Bounded {
        json: Vec<u8>,
        most: usize,
    }
    impl std::io::Write for Bounded {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.json.len() + bytes.len() > self.most {
                return Err(std::io::ErrorKind::FileTooLarge.into());
            }
            self.json.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let json = Vec::new();
    let mut bounded = Bounded { json, most };
    serde_json::to_writer(&mut bounded, result).ok()?;
    let json = String::from_utf8(bounded.json).ok()?;
    Some(reply_raw(id, &json))
}

/// A success reply whose result is JSON already.
pub fn reply_raw(id: &Value, result_json: &str) -> Bytes {
    Bytes::from(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{result_json}}}"#
    ))
}

/// An error reply.
pub fn error(id: &Value, error: &RpcError) -> Bytes {
    let json = serde_json::to_string(error)
        .unwrap_or_else(|_| r#"{"code":-32603,"message":"internal error"}"#.into());
    Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{json}}}"#))
}

/// A notification whose parameters are encoded here.
pub fn notification<T: Serialize>(method: &str, params: &T) -> Bytes {
    let json = serde_json::to_string(params).unwrap_or_else(|_| "{}".into());
    Bytes::from(format!(
        r#"{{"jsonrpc":"2.0","method":"{method}","params":{json}}}"#
    ))
}

/// Everything before the envelope in an `action` notification; see [`action`].
pub const ACTION_PREFIX: &str = r#"{"jsonrpc":"2.0","method":"action","params":"#;

/// An `action` notification around an envelope that is JSON already.
pub fn action(envelope_json: &str) -> Bytes {
    Bytes::from(format!("{ACTION_PREFIX}{envelope_json}}}"))
}

/// The envelope inside an `action` notification made by [`action`].
pub fn envelope_of(notification: &Bytes) -> Bytes {
    notification.slice(ACTION_PREFIX.len()..notification.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reply_echoes_the_id_as_it_came() {
        assert_eq!(
            &reply(&json!("a\"b"), &json!({"x": 1}))[..],
            br#"{"jsonrpc":"2.0","id":"a\"b","result":{"x":1}}"#
        );
        assert_eq!(
            &reply(&json!(7), &json!(null))[..],
            br#"{"jsonrpc":"2.0","id":7,"result":null}"#
        );
    }

    #[test]
    fn a_reply_that_may_be_so_long_is_the_same_or_none() {
        let result = json!({"x": "y".repeat(100)});
        let whole = reply(&json!(7), &result);
        let length = result.to_string().len();
        assert_eq!(reply_within(&json!(7), &result, length), Some(whole));
        assert_eq!(reply_within(&json!(7), &result, length - 1), None);
    }

    #[test]
    fn an_envelope_comes_out_as_it_went_in() {
        let notification = action(r#"{"channel":"c","serverSeq":1}"#);
        assert_eq!(
            &envelope_of(&notification)[..],
            br#"{"channel":"c","serverSeq":1}"#
        );
        serde_json::from_slice::<Value>(&notification).unwrap();
    }
}
