//! One group's view of one table: whether it may use it at all, which columns it gets, and which rows it sees.

use std::sync::Arc;

use serde_json::json;
use serde_json::value::RawValue;

use super::delivery::{Delivery, Placed};
use super::filter::Filter;
use super::known::{KnownTable, Sight};
use super::payload::{Event, Looked, Shown, event_of};
use super::registry::{Audience, Subscriber, Wanted};
use super::visibility::{Finding, Question};
use super::{Change, ChangeKind, RowImage};
use crate::catalog::model::{Mask, ReadAccess, Relation};
use crate::policy::caller::PolicyCaller;
use crate::policy::decide::decide;
use crate::policy::model::Verb;
use crate::policy::protected::protected;
use crate::realtime::caller_query::said;
use crate::realtime::metrics;

/// The most different filters of one group that only PostgreSQL can tell; further ones match nothing.
pub(super) const MOST_FILTERS: usize = 20;

/// A group, a table, and what is known of both.
pub(super) struct View<'a> {
    pub(super) delivery: &'a Delivery,
    pub(super) audience: &'a Audience,
    pub(super) table: &'a Arc<KnownTable>,
    pub(super) sight: &'a Arc<Sight>,
}

/// What a group may see of a table, rows aside.
pub(super) struct TableView {
    pub(super) table: Arc<KnownTable>,
    /// The relation as the group's class sees it.
    relation: Arc<Relation>,
    sight: Arc<Sight>,
    /// Filters of members that only PostgreSQL can tell, with their texts.
    filters: Vec<(Arc<str>, Arc<Filter>)>,
}

/// What a change is to a group.
pub(super) enum Seen {
    /// A row was seen to change.
    Row(SeenRow),
    /// All rows are gone.
    Truncated,
}

/// How a row was seen to change.
pub(super) struct SeenRow {
    pub(super) event: Event,
    /// What was found of the row as it is, and as it was; none where PostgreSQL was not asked.
    found: (Option<Finding>, Option<Finding>),
}

impl SeenRow {
    /// What is known of the row beside its values.
    pub(super) fn looked(&self) -> Looked<'_> {
        let (new, old) = &self.found;
        let [masks, old_masks] =
            [new, old].map(|found| found.as_ref().and_then(|found| found.masked.as_deref()));
        Looked { saw_old: old.is_some(), masks, old_masks }
    }
}

