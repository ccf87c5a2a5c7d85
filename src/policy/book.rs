//! Where services get the view of a caller: the rules of the newest catalog, and what each class of callers sees of it,
//! made when first needed and kept while that catalog lives.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwapOption;

use crate::catalog::model::{Catalog, QualifiedName};

use super::caller::{CallerClass, PolicyCaller};
use super::restrict::{PolicyView, restrict};
use super::rules::{Rules, TableRules};

/// The most classes that are kept. A class is a role and the app roles that rules about columns name, so there are few;
/// beyond this the oldest knowledge is dropped and made again.
const MOST_CLASSES: usize = 256;

/// The views of callers, shared by all services.
#[derive(Debug, Default)]
pub struct PolicyBook {
    edition: ArcSwapOption<Edition>,
}

/// What was made of one catalog.
#[derive(Debug)]
struct Edition {
    catalog: Arc<Catalog>,
    rules: Arc<Rules>,
    views: RwLock<HashMap<(CallerClass, bool), Arc<PolicyView>>>,
    /// For callers whom rules do not bind, and for all while there are none.
    unrestricted: Arc<PolicyView>,
}

impl PolicyBook {
    /// What `caller` sees of `catalog`. With `star_by_grants`, columns that the role may not select are left out of `*`.
    pub fn view(
        &self,
        catalog: &Arc<Catalog>,
        caller: &PolicyCaller,
        star_by_grants: bool,
    ) -> Arc<PolicyView> {
        let edition = self.edition(catalog);
        let has_grants = star_by_grants && !catalog.not_granted.is_empty();
        if caller.bypasses || (edition.rules.is_empty() && !has_grants) {
            return Arc::clone(&edition.unrestricted);
        }
        let key = (edition.rules.class(caller), star_by_grants);
        let known = edition.views.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        known.unwrap_or_else(|| {
            let restricted = restrict(&edition.catalog, &edition.rules, &key.0, star_by_grants);
            let view = Arc::new(PolicyView { catalog: restricted, rules: Arc::clone(&edition.rules) });
            let mut views = edition.views.write().unwrap_or_else(PoisonError::into_inner);
            if views.len() >= MOST_CLASSES {
                views.clear();
            }
            views.insert(key, Arc::clone(&view));
            view
        })
    }

    /// The rules of `catalog`.
    pub fn rules(&self, catalog: &Arc<Catalog>) -> Arc<Rules> {
        Arc::clone(&self.edition(catalog).rules)
    }

    fn edition(&self, catalog: &Arc<Catalog>) -> Arc<Edition> {
        if let Some(edition) = &*self.edition.load()
            && Arc::ptr_eq(&edition.catalog, catalog)
        {
            return Arc::clone(edition);
        }
        let rules = Arc::new(Rules::of(catalog));
        let edition = Arc::new(Edition {
            catalog: Arc::clone(catalog),
            unrestricted: Arc::new(PolicyView { catalog: Arc::clone(catalog), rules: Arc::clone(&rules) }),
            views: RwLock::default(),
            rules,
        });
        // A request may still be on an older snapshot; it must not put that one back in place.
        let is_newer =
            self.edition.load().as_ref().is_none_or(|known| known.catalog.version <= catalog.version);
        if is_newer {
            report(&edition.rules);
            self.edition.store(Some(Arc::clone(&edition)));
        }
        edition
    }
}

/// Says which tables are closed because of their rules, once a catalog.
fn report(rules: &Rules) {
    if let Some(why) = rules.unreadable() {
        tracing::error!("table security cannot be read, every table is closed: {why}");
    }
    let closed: Vec<(&QualifiedName, String)> = rules
        .all()
        .filter_map(|(name, rules)| match rules {
            TableRules::Closed(why) => Some((name, why.to_string())),
            TableRules::InForce(_) => None,
        })
        .collect();
    for (name, why) in &closed {
        tracing::warn!(table = %name, "a table is closed by its rules: {why}");
    }
    let all_closed = u32::from(rules.unreadable().is_some());
    metrics::gauge!("goforward_table_security_closed")
        .set(u32::try_from(closed.len()).unwrap_or(u32::MAX) + all_closed);
}
