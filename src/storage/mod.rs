//! The storage service: buckets and objects, by REST as Supabase's clients speak it.
//!
//! `model` is what objects, names and requests are, without I/O; `blobs` keeps the bytes; `store` has the SQL, in a caller's
//! name or the service's own; `flow` has the operations that all protocols share; `image` transforms pictures; `http` is the
//! REST protocol, `tus` that of resumable uploads, `s3` that of S3; `jobs` has what is done after a request. Who may do what is
//! decided by the policies on `storage.objects` and `storage.buckets`, for each operation. `fsck` compares bytes and rows.
//!
//! No bytes are lost or left over: a blob is announced in the database before its first byte is written, an object's row
//! names the blob that is complete, and what no row names is swept.

mod credentials;
mod error;
mod flow;
mod http;
mod links;
mod metrics;
mod model;
mod state;
mod tus;

pub mod blobs;
pub mod fsck;
pub mod image;
pub mod jobs;
pub mod s3;
pub mod store;

pub use http::router;
pub use links::Links;
pub use state::{Parts, StorageState};
pub use store::purges::switch as set_telling_caches;