impl View<'_> {
    /// Whether the group may read the table by the rules of tables, and what it then sees of it.
    pub(super) fn open(&self) -> Option<TableView> {
        let catalog = self.delivery.catalog.current();
        let access = self.delivery.access.load();
        let viewer = &self.audience.group.viewer;
        let bypasses = access.bypasses(&catalog, &viewer.caller.role);
        let asks = (&*viewer.caller, viewer.account);
        let claim = access.verified_claim.as_ref();
        let caller = PolicyCaller::new(asks, bypasses, claim, Some(viewer.address), &catalog.roles);
        let view = self.delivery.book.view(&catalog, &caller, false);
        let relation = view.catalog.relations.get(&self.table.table.name)?;
        if access.closed_by_default && !bypasses && protected(relation, &caller.role).is_err() {
            return None;
        }
        decide(&view, relation, Verb::Select, &caller).ok()?;
        // Without a grant on any column there is nothing to see, not even that something happened.
        if self.sight.role.selectable.is_empty() {
            return None;
        }
        let mut view = TableView {
            table: Arc::clone(self.table),
            relation: Arc::clone(relation),
            sight: Arc::clone(self.sight),
            filters: Vec::new(),
        };
        view.filters = self.filters(&view);
        Some(view)
    }

    /// Filters of the members on this table that are not decided here; each costs the group time, so there are not many.
    fn filters(&self, view: &TableView) -> Vec<(Arc<str>, Arc<Filter>)> {
        let mut filters: Vec<(Arc<str>, Arc<Filter>)> = Vec::new();
        for member in &self.audience.members {
            let wanted = member.wanted.iter().filter(|wanted| wanted.is_about(&self.table.table.name));
            for text in wanted.filter_map(|wanted| wanted.filter.as_ref()) {
                if filters.len() >= MOST_FILTERS || filters.iter().any(|(known, _)| known == text) {
                    continue;
                }
                if let Ok(filter) = self.table.filter(text)
                    && !filter.is_decided_here()
                    && view.shows_all_of(&filter)
                {
                    filters.push((Arc::clone(text), filter));
                }
            }
        }
        filters
    }

    /// What the group sees of changes, in their order.
    pub(super) async fn look(&self, view: &TableView, changes: &[Placed<'_>]) -> Vec<Option<Seen>> {
        let masks = view.masks();
        let must_ask = !view.filters.is_empty() || !masks.is_empty();
        // For each change what is known of the row as it is and as it was.
        let mut known: Vec<[Option<Finding>; 2]> = Vec::with_capacity(changes.len());
        let mut open: Vec<(usize, usize)> = Vec::new();
        for (place, Placed { change, .. }) in changes.iter().enumerate() {
            let mut row = [None, None];
            for (which, image) in [&change.new, &change.old].into_iter().enumerate() {
                let Some(image) = image else { continue };
                match self.decide_here(image).filter(|_| !must_ask) {
                    Some(seen) => row[which] = Some(Finding { seen, matches: Vec::new(), masked: None }),
                    None => open.push((place, which)),
                }
            }
            known.push(row);
        }
        if !open.is_empty() {
            let images: Vec<&RawValue> =
                open.iter().filter_map(|&(place, which)| image(changes[place].change, which)).collect();
            let filters: Vec<&Filter> = view.filters.iter().map(|(_, filter)| &**filter).collect();
            let question = Question {
                table: &self.table.table,
                policies: Some(&self.sight.role.policies),
                filters: &filters,
                masks: &masks,
            };
            for ((place, which), finding) in open.into_iter().zip(self.ask(question, &images).await) {
                known[place][which] = Some(finding);
            }
        }
        changes.iter().zip(known).map(|(placed, known)| self.seen(placed.change, known)).collect()
    }

    /// Asks PostgreSQL. Where a filter fails, the rest is found without filters, and who has one is told to read anew; where
    /// policies fail nothing is found.
    async fn ask(&self, question: Question<'_>, images: &[&RawValue]) -> Vec<Finding> {
        let (eyes, viewer) = (&self.delivery.eyes, &self.audience.group.viewer);
        let mut found = eyes.look(viewer, &question, images).await;
        if found.is_err() && !question.filters.is_empty() {
            for member in self.audience.members.iter().filter(|member| self.has_filter(member)) {
                member.resync(&[("reason", json!("filter"))], None);
            }
            found = eyes.look(viewer, &Question { filters: &[], ..question }, images).await;
        }
        found.unwrap_or_else(|error| {
            metrics::undecided(images.len());
            tracing::warn!(
                kind = "app", table = %self.table.table.name, role = &*viewer.caller.role,
                "changes were not delivered, as the table's policies fail on them: {}", said(&error)
            );
            Vec::new()
        })
    }

    /// Whether a subscription of the member has a filter that only PostgreSQL can tell.
    fn has_filter(&self, member: &Subscriber) -> bool {
        let texts = member.wanted.iter().filter_map(|wanted| wanted.filter.as_ref());
        texts.filter_map(|text| self.table.filter(text).ok()).any(|filter| !filter.is_decided_here())
    }

    /// Whether the row is seen, where that can be told without PostgreSQL.
    fn decide_here(&self, image: &RowImage) -> Option<bool> {
        let predicate = self.sight.predicate.as_ref()?;
        predicate.evaluate(image.values()?, &self.audience.group.claims).ok().map(|truth| truth == Some(true))
    }

    /// What the change is to the group. What could not be decided is not seen.
    fn seen(&self, change: &Change, [new, old]: [Option<Finding>; 2]) -> Option<Seen> {
        if change.kind == ChangeKind::Truncate {
            return Some(Seen::Truncated);
        }
        let is_seen = |finding: &Option<Finding>| finding.as_ref().is_some_and(|found| found.seen);
        let event = match event_of(change.kind)? {
            Event::Insert if is_seen(&new) => Event::Insert,
            Event::Update if is_seen(&new) => Event::Update,
            Event::Update if is_seen(&old) && new.is_some() && self.delivery.tells_leaving => Event::Delete,
            Event::Delete if is_seen(&old) => Event::Delete,
            _ => return None,
        };
        // The old row of an update is shown as far as it was seen.
        let old = old.filter(|found| found.seen);
        Some(Seen::Row(SeenRow { event, found: (new, old) }))
    }
}

