//! Writing an object: it is allowed, then announced, then its bytes are stored, and then it is there.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, StreamExt};
use serde_json::{Value, json};
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use crate::kernel::db::pool;
use crate::storage::blobs::{WriteError, Written};
use crate::storage::error::StorageError;
use crate::storage::metrics;
use crate::storage::model::bucket::Bucket;
use crate::storage::model::key::ObjectKey;
use crate::storage::model::object::StoredMetadata;
use crate::storage::model::options::UploadOptions;
use crate::storage::model::sniff;
use crate::storage::state::StorageState;
use crate::storage::store::caller::Acting;
use crate::storage::store::objects::{self, At, Draft, Follow};
use crate::storage::store::quotas::{self, Wanted};
use crate::storage::store::{blobs, buckets};

/// How often a writer says that it is still at work.
const TOUCH: Duration = Duration::from_secs(20);

/// What is to be written, and where.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Target {
    /// The bucket.
    pub(in crate::storage) bucket: Bucket,
    /// The key.
    pub(in crate::storage) key: ObjectKey,
    /// Whose it is to be.
    pub(in crate::storage) owner: Option<String>,
    /// What the client says of it.
    pub(in crate::storage) options: UploadOptions,
    /// Whether an object that is there may be replaced.
    pub(in crate::storage) upsert: bool,
    /// Which one, as policies were asked about it: the nil id where there was none. None: whichever is there.
    pub(in crate::storage) replaceable: Option<Uuid>,
}

impl Target {
    /// The bucket whose rules of types hold for the bytes; none for what only holds a folder open.
    pub(in crate::storage) fn looked_at(&self) -> Option<&Bucket> {
        (!self.key.is_placeholder()).then_some(&self.bucket)
    }
}

/// An object that has been written.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Uploaded {
    /// Its id.
    pub(in crate::storage) id: Uuid,
    /// What the bytes are.
    pub(in crate::storage) metadata: StoredMetadata,
}

impl StorageState {
    /// The bucket in which something is to be written.
    pub(in crate::storage) async fn bucket(&self, id: &str) -> Result<Bucket, StorageError> {
        buckets::find(&self.pool, id).await
    }

    /// Whether a write is allowed as far as is known before its bytes: by type, announced size, and the caller's policies.
    pub(in crate::storage) async fn admit(
        &self,
        acting: Option<&Acting>,
        target: &mut Target,
        announced: Option<u64>,
    ) -> Result<(), StorageError> {
        let mime = target.options.mime();
        if !target.key.is_placeholder() && !target.bucket.allows_type(mime) {
            return Err(StorageError::InvalidMimeType(mime.to_owned()));
        }
        if announced.is_some_and(|size| size > self.limit(target)) {
            return Err(StorageError::EntityTooLarge);
        }
        match acting {
            Some(acting) => self.probe(acting, target, announced).await,
            None => Ok(()),
        }
    }

    /// Whether the caller's policies allow a write, and which object it may replace: policies say nothing of an object that
    /// somebody makes while the bytes are on their way.
    pub(in crate::storage) async fn probe(
        &self,
        acting: &Acting,
        target: &mut Target,
        announced: Option<u64>,
    ) -> Result<(), StorageError> {
        let metadata = json!({ "mimetype": target.options.mime(), "contentLength": announced });
        let version = self.new_version();
        objects::probe(&self.callers, acting, &draft(target, version, &metadata), target.upsert).await?;
        if target.upsert && !self.is_server(acting) {
            let at = At { bucket: &target.bucket.id, name: target.key.as_str() };
            let there = objects::find(&self.callers, acting, at).await?;
            target.replaceable = Some(there.map_or(Uuid::nil(), |object| object.id));
        }
        Ok(())
    }

    /// Stores the bytes and makes the object. The caller has been admitted.
    pub(in crate::storage) async fn store<S, E>(
        &self,
        target: &Target,
        body: S,
    ) -> Result<Uploaded, StorageError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        StorageError: From<E>,
    {
        let staged = self.stage(target, body).await?;
        let transaction = pool::begin(&self.pool).await?;
        self.place(transaction, target, staged).await
    }

    /// Stores the bytes of an object that is yet to be made.
    pub(in crate::storage) async fn stage<S, E>(
        &self,
        target: &Target,
        body: S,
    ) -> Result<Staged, StorageError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        StorageError: From<E>,
    {
        self.stage_part(target.looked_at(), body, self.limit(target)).await
    }

