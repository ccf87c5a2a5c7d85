//! The counters of the service.

use metrics::counter;

/// An operation was refused, with this code.
pub(super) fn refused(code: &'static str) {
    counter!("goforward_storage_refused_total", "code" => code).increment(1);
}

/// So many bytes of an upload were stored.
pub(super) fn stored(bytes: u64) {
    counter!("goforward_storage_uploads_total").increment(1);
    counter!("goforward_storage_uploaded_bytes_total").increment(bytes);
}

/// So many blobs were swept.
pub(super) fn swept(blobs: u64) {
    counter!("goforward_storage_swept_blobs_total").increment(blobs);
}

/// A scan ended like this.
pub(super) fn scanned(outcome: &'static str) {
    counter!("goforward_storage_scans_total", "outcome" => outcome).increment(1);
}

/// Caches were told, or could not be.
pub(super) fn told_caches(outcome: &'static str) {
    counter!("goforward_storage_purges_total", "outcome" => outcome).increment(1);
}
