//! Signature version 4 (AWS Signature Version 4 for S3): in the `Authorization` header, in the query of a presigned URL,
//! and over the policy of a browser's form.
//!
//! A [`Claim`] is what a request says about itself; only [`Claim::verify`] makes it more than that. A form's policy stays
//! closed text until its signature holds (H04). A signature is compared as text of any length, in constant time (H05).

mod canonical;
mod claim;
mod credential;
mod form;
mod key;
mod policy;
#[cfg(test)]
mod tests;

pub use canonical::SignedRequest;
pub(super) use canonical::encode_path;
pub use claim::{Claim, MAX_EXPIRY, MAX_SKEW};
pub use credential::{AmzDate, Credential, Regions};
pub use form::{AcceptedForm, Form, FormClaim, SignedPolicy};
pub use key::{ChunkSigner, SigningKey};
