//! The planner: a parsed request and the catalog become a tree of plain data. Pure; start at [`plan`].
//!
//! Behaviour is PostgREST's. The stages are `draft` (parameters onto the select tree), `embed` (relationships),
//! `tree` and `spread` (what follows from them), then `mutate` or `call`, and `negotiate`.

use std::sync::Arc;

use crate::catalog::model::{Catalog, QualifiedName, Relation, Volatility};
use crate::rest::core::media::MediaType;
use crate::rest::core::preferences::Representation;
use crate::rest::core::request::{Action, ApiRequest, CallMethod, Mutation};

mod call;
mod draft;
pub(in crate::rest::core) mod embed;
pub mod error;
mod files;
pub mod model;
mod mutate;
mod negotiate;
mod resolve;
mod spread;
#[cfg(test)]
mod tests;
pub mod touched;
mod tree;

use draft::Draft;
use embed::Embedding;
use error::PlanError;
use model::{CallAction, Handler, MutateAction, Output, Plan, ReadAction, ReadNode};
use negotiate::Offer;

/// The switches that planning depends on.
#[derive(Clone, Copy, Debug)]
pub struct PlanOptions {
    /// The largest number of rows at any level.
    pub max_rows: Option<u64>,
    /// Whether `sum()` and the like may be used.
    pub aggregates: bool,
    /// Whether execution plans may be asked for.
    pub plans: bool,
    /// Whether parameters may name an aliased embed by its relation.
    pub target_names: bool,
}

/// Decides what `request` does.
pub fn plan(request: &ApiRequest, catalog: &Catalog, options: &PlanOptions) -> Result<Plan, PlanError> {
    let planner = Planner { request, catalog, options, schema: Arc::from(request.schema.as_str()) };
    match &request.action {
        Action::RelationRead { target, headers_only } => planner.read(target, *headers_only),
        Action::RelationMutate { target, mutation } => planner.mutate(target, *mutation),
        Action::Call { target, method } => planner.call(target, *method),
        Action::SchemaRead { headers_only } => planner.inspect(*headers_only),
        Action::RelationInfo { target } => planner.relation_info(target),
        Action::CallInfo { target } => planner.call_info(target),
        Action::SchemaInfo => Ok(Plan::Info { allow: "OPTIONS,GET,HEAD".to_owned() }),
    }
}

struct Planner<'a> {
    request: &'a ApiRequest,
    catalog: &'a Catalog,
    options: &'a PlanOptions,
    schema: Arc<str>,
}