    /// Stores bytes, at most `limit`, that are not an object by themselves. Those that the bucket does not take are refused.
    pub(in crate::storage) async fn stage_part<S, E>(
        &self,
        looked_at: Option<&Bucket>,
        body: S,
        limit: u64,
    ) -> Result<Staged, StorageError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        StorageError: From<E>,
    {
        let body = Box::pin(body.map(|piece| piece.map_err(StorageError::from)));
        let mut body = pin!(
            stream::unfold(body, |mut body| async move {
                let piece = self.next(&mut body).await?;
                Some((piece, body))
            })
            .fuse()
        );
        let first = first_bytes(looked_at, &mut body).await?;
        self.stage_blob(stream::iter([Ok(first)]).chain(body), limit).await
    }

    /// Announces a blob and stores its bytes, at most so many. How long the body may pause is its own business.
    pub(in crate::storage) async fn stage_blob(
        &self,
        body: impl Stream<Item = Result<Bytes, StorageError>> + Send,
        limit: u64,
    ) -> Result<Staged, StorageError> {
        let version = self.new_version();
        blobs::announce(&self.pool, version).await?;
        // Whoever hangs up from here on leaves a blob that somebody must sweep.
        let abandoned = Abandoned { state: self.clone(), version, is_open: true };
        let written = Box::pin(self.write(version, body, limit)).await?;
        Ok(Staged { written, abandoned })
    }

    /// The largest object that may be written there.
    pub(in crate::storage) fn limit(&self, target: &Target) -> u64 {
        if target.key.is_placeholder() {
            return 0;
        }
        target.bucket.largest_object(self.config.file_size_limit.get())
    }

    /// Refuses bytes for which there is no room now, of a resumable upload or another one.
    pub(in crate::storage) async fn has_room(
        &self,
        upload: Option<Uuid>,
        target: &Target,
        size: u64,
    ) -> Result<(), StorageError> {
        let wanted = Wanted { bucket: &target.bucket.id, owner: target.owner.as_deref(), size, upload };
        quotas::check(&self.pool, &wanted).await
    }

    /// The next piece of a body, unless it takes too long.
    async fn next(
        &self,
        body: &mut (impl Stream<Item = Result<Bytes, StorageError>> + Unpin),
    ) -> Option<Result<Bytes, StorageError>> {
        match tokio::time::timeout(self.body_pause, body.next()).await {
            Ok(piece) => piece,
            Err(_) => Some(Err(StorageError::Aborted)),
        }
    }

    /// Writes the bytes, and says meanwhile that somebody is at it.
    async fn write(
        &self,
        version: Uuid,
        body: impl Stream<Item = Result<Bytes, StorageError>> + Send,
        limit: u64,
    ) -> Result<Written, StorageError> {
        let written = self.touching(version, self.blobs.write(version, body, limit)).await?;
        written.map_err(|error| match error {
            WriteError::Source(error) => error,
            WriteError::TooLarge => StorageError::EntityTooLarge,
            WriteError::Stalled => StorageError::Aborted,
            WriteError::Busy => StorageError::Busy,
            WriteError::Backend(error) => error.into(),
        })
    }

