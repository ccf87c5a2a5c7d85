//! Who sends a request: a caller, whose policies decide, or whoever has a token that a caller signed.

use http::request::Parts;

use super::id::UploadId;
use crate::storage::error::StorageError;
use crate::storage::flow::upload::Target;
use crate::storage::http::request::{acting, context, is_true};
use crate::storage::model::begun_by::BegunBy;
use crate::storage::model::token::Scope;
use crate::storage::state::StorageState;
use crate::storage::store::caller::Acting;
use crate::storage::store::objects::{self, At};
use crate::storage::store::tus::{self, Phase, Upload};

/// By what right requests of a route come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// A caller's.
    Caller,
    /// That of a signed upload URL: its token is in `x-signature`.
    Signed,
}

/// What is done, as policies are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Part,
    Get,
    Delete,
}

/// Who sends a request.
pub(super) struct Writer {
    /// None who has a token.
    pub(super) acting: Option<Acting>,
    /// Whose the upload is to be, or must be.
    pub(super) owner: Option<String>,
    /// Who begins it, or goes on with it.
    pub(super) begun_by: BegunBy,
    /// Whether an object that is there may be replaced.
    pub(super) upsert: bool,
}

/// `storage.operation()`. Uploads by token ask no policies, so that they need no names.
fn name(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "storage.tus.upload.create",
        Operation::Part => "storage.tus.upload.part",
        Operation::Get => "storage.tus.upload.get",
        Operation::Delete => "storage.tus.upload.delete",
    }
}

impl StorageState {
    /// Who sends this request, which is about `<bucket>/<key>`.
    pub(super) async fn writer(
        &self,
        parts: &Parts,
        right: Right,
        operation: Operation,
        place: &str,
    ) -> Result<Writer, StorageError> {
        if right == Right::Signed {
            let token = parts.headers.get("x-signature").and_then(|value| value.to_str().ok());
            let now = self.clock.unix_seconds();
            let claims = self.url_key.check(token.unwrap_or_default(), (Scope::Upload, place), now)?;
            let begun_by = BegunBy::url_of(&claims.signer());
            return Ok(Writer { acting: None, begun_by, owner: claims.owner, upsert: claims.upsert });
        }
        let caller = self.caller(&parts.headers, &*context(parts)?).await?;
        Ok(Writer {
            owner: caller.subject.as_deref().map(str::to_owned),
            begun_by: BegunBy::caller(&caller),
            acting: Some(acting(caller, name(operation), parts)),
            upsert: is_true(&parts.headers, "x-upsert"),
        })
    }

    /// The upload with this id, if it is this writer's; that of somebody else is none (threat H16).
    pub(super) async fn upload(&self, id: &UploadId, writer: &Writer) -> Result<Upload, StorageError> {
        let upload = tus::find(&self.pool, id.version).await?;
        let upload = upload.filter(|upload| {
            let is_server = writer.acting.as_ref().is_some_and(|acting| self.is_server(acting));
            let is_at_place = upload.bucket == id.bucket && upload.name == id.key.as_str();
            let is_theirs =
                is_server || writer.begun_by.may_go_on(upload.beginner(), writer.owner.as_deref());
            is_at_place && is_theirs && upload.is_signed == writer.acting.is_none()
        });
        let upload = upload.ok_or(StorageError::NoSuchUpload)?;
        if upload.phase == Phase::Expired {
            self.litter.notify_one();
            return Err(StorageError::UploadExpired);
        }
        Ok(upload)
    }

    /// Where an upload is to become an object.
    pub(super) async fn target(&self, id: UploadId, upload: &Upload) -> Result<Target, StorageError> {
        Ok(Target {
            bucket: self.bucket(&id.bucket).await?,
            key: id.key,
            owner: upload.owner.clone(),
            options: upload.options.clone(),
            upsert: upload.upsert,
            replaceable: None,
        })
    }

    /// Whether the writer may write there, as far as is known before the bytes.
    pub(super) async fn admit_writer(
        &self,
        writer: &Writer,
        target: &mut Target,
        length: Option<u64>,
    ) -> Result<(), StorageError> {
        self.admit(writer.acting.as_ref(), target, length).await?;
        if writer.acting.is_none() && !target.upsert {
            // Nothing was tried in anybody's name that would have met the object that is there.
            let at = At { bucket: &target.bucket.id, name: target.key.as_str() };
            let found = objects::public(&self.pool, at, true).await?;
            if found.is_some_and(|found| found.object.is_some()) {
                return Err(StorageError::AlreadyExists);
            }
        }
        Ok(())
    }
}