fn image(change: &Change, which: usize) -> Option<&RawValue> {
    let image = if which == 0 { &change.new } else { &change.old };
    image.as_ref().map(RowImage::raw)
}

impl TableView {
    /// Names the columns that are shown: the same for groups of one class.
    pub(super) fn columns_id(&self) -> usize {
        // Both live as long as this does, so their addresses are their own.
        Arc::as_ptr(&self.relation) as usize ^ (Arc::as_ptr(&self.sight) as usize).rotate_left(17)
    }

    fn read(&self, column: &str) -> Option<&ReadAccess> {
        let is_published =
            self.table.table.columns.iter().any(|known| known.is_published && known.column.name == column);
        let is_selectable = is_published && self.sight.role.selectable.iter().any(|name| name == column);
        let access =
            self.relation.column(column).filter(|_| is_selectable).map(|column| &column.access.read)?;
        matches!(access, ReadAccess::Plain | ReadAccess::Masked(_)).then_some(access)
    }

    /// Whether a column is shown as it is.
    pub(super) fn shows(&self, column: &str) -> bool {
        matches!(self.read(column), Some(ReadAccess::Plain))
    }

    /// Whether a column is shown masked.
    pub(super) fn shows_masked(&self, column: &str) -> bool {
        matches!(self.read(column), Some(ReadAccess::Masked(_)))
    }

    /// Whether all columns of a filter are shown as they are: others would be given away by what passes.
    fn shows_all_of(&self, filter: &Filter) -> bool {
        filter.conditions.iter().all(|condition| self.shows(&condition.column.name))
    }

    /// Columns that are shown masked.
    fn masks(&self) -> Vec<(&str, &Mask)> {
        let columns = self.table.table.columns.iter().map(|column| column.column.name.as_str());
        let masked = columns.filter_map(|name| match self.read(name) {
            Some(ReadAccess::Masked(mask)) => Some((name, mask)),
            _ => None,
        });
        masked.collect()
    }

    /// The columns that are shown, of those wanted; the key always is.
    pub(super) fn shown(&self, select: Option<&[String]>) -> Shown<'_> {
        let columns = &self.table.table.columns;
        let mut keys = columns.iter().filter(|column| column.is_key).peekable();
        let has_key = keys.peek().is_some();
        let hides_key = !keys.all(|column| self.shows(&column.column.name));
        let wanted =
            |name: &String, is_key: bool| is_key || select.is_none_or(|select| select.contains(name));
        let columns = columns
            .iter()
            .filter(|column| wanted(&column.column.name, column.is_key))
            .filter(|column| self.read(&column.column.name).is_some())
            .collect();
        let masked = self.masks().into_iter().map(|(name, _)| name).collect();
        Shown { columns, masked, has_key, hides_key }
    }

    /// Whether a subscription is for this change.
    pub(super) fn matches(&self, wanted: &Wanted, seen: &SeenRow, change: &Change) -> bool {
        wanted.is_about(&self.table.table.name)
            && wanted.event.is_none_or(|event| event == seen.event)
            && wanted.filter.as_ref().is_none_or(|text| self.passes(text, seen, change))
    }

    /// Whether the row passes a filter: as it is, or where it is gone as it was.
    fn passes(&self, text: &Arc<str>, seen: &SeenRow, change: &Change) -> bool {
        let Some(filter) = self.table.filter(text).ok().filter(|filter| self.shows_all_of(filter)) else {
            return false;
        };
        let (found, image) = match seen.event {
            Event::Delete => (&seen.found.1, &change.old),
            Event::Insert | Event::Update => (&seen.found.0, &change.new),
        };
        if let Some(place) = self.filters.iter().position(|(known, _)| known == text) {
            return found.as_ref().is_some_and(|found| found.matches.get(place) == Some(&true));
        }
        let image = image.as_ref().and_then(RowImage::values);
        image.is_some_and(|image| filter.evaluate(image) == Ok(Some(true)))
    }
}