    /// Does what takes long, and says meanwhile that a blob is still wanted which no row names yet.
    pub(in crate::storage) async fn touching<T>(
        &self,
        version: Uuid,
        work: impl Future<Output = T>,
    ) -> Result<T, StorageError> {
        let mut work = pin!(work);
        let mut turns = tokio::time::interval(TOUCH);
        turns.tick().await;
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                _ = turns.tick() => match blobs::touch(&self.pool, version).await {
                    Ok(true) => {}
                    Ok(false) => return Err(StorageError::GivenUp),
                    // The end of the upload tells whether it is still announced.
                    Err(error) => tracing::warn!("cannot say that an upload goes on: {error}"),
                },
            }
        }
    }

    /// Makes the object of bytes that are stored, in a transaction in which the caller may have done more.
    pub(in crate::storage) async fn place(
        &self,
        transaction: Transaction<'_, Postgres>,
        target: &Target,
        staged: Staged,
    ) -> Result<Uploaded, StorageError> {
        let written = &staged.written;
        let mut metadata = StoredMetadata::new(
            &written.md5,
            written.size,
            self.clock.unix_millis(),
            target.options.mime().to_owned(),
            target.options.caching().to_owned(),
        );
        metadata.x_robots_tag.clone_from(&target.options.robots);
        metadata.content_encoding.clone_from(&target.options.content_encoding);
        let json = metadata.to_json();
        let draft = draft(target, staged.abandoned.version, &json);
        let follow = self.follow(&metadata);
        let replaces = (target.upsert, target.replaceable);
        let id = objects::commit(transaction, &draft, replaces, (follow, self.clock.unix_millis())).await?;
        metrics::stored(written.size);
        staged.keep();
        if follow.is_some() {
            self.bell.ring();
        }
        if target.upsert {
            self.litter.notify_one();
        }
        Ok(Uploaded { id, metadata })
    }

    /// What is to be done with an object that is new. In no bytes there is nothing.
    fn follow(&self, metadata: &StoredMetadata) -> Option<Follow> {
        if metadata.size == 0 {
            return None;
        }
        let scan = self.config.scan.url.is_some().then_some(Follow::Scan);
        scan.or_else(|| self.has_thumbnails(metadata).then_some(Follow::Thumbnails))
    }

    /// Whether pictures are made of an object ahead.
    pub(in crate::storage) fn has_thumbnails(&self, metadata: &StoredMetadata) -> bool {
        !self.config.thumbnails.is_empty() && metadata.mimetype.starts_with("image/")
    }
}

/// Enough of the body to see what it is; refused where the bucket does not take that.
async fn first_bytes(
    looked_at: Option<&Bucket>,
    body: &mut (impl Stream<Item = Result<Bytes, StorageError>> + Unpin),
) -> Result<Bytes, StorageError> {
    let mut first = BytesMut::new();
    while first.len() < sniff::ENOUGH {
        let Some(piece) = body.next().await else { break };
        let piece = piece?;
        if first.is_empty() && piece.len() >= sniff::ENOUGH {
            check_content(looked_at, &piece)?;
            return Ok(piece);
        }
        first.extend_from_slice(&piece);
    }
    check_content(looked_at, &first)?;
    Ok(first.freeze())
}

/// Refuses bytes that begin as those of a type which the bucket does not take.
pub(in crate::storage) fn check_content(
    looked_at: Option<&Bucket>,
    first: &[u8],
) -> Result<(), StorageError> {
    match looked_at.and_then(|bucket| sniff::forbidden_content(bucket, first)) {
        Some(found) => Err(StorageError::InvalidMimeType(found.to_owned())),
        None => Ok(()),
    }
}

fn draft<'a>(target: &'a Target, version: Uuid, metadata: &'a Value) -> Draft<'a> {
    Draft {
        bucket: &target.bucket.id,
        name: target.key.as_str(),
        owner: target.owner.as_deref(),
        version,
        metadata,
        user_metadata: target.options.user_metadata.as_ref(),
    }
}

/// Bytes that are stored, and given up unless somebody keeps them.
pub(in crate::storage) struct Staged {
    written: Written,
    abandoned: Abandoned,
}

impl Staged {
    /// The blob.
    pub(in crate::storage) fn version(&self) -> Uuid {
        self.abandoned.version
    }

    /// With this entity tag in place of the digest of the bytes.
    pub(in crate::storage) fn tagged(mut self, etag: &str) -> Self {
        etag.clone_into(&mut self.written.md5);
        self
    }

    /// What the bytes are.
    pub(in crate::storage) fn written(&self) -> &Written {
        &self.written
    }

    /// How many bytes there are.
    pub(in crate::storage) fn size(&self) -> u64 {
        self.written.size
    }

    /// Says that a row names the blob now.
    pub(in crate::storage) fn keep(mut self) {
        self.abandoned.is_open = false;
    }
}

/// A blob that was announced and that no row names yet. Dropped while it is open, as when the client hangs up, it is given up.
struct Abandoned {
    state: StorageState,
    version: Uuid,
    is_open: bool,
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        let (state, version) = (self.state.clone(), self.version);
        self.state.tracker.spawn(async move {
            state.blobs.settled(version).await;
            // Where this fails, the sweeper finds it when its time is over.
            if let Err(error) = blobs::give_up(&state.pool, version).await {
                tracing::warn!("an upload that failed is swept later: {error}");
            }
            state.litter.notify_one();
        });
    }
}
