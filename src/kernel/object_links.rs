//! A port for the addresses of stored objects: storage knows them and has the keys, others show them.

/// Where stored objects can be fetched without a token of the caller's.
pub trait ObjectLinks: Send + Sync {
    /// The URL of an object, by its path `bucket/name`, in a public bucket.
    fn public(&self, path: &str) -> String;

    /// A URL that opens this object for a while; none if it cannot be signed. Whoever asks has made sure that it may be
    /// shown to the caller.
    fn signed(&self, path: &str) -> Option<String>;
}
