//! Resumable uploads by TUS 1.0 (contract section 9; <https://tus.io/protocols/resumable-upload>).
//!
//! Each PATCH writes what it brings as blobs of its own, and a row moves the offset on with each of them, so that at any moment
//! it is known what has arrived, on every backend and every node. When all has, the parts are read as one stream, which is
//! stored as any other upload is. Whoever writes to an upload holds a lease on it that ends by itself.
//!
//! `headers`, `metadata`, `id`, `checksum` and `location` are pure; `arriving` is a body that may break off; `receive` takes
//! bytes and `finish` makes the object; `requests` is the protocol.

mod answer;
mod arriving;
mod checksum;
mod finish;
mod headers;
mod hold;
mod id;
mod location;
mod metadata;
mod receive;
mod requests;
mod writer;

pub(super) use requests::router;
