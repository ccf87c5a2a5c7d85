//! What buckets, objects and requests for them are. No I/O, no clock.

pub(super) mod begun_by;
pub(super) mod bucket;
pub(super) mod conditions;
pub(super) mod disposition;
pub(super) mod key;
pub(super) mod listing;
pub(super) mod object;
pub(super) mod options;
pub(super) mod range;
pub(super) mod scan;
pub(super) mod served_type;
pub(super) mod sniff;
pub(super) mod token;
