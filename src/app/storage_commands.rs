//! `goforward storage`: compares the bytes of objects with the rows about them, without a server or beside one.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::app::policy_commands::owner_of;
use crate::app::reach;
use crate::cli::{ActionError, StorageReport, StorageTask};
use crate::kernel::clock::Clock;
use crate::kernel::config::Loaded;
use crate::storage::blobs;
use crate::storage::fsck::{self, Check, Difference, Report};

/// Does what the command line asks.
pub(super) async fn carry_out(loaded: &Loaded, task: StorageTask) -> Result<StorageReport, ActionError> {
    let StorageTask::Check { repair, remove_objects, json } = task;
    let config = &loaded.config;
    if config.storage.url.as_deref() == Some("memory:") {
        return Err("bytes in memory are known to their server alone: `storage.url` is memory:".into());
    }
    let bytes = blobs::open(&config.storage, &config.embedded.data_dir, config.server.read_timeout.get())?;
    let (place, owner) = owner_of(config)?;
    let mut connection = reach::connect(&owner, &place).await?;
    let check = Check {
        grace: config.storage.upload_grace.get(),
        now: Clock::system().unix_millis(),
        repairs: repair,
        removes_objects: remove_objects,
        scans: config.storage.scan.url.is_some(),
    };
    let report = fsck::run(&mut connection, &bytes, check).await;
    let _ = connection.close().await;
    let report = report?;
    let text = if json { format!("{:#}\n", as_json(&report)) } else { as_text(&report, repair) };
    Ok(StorageReport { text, differs: report.found > report.repaired })
}

fn as_json(report: &Report) -> Value {
    let difference = |difference: &Difference| {
        let (bucket, name) = difference.object.clone().unzip();
        json!({
            "kind": difference.kind.name(),
            "version": difference.version,
            "bucket": bucket,
            "name": name,
            "bytes": difference.bytes,
            "repaired": difference.is_repaired,
            "failure": difference.failure,
        })
    };
    json!({
        "blobs": report.blobs,
        "objects": report.objects,
        "foreign": report.foreign,
        "found": report.found,
        "repaired": report.repaired,
        "wrong_pair": report.is_wrong_pair,
        "differences": report.differences.iter().map(difference).collect::<Vec<_>>(),
    })
}

// Writing to a String cannot fail.
fn as_text(report: &Report, repairs: bool) -> String {
    let mut text = String::new();
    for difference in &report.differences {
        let _ = write!(text, "{}", difference.kind.name().replace('_', " "));
        if let Some((bucket, name)) = &difference.object {
            let _ = write!(text, " {bucket}/{name}");
        }
        if let Some(version) = &difference.version {
            let _ = write!(text, " ({version})");
        }
        if let Some(bytes) = difference.bytes {
            let _ = write!(text, ", {bytes} bytes");
        }
        match (&difference.failure, difference.is_repaired) {
            (Some(failure), _) => {
                let _ = write!(text, ": cannot be repaired: {failure}");
            }
            (None, true) => text.push_str(": repaired"),
            (None, false) if repairs => text.push_str(": left as it is"),
            (None, false) => {}
        }
        text.push('\n');
    }
    if let Some(more) = report.found.checked_sub(report.differences.len() as u64).filter(|more| *more > 0) {
        let _ = writeln!(text, "and {more} more");
    }
    if report.is_wrong_pair && report.found > 0 {
        text.push_str(
            "Not one of the blobs is known to this database: are `storage.url` and the database those of one installation? \
             Nothing is removed for want of its other side.\n",
        );
    }
    let Report { blobs, objects, found, repaired, .. } = report;
    let _ = writeln!(text, "{blobs} blobs, {objects} objects; {found} differences, {repaired} repaired");
    text
}
