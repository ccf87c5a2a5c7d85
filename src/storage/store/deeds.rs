//! What is done to access keys, and what `storage fsck` mends: how the audit log names it.

use serde_json::{Value, json};

use crate::kernel::db::deed::Deed;
use crate::storage::fsck::Report;

/// An access key is made, whose holder acts under a role; its id where it is known.
pub fn make_key(access_key_id: Option<&str>, role: &str) -> Deed {
    on_keys("storage.s3_key.create", json!({ "access_key_id": access_key_id, "role": role }))
}

/// An access key is taken away.
pub fn remove_key(access_key_id: &str) -> Deed {
    on_keys("storage.s3_key.delete", json!({ "access_key_id": access_key_id }))
}

/// A request of somebody who may change nothing.
pub(in crate::storage) fn not_allowed(path: &str) -> Deed {
    on_keys("storage.manage", json!({ "path": path }))
}

fn on_keys(verb: &'static str, key: Value) -> Deed {
    Deed::new(verb, ("goforward", "storage_s3_keys"), Some(key))
}

/// `storage fsck --repair` has ended, or failed, with this.
pub fn repair(report: &Report) -> Deed {
    let key = json!({ "found": report.found, "repaired": report.repaired });
    Deed::new("storage.fsck.repair", ("storage", "objects"), Some(key))
}

/// `storage fsck --remove-objects` removes an object that has no bytes.
pub(in crate::storage) fn remove_object(bucket: &str, name: &str, version: Option<&str>) -> Deed {
    let key = json!({ "bucket": bucket, "name": name, "version": version });
    Deed::new("storage.fsck.remove_object", ("storage", "objects"), Some(key))
}
