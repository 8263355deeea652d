//! The link's files: JSON that only its owner can read. A file that is there and cannot be read is an
//! error, and never written over.

use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::content::private;

/// Why one of the link's files is of no use, in words for people.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system said no.
    #[error("{} cannot be used: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is in it is not what belongs there. Says nothing of the content, which is secret.
    #[error(
        "{} is damaged or of a newer version; move it away to begin anew, or restore it from a copy",
        path.display()
    )]
    NotUnderstood {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a file; `None` when there is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    let failed = |source| FileError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = match private::options().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = Zeroizing::new(Vec::new());
    file.read_to_end(&mut text).map_err(failed)?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|_| FileError::NotUnderstood {
            path: path.to_owned(),
        })
}

/// Replaces a file. On return it is on disk.
pub(super) fn write(path: &Path, content: &impl Serialize) -> Result<(), FileError> {
    let failed = |source| FileError::Io {
        path: path.to_owned(),
        source,
    };
    let text = serde_json::to_vec_pretty(content).map_err(|e| failed(e.into()))?;
    let text = Zeroizing::new(text);
    if let Some(folder) = path.parent() {
        private::create_folder(folder).map_err(failed)?;
    }
    private::write_atomically(path, &text).map_err(failed)
}

/// Removes a file; that there is none is fine.
pub(super) fn remove(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(FileError::Io {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// 32 bytes in a file: base64url, as everywhere on the link.
pub(super) mod bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde::{Deserialize, Deserializer, Serializer, de};
    use zeroize::Zeroizing;

    pub(in super::super) fn serialize<S: Serializer>(
        bytes: &[u8; 32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes)))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; 32], D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let wrong = || de::Error::custom("not 32 bytes of base64url");
        let bytes = Zeroizing::new(
            URL_SAFE_NO_PAD
                .decode(text.as_bytes())
                .map_err(|_| wrong())?,
        );
        bytes.as_slice().try_into().map_err(|_| wrong())
    }
}
