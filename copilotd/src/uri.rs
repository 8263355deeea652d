//! `file:` URIs and the percent-encoding that our own URIs share with them.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// Everything but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The same, with the separators of a path left as they are.
const PATH: &AsciiSet = &SEGMENT.remove(b'/');

/// The `file:` URI of an absolute path, whatever bytes it has.
pub fn of_path(path: &Path) -> String {
    format!(
        "file://{}",
        percent_encode(path.as_os_str().as_bytes(), PATH)
    )
}

/// The path of a local `file:` URI; `None` for any other URI.
pub fn to_path(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix("file://")?;
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    let bytes: Vec<u8> = percent_decode(path.as_bytes()).collect();
    let absolute = path.starts_with('/') && !path.contains(['?', '#']) && !bytes.contains(&0);
    absolute.then(|| PathBuf::from(OsString::from_vec(bytes)))
}

/// One segment of a URI's path.
pub fn segment(text: &str) -> String {
    percent_encode(text.as_bytes(), SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_survives_the_way_through_a_uri() {
        for path in [&b"/home/me"[..], b"/a b/\xff\n?#%", "/ä/日本".as_bytes()] {
            let path = PathBuf::from(OsString::from_vec(path.to_vec()));
            assert_eq!(to_path(&of_path(&path)), Some(path));
        }
        assert_eq!(of_path(Path::new("/a b")), "file:///a%20b");
    }

    #[test]
    fn what_is_no_local_file_is_refused() {
        for uri in [
            "http://x/y",
            "file:relative",
            "file://host/x",
            "file:///a%00b",
            "file:///a?b",
            "",
        ] {
            assert_eq!(to_path(uri), None, "{uri}");
        }
    }
}
