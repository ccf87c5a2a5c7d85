//! The catalog against real databases: what the conformance fixtures must yield, and how fast a large one loads.

use std::time::Instant;

use sqlx::{Connection as _, PgConnection};

use super::load::{LoadOptions, in_database_settings, load};
use super::model::{
    Cardinality, Catalog, Generated, HandlerTarget, Identity, QualifiedName, RelationKind, Relationship, ReturnType,
    ReturnValue,
};
use super::role::IsolationLevel;
use super::suggest;
use super::test_database::{cluster, conformance, run};

fn exposing(schemas: &[&str]) -> LoadOptions {
    LoadOptions { schemas: schemas.iter().map(|&schema| schema.to_owned()).collect(), ..LoadOptions::default() }
}

fn texts<T: AsRef<str>>(list: &[T]) -> Vec<&str> {
    list.iter().map(AsRef::as_ref).collect()
}

/// Foreign relations and constraint (or function) of every relationship of `origin` in its own schema.
fn links(catalog: &Catalog, schema: &str, origin: &str) -> Vec<(String, String)> {
    catalog
        .relationships_of(&QualifiedName::new(schema, origin), schema)
        .iter()
        .map(|relationship| {
            let through = match relationship {
                Relationship::Computed { function, .. } => format!("computed {}", function.name),
                Relationship::ForeignKey { cardinality, .. } => match cardinality {
                    Cardinality::ToMany { constraint, .. } => format!("many {constraint}"),
                    Cardinality::ToOne { constraint, .. } => format!("one {constraint}"),
                    Cardinality::OneToOne { constraint, is_parent, .. } => format!("oto {constraint} {is_parent}"),
                    Cardinality::ManyToMany(junction) => format!("m2m {}", junction.relation.name),
                },
            };
            (relationship.foreign_relation().name.to_string(), through)
        })
        .collect()
}

async fn fixtures(schemas: &[&str], name: &str) -> Option<(Catalog, std::sync::Arc<super::test_database::Cluster>)> {
    let (cluster, folder) = (cluster()?, conformance()?);
    cluster.load_fixtures(&folder, name);
    let mut connection = PgConnection::connect_with(&cluster.options(name)).await.expect("connected");
    let options = LoadOptions { authenticator: Some("Postgrest_Test_Authenticator".to_owned()), ..exposing(schemas) };
    let catalog = load(&mut connection, &options, None).await.expect("loaded");
    Some((catalog, cluster))
}

#[tokio::test]
async fn dump_for_now() {
    let Some((catalog, _cluster)) = fixtures(&["test"], "fixtures_dump").await else { return };
    let mut all: Vec<_> = catalog.relationships.iter().collect();
    all.sort_by(|a, b| a.0.cmp(b.0));
    for ((origin, schema), _) in all {
        for link in links(&catalog, schema, &origin.name) {
            println!("{origin} -> {link:?}");
        }
    }
    let mut names: Vec<_> = catalog.functions.iter().collect();
    names.sort_by(|a, b| a.0.cmp(b.0));
    for (name, list) in names {
        println!("{name}: {}", list.len());
    }
    println!("{:#?}", catalog.media_handlers);
    println!("{:#?}", catalog.representations);
    println!("{:#?}", catalog.roles.iter().filter(|(name, _)| name.contains("ostgrest")).collect::<Vec<_>>());
    println!("{} {}", catalog.timezones.len(), catalog.relations.len());
}
