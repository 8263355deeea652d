//! JSON-RPC 2.0 over lines, as ACP speaks it on stdio.
//!
//! Everything here is plain data: a half-read line, the ids of open requests. A connection can be
//! described completely by these values, which is what handing it to another process needs.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Longest line an agent may send. Beyond it the agent is broken and is stopped.
pub const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

/// One message of an agent.
#[derive(Debug)]
pub enum Incoming {
    /// The agent asks; it must get exactly one answer with this id.
    Request {
        /// The agent's id, echoed as it came.
        id: Value,
        /// Method name.
        method: String,
        /// Parameters, not yet decoded.
        params: Box<RawValue>,
    },
    /// The agent tells.
    Notification {
        /// Method name.
        method: String,
        /// Parameters, not yet decoded.
        params: Box<RawValue>,
    },
    /// The answer to a request of ours.
    Response {
        /// Our id.
        id: i64,
        /// Result or error.
        result: Result<Box<RawValue>, RpcFailure>,
    },
}

/// An error answer of an agent.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct RpcFailure {
    /// JSON-RPC code.
    pub code: i64,
    /// Words, of the agent's.
    #[serde(default)]
    pub message: String,
    /// Details.
    #[serde(default)]
    pub data: Option<Value>,
}

#[derive(serde::Deserialize)]
struct Wire<'a> {
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    method: Option<String>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<RpcFailure>,
}

/// Reads one line. The error says what is wrong with it, without its content.
pub fn parse(line: &[u8]) -> Result<Incoming, String> {
    // The error of the parser quotes what it found, which may be a secret.
    let wire: Wire<'_> = serde_json::from_slice(line).map_err(|e| {
        let (line, column) = (e.line(), e.column());
        format!(
            "not a JSON-RPC message: {:?} error at {line}:{column}",
            e.classify()
        )
    })?;
    let owned = |raw: Option<&RawValue>| raw.map_or_else(empty_object, RawValue::to_owned);
    match (wire.id, wire.method) {
        (Some(id), Some(method)) => Ok(Incoming::Request {
            id,
            method,
            params: owned(wire.params),
        }),
        (None, Some(method)) => Ok(Incoming::Notification {
            method,
            params: owned(wire.params),
        }),
        (Some(id), None) => {
            let id = id
                .as_i64()
                .ok_or("an answer to a request that was never sent")?;
            let result = match wire.error {
                Some(failure) => Err(failure),
                None => Ok(wire.result.map_or_else(empty_object, RawValue::to_owned)),
            };
            Ok(Incoming::Response { id, result })
        }
        (None, None) => Err("neither a request nor an answer".into()),
    }
}

fn empty_object() -> Box<RawValue> {
    RawValue::from_string("{}".into()).unwrap_or_default()
}

/// A request of ours as a line.
pub fn request(id: i64, method: &str, params: &impl serde::Serialize) -> String {
    line(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
}

/// A notification of ours as a line.
pub fn notification(method: &str, params: &impl serde::Serialize) -> String {
    line(json!({"jsonrpc": "2.0", "method": method, "params": params}))
}

/// The answer to an agent's request as a line.
pub fn response(id: &Value, result: &impl serde::Serialize) -> String {
    line(json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

/// A refusal of an agent's request as a line.
pub fn refusal(id: &Value, code: i64, message: &str) -> String {
    line(json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}))
}

fn line(value: Value) -> String {
    let mut text = value.to_string();
    text.push('\n');
    text
}

/// The requests of ours that have no answer yet, each with why it was sent.
#[derive(Debug, Clone)]
pub struct OpenRequests<P> {
    next_id: i64,
    open: BTreeMap<i64, P>,
}

impl<P> Default for OpenRequests<P> {
    fn default() -> Self {
        Self {
            next_id: 1,
            open: BTreeMap::new(),
        }
    }
}

impl<P> OpenRequests<P> {
    /// Opens a request and gives its id.
    pub fn open(&mut self, purpose: P) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        self.open.insert(id, purpose);
        id
    }

    /// Closes the request `id`; `None` for an answer nobody waits for.
    pub fn close(&mut self, id: i64) -> Option<P> {
        self.open.remove(&id)
    }

    /// The open purposes.
    pub fn iter(&self) -> impl Iterator<Item = &P> {
        self.open.values()
    }
}

/// Cuts a byte stream into lines; keeps the half-read one.
#[derive(Debug, Default)]
pub struct LineBuffer {
    partial: Vec<u8>,
}

/// An agent sent a line longer than [`MAX_LINE_BYTES`].
#[derive(Debug, PartialEq, Eq)]
pub struct LineTooLong;

impl LineBuffer {
    /// Adds bytes and gives the lines that are complete, without their line ends.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, LineTooLong> {
        let mut lines = Vec::new();
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            let mut line = std::mem::take(&mut self.partial);
            line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if line.len() > MAX_LINE_BYTES {
                return Err(LineTooLong);
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                lines.push(line);
            }
        }
        if self.partial.len() + bytes.len() > MAX_LINE_BYTES {
            return Err(LineTooLong);
        }
        self.partial.extend_from_slice(bytes);
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_however_they_came_in() {
        let mut buffer = LineBuffer::default();
        assert_eq!(buffer.push(b"{\"a\"").unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(
            buffer.push(b":1}\r\n\n{}\n{").unwrap(),
            [b"{\"a\":1}".to_vec(), b"{}".to_vec()]
        );
        assert_eq!(buffer.push(b"}\n").unwrap(), [b"{}".to_vec()]);
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_limit() {
        let mut buffer = LineBuffer::default();
        let block = vec![b'x'; MAX_LINE_BYTES / 2];
        assert!(buffer.push(&block).is_ok());
        assert!(buffer.push(&block).is_ok());
        assert_eq!(buffer.push(b"x"), Err(LineTooLong));
    }

    #[test]
    fn every_shape_of_message_is_told_apart() {
        assert!(matches!(
            parse(br#"{"id":"x","method":"m"}"#),
            Ok(Incoming::Request { .. })
        ));
        assert!(matches!(
            parse(br#"{"method":"m","params":{}}"#),
            Ok(Incoming::Notification { .. })
        ));
        assert!(matches!(
            parse(br#"{"id":3,"result":null}"#),
            Ok(Incoming::Response {
                id: 3,
                result: Ok(_)
            })
        ));
        assert!(matches!(
            parse(br#"{"id":3,"error":{"code":-1}}"#),
            Ok(Incoming::Response {
                id: 3,
                result: Err(_)
            })
        ));
        for bad in [
            &b"nonsense"[..],
            b"[]",
            b"{}",
            br#"{"id":"text","result":1}"#,
            b"\xff",
        ] {
            assert!(parse(bad).is_err());
        }
        let secret = br#"{"id":1,"error":"no access for key sk-1234"}"#;
        let reason = parse(secret).unwrap_err();
        assert_eq!(reason, "not a JSON-RPC message: Data error at 1:43");
    }
}
