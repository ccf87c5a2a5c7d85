//! Which media type is answered, and what produces it. Pure.

use std::sync::Arc;

use crate::catalog::model::{Catalog, HandlerTarget, MediaHandler, QualifiedName};
use crate::rest::core::media::MediaType;
use crate::rest::core::plan::error::PlanError;
use crate::rest::core::plan::model::{Handler, Output};

/// What can be produced for one relation or function result.
#[derive(Clone, Copy)]
pub(super) struct Offer<'a> {
    pub catalog: &'a Catalog,
    /// The relation, or the function's row type or name.
    pub target: &'a QualifiedName,
    /// Whether everything is selected: only then do the target's own handlers apply.
    pub default_select: bool,
    /// Whether execution plans may be asked for.
    pub plans: bool,
}

impl Offer<'_> {
    /// The first accepted type that can be produced.
    pub(super) fn negotiate(&self, accepted: &[MediaType]) -> Result<Output, PlanError> {
        accepted
            .iter()
            .find_map(|media| self.output(media))
            .ok_or_else(|| PlanError::NotAcceptable(accepted.iter().map(MediaType::to_mime).collect()))
    }

    fn output(&self, media: &MediaType) -> Option<Output> {
        match media {
            MediaType::Plan(plan) => {
                let handler = self.handler(&plan.of)?.handler;
                self.plans.then(|| Output { handler, media: media.clone() })
            }
            _ => self.handler(media),
        }
    }

    fn handler(&self, media: &MediaType) -> Option<Output> {
        match media {
            // Types with parameters of their own cannot be overridden.
            MediaType::Singular { nulls_stripped } => {
                Some(Output { handler: Handler::Single { stripped: *nulls_stripped }, media: media.clone() })
            }
            MediaType::ArrayStripped => Some(Output { handler: Handler::JsonStripped, media: media.clone() }),
            _ => self.custom(media).or_else(|| builtin(media)),
        }
    }

    fn custom(&self, media: &MediaType) -> Option<Output> {
        let text: Arc<str> = Arc::from(media.to_mime());
        let lookup = |target: HandlerTarget, text: Arc<str>| self.catalog.media_handlers.get(&(target, text));
        let own = || {
            let target = HandlerTarget::Named(self.target.clone());
            lookup(target.clone(), Arc::from("*/*")).or_else(|| lookup(target, text.clone()))
        };
        let found = if self.default_select { own() } else { None };
        found.or_else(|| lookup(HandlerTarget::AnyElement, text.clone())).map(custom_output)
    }
}

fn custom_output(handler: &MediaHandler) -> Output {
    Output {
        handler: Handler::Custom {
            function: handler.handler.clone(),
            target: match &handler.target {
                HandlerTarget::AnyElement => None,
                HandlerTarget::Named(name) => Some(name.clone()),
            },
        },
        media: MediaType::parse(&handler.media_type),
    }
}

fn builtin(media: &MediaType) -> Option<Output> {
    let (handler, media) = match media {
        MediaType::Any | MediaType::Json => (Handler::Json, MediaType::Json),
        MediaType::Csv => (Handler::Csv, MediaType::Csv),
        MediaType::NdJson => (Handler::NdJson, MediaType::NdJson),
        MediaType::GeoJson => (Handler::GeoJson, MediaType::GeoJson),
        _ => return None,
    };
    Some(Output { handler, media })
}