impl Planner<'_> {
    fn name(&self, target: &str) -> QualifiedName {
        QualifiedName::new(self.schema.clone(), target)
    }

    /// The read tree below `root`, with every stage applied.
    fn tree(&self, root: &QualifiedName, is_write: bool, from_source: bool) -> Result<ReadNode, PlanError> {
        let draft = Draft::build(self.request, &root.name, is_write, self.options.target_names)?;
        let embedding = Embedding { catalog: self.catalog, schema: &self.schema };
        let mut node = embedding.resolve(&draft, root, from_source)?;
        tree::expand_stars(&mut node, self.catalog, false);
        tree::add_aliases(&mut node);
        tree::resolve_related_orders(&mut node)?;
        tree::resolve_embed_filters(&mut node);
        tree::add_embeds(&mut node);
        tree::validate_aggregates(&node, self.options.aggregates)?;
        spread::hoist_aggregates(&mut node);
        spread::move_orders_into_arrays(&mut node)?;
        if !is_write {
            tree::restrict_ranges(&mut node, self.options.max_rows);
        }
        Ok(node)
    }

    fn output(&self, target: &QualifiedName, tree: &ReadNode) -> Result<Output, PlanError> {
        let default_select =
            tree.children.is_empty() && matches!(tree.select.as_slice(), [only] if &*only.field.name == "*");
        let offer = Offer { catalog: self.catalog, target, default_select, plans: self.options.plans };
        offer.negotiate(&self.request.accept)
    }

    fn read(&self, target: &str, headers_only: bool) -> Result<Plan, PlanError> {
        let relation = mutate::find_relation(self.catalog, &self.name(target))?;
        let mut tree = self.tree(&relation.name, false, false)?;
        let mut output = self.output(&relation.name, &tree)?;
        files::as_paths(&mut tree, &output);
        if headers_only {
            output.handler = Handler::None;
        }
        Ok(Plan::Read(ReadAction { target: relation.name.clone(), tree, output, headers_only }))
    }

    fn mutate(&self, target: &str, mutation: Mutation) -> Result<Plan, PlanError> {
        let relation = mutate::find_relation(self.catalog, &self.name(target))?;
        let mut tree = self.tree(&relation.name, true, true)?;
        let write = mutate::plan_write(mutation, self.request, relation, self.catalog, &tree)?;
        let mut output = self.output(&relation.name, &tree)?;
        files::as_paths(&mut tree, &output);
        if self.request.preferences.representation != Some(Representation::Full) {
            output.handler = Handler::None;
        }
        Ok(Plan::Mutate(MutateAction { target: relation.name.clone(), mutation, write, tree, output }))
    }

    fn call(&self, target: &str, method: CallMethod) -> Result<Plan, PlanError> {
        let function = call::find_function(self.catalog, &self.name(target), self.request, method)?;
        // A function that returns rows of a relation can embed what the relation can.
        let root = function.row_type().unwrap_or(&function.name).clone();
        let mut tree = self.tree(&root, false, true)?;
        let mut output = self.output(&root, &tree)?;
        files::as_paths(&mut tree, &output);
        let headers_only = matches!(method, CallMethod::Read { headers_only: true });
        if headers_only {
            output.handler = Handler::None;
        }
        let preferences = &self.request.preferences;
        if preferences.enforced_max_affected().is_some() && function.returns_single() {
            return Err(PlanError::MaxAffectedNeedsSet);
        }
        let read_only =
            matches!(method, CallMethod::Read { .. }) || function.volatility != Volatility::Volatile;
        let call = call::plan_call(function, self.request, method, &tree);
        let function = Arc::new(function.clone());
        Ok(Plan::Call(CallAction { function, call, tree, output, read_only, headers_only }))
    }

    fn inspect(&self, headers_only: bool) -> Result<Plan, PlanError> {
        let produced =
            |media: &MediaType| matches!(media, MediaType::OpenApi | MediaType::Json | MediaType::Any);
        if !self.request.accept.iter().any(produced) {
            let accepted = self.request.accept.iter().map(MediaType::to_mime).collect();
            return Err(PlanError::NotAcceptable(accepted));
        }
        Ok(Plan::Inspect { schema: self.schema.clone(), headers_only })
    }

    fn relation_info(&self, target: &str) -> Result<Plan, PlanError> {
        let relation = mutate::find_relation(self.catalog, &self.name(target))?;
        Ok(Plan::Info { allow: allowed_methods(relation) })
    }

    fn call_info(&self, target: &str) -> Result<Plan, PlanError> {
        let method = CallMethod::Read { headers_only: false };
        let function = call::find_function(self.catalog, &self.name(target), self.request, method)?;
        let allow = if function.volatility == Volatility::Volatile {
            "OPTIONS,POST"
        } else {
            "OPTIONS,GET,HEAD,POST"
        };
        Ok(Plan::Info { allow: allow.to_owned() })
    }
}

fn allowed_methods(relation: &Relation) -> String {
    let can_put = relation.insertable && relation.updatable && !relation.primary_key.is_empty();
    let mut methods = vec!["OPTIONS,GET,HEAD"];
    methods.extend(relation.insertable.then_some("POST"));
    methods.extend(can_put.then_some("PUT"));
    methods.extend(relation.updatable.then_some("PATCH"));
    methods.extend(relation.deletable.then_some("DELETE"));
    methods.join(",")
}
