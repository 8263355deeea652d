//! The channels' URIs and the ids in them.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The root channel.
pub const ROOT: &str = "ahp-root://";
const SESSION: &str = "ahp-session:/";
const CHAT: &str = "ahp-chat:/";

/// The URI of a session that does not exist yet.
pub fn new_session_uri() -> String {
    format!("{SESSION}{}", uuid::Uuid::new_v4())
}

/// The URI of the session with this id.
pub fn session_uri(id: &str) -> String {
    format!("{SESSION}{id}")
}

/// The id of a session, from its URI.
pub fn session_id(uri: &str) -> &str {
    uri.strip_prefix(SESSION).unwrap_or(uri)
}

/// The default chat of a session.
pub fn chat_uri(session: &str) -> String {
    format!("{CHAT}{}", session_id(session))
}

/// The beginning of an id that people read and type.
pub fn short_id(uri: &str) -> String {
    session_id(uri).chars().take(8).collect()
}

/// A `file:` URI of an absolute path; bytes that a URI cannot hold are escaped.
pub fn file_uri(path: &Path) -> String {
    let mut uri = String::from("file://");
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

/// The path of a `file:` URI.
pub fn path_of_file_uri(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix("file://")?.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    let mut i = 0;
    while let Some(&byte) = rest.get(i) {
        let escaped = (byte == b'%')
            .then(|| rest.get(i + 1..i + 3))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(escaped.unwrap_or(byte));
        i += if escaped.is_some() { 3 } else { 1 };
    }
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

/// A path as people write it: `~` for the home folder.
pub(crate) fn short_path(path: &Path, home: Option<&OsStr>) -> String {
    let home = home.map(Path::new).filter(|home| home.is_absolute());
    match home.and_then(|home| path.strip_prefix(home).ok()) {
        Some(rest) if rest.as_os_str().is_empty() => "~".to_owned(),
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_uris_survive_a_round_trip() {
        for path in ["/a/b", "/with space/ü", "/50%/x#y?z", "/日本"] {
            let uri = file_uri(Path::new(path));
            assert!(uri.is_ascii(), "{uri}");
            assert_eq!(path_of_file_uri(&uri).unwrap(), Path::new(path));
        }
        assert_eq!(path_of_file_uri("file:///a%").unwrap(), Path::new("/a%"));
        assert!(path_of_file_uri("http://x").is_none());
    }

    #[test]
    fn ids_and_uris() {
        assert_eq!(session_id("ahp-session:/abc"), "abc");
        assert_eq!(chat_uri("ahp-session:/abc"), "ahp-chat:/abc");
        assert_eq!(short_id("ahp-session:/0123456789"), "01234567");
    }

    #[test]
    fn the_home_folder_is_short() {
        let home = Some(OsStr::new("/home/ada"));
        assert_eq!(short_path(Path::new("/home/ada"), home), "~");
        assert_eq!(short_path(Path::new("/home/ada/x"), home), "~/x");
        assert_eq!(short_path(Path::new("/home/adam"), home), "/home/adam");
        assert_eq!(short_path(Path::new("/x"), None), "/x");
    }
}
