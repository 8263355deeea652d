//! How the relay speaks of others in its log.

/// The first digits of an id: enough to find it again, not enough to be it.
pub(crate) fn short(id: impl std::fmt::Display) -> String {
    id.to_string().chars().take(8).collect()
}
