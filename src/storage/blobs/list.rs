//! What lies in the backend, as a stream, and what writers that were killed left in a folder.
//!
//! `object_store` writes a local file as `name#1` and renames it when it is complete; it shows such files to nobody.

use std::fs;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::time::SystemTime;

use futures_util::stream::{BoxStream, StreamExt};
use object_store::ObjectMeta;
use uuid::Uuid;

use super::{Blobs, path};

/// Something that lies in the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Listed {
    /// A blob.
    Blob {
        /// Its name.
        version: Uuid,
        /// In bytes.
        size: u64,
        /// When it was written, in milliseconds since 1970.
        written_at: i64,
    },
    /// Something that no version is called: none of ours.
    Foreign,
}

impl Blobs {
    /// Everything that is there, in no order. Memory is a page of it.
    pub(in crate::storage) fn list(&self) -> BoxStream<'static, Result<Listed, object_store::Error>> {
        self.store.list(None).map(|found| found.map(|found| listed(&found))).boxed()
    }

    /// Files in the folder, at most so many, of writers that were killed, and that nobody has written to since `before`.
    pub(in crate::storage) async fn unfinished(
        &self,
        before: SystemTime,
        most: usize,
    ) -> io::Result<Vec<PathBuf>> {
        let Some(folder) = self.folder.clone() else { return Ok(Vec::new()) };
        blocking(move || Ok(unfinished_in(&folder, before)?.take(most).collect())).await
    }

    /// Removes such a file.
    pub(in crate::storage) async fn remove_file(&self, file: PathBuf) -> io::Result<()> {
        blocking(move || removed(&file)).await
    }

    /// Removes what a writer of this blob that was killed left of it.
    pub(super) async fn remove_unfinished(&self, version: Uuid) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let file = folder.join(format!("{}#1", path(version)));
        blocking(move || removed(&file)).await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn removed(file: &FilePath) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn listed(found: &ObjectMeta) -> Listed {
    match version_of(found.location.as_ref()) {
        Some(version) => {
            Listed::Blob { version, size: found.size, written_at: found.last_modified.timestamp_millis() }
        }
        None => Listed::Foreign,
    }
}

/// The version that has this path, if one has.
fn version_of(text: &str) -> Option<Uuid> {
    let version = Uuid::try_parse(text.split_once('/')?.1).ok()?;
    (path(version).as_ref() == text).then_some(version)
}

/// The version that has not been finished in a file of this name, if it is one.
fn unfinished_version(name: &str) -> Option<Uuid> {
    let (name, number) = name.split_once('#')?;
    let version = Uuid::try_parse(name).ok().filter(|version| version.as_simple().to_string() == name)?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(version)
}

fn unfinished_in(folder: &FilePath, before: SystemTime) -> io::Result<impl Iterator<Item = PathBuf>> {
    let folders = fs::read_dir(folder)?.flatten().filter(|entry| entry.file_name().len() == 2);
    let files = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
    let unfinished = files.filter(move |file| {
        file.file_name().to_str().and_then(unfinished_version).is_some()
            && file.metadata().and_then(|known| known.modified()).is_ok_and(|modified| modified < before)
    });
    Ok(unfinished.map(|file| file.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_as_a_blob_is_one() {
        let version = Uuid::from_u128(0xab12_u128 << 112);
        let name = version.as_simple().to_string();
        assert_eq!(version_of(path(version).as_ref()), Some(version));
        for other in
            [&name, &format!("ac/{name}"), &format!("ab/{version}"), &format!("ab/{name}.txt"), "ab", ""]
        {
            assert_eq!(version_of(other), None, "{other}");
        }
        assert_eq!(unfinished_version(&format!("{name}#1")), Some(version));
        assert_eq!(unfinished_version(&format!("{name}#12")), Some(version));
        for other in [&name, &format!("{name}#"), &format!("{name}#x"), &format!("{version}#1"), "notes#1"] {
            assert_eq!(unfinished_version(other), None, "{other}");
        }
    }
}
