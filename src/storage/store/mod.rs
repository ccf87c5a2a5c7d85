//! The SQL of the service: what is done in a caller's name goes through [`caller`], everything else through the service's own
//! connections.

pub(super) mod blobs;
pub(super) mod buckets;
pub(super) mod caller;
pub mod deeds;
pub(super) mod fsck;
pub(super) mod listing;
pub(super) mod objects;
pub(super) mod purges;
pub(super) mod quotas;
pub mod s3_keys;
pub(super) mod s3_uploads;
pub(super) mod scans;
pub(super) mod thumbnails;
pub(super) mod tus;
