//! Columns that refer to stored objects: shown by what the object is where the answer is JSON, else by its path. Pure.

use crate::catalog::model::FILE_REFERENCE;
use crate::rest::core::media::MediaType;
use crate::rest::core::plan::model::{Handler, Output, Plan, ReadNode, SelectField};

impl Plan {
    /// Whether the answer shows stored objects, and so URLs.
    pub fn shows_files(&self) -> bool {
        let (tree, output) = match self {
            Self::Read(action) => (&action.tree, &action.output),
            Self::Mutate(action) => (&action.tree, &action.output),
            Self::Call(action) => (&action.tree, &action.output),
            Self::Inspect { .. } | Self::Info { .. } => return false,
        };
        is_json(output) && !matches!(output.media, MediaType::Plan(_)) && has_files(tree)
    }
}

/// Has paths shown where the answer is not JSON, or another type is asked for.
pub(super) fn as_paths(node: &mut ReadNode, output: &Output) {
    for item in &mut node.select {
        let is_whole = item.field.json_path.is_empty();
        if is_file(item) && is_whole && (item.cast.is_some() || !is_json(output)) {
            item.field.transform = None;
        }
    }
    node.children.iter_mut().for_each(|child| as_paths(child, output));
}

fn is_json(output: &Output) -> bool {
    matches!(output.handler, Handler::Json | Handler::JsonStripped | Handler::Single { .. } | Handler::NdJson)
}

fn has_files(node: &ReadNode) -> bool {
    node.select.iter().any(is_file) || node.children.iter().any(has_files)
}

fn is_file(item: &SelectField) -> bool {
    item.field.transform.is_some() && &*item.field.declared_type == FILE_REFERENCE
}
