//! What deciding a change for one subscriber costs in process, and finding the subscribers that it concerns.
//!
//! `evaluate` is paid for every subscriber that a change may concern; `key` once for every change and index.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use goforward::realtime::changes::filter::Filter;
use goforward::realtime::changes::predicate::{Claims, Predicate};
use goforward::realtime::changes::value::{Collation, Column, Image, Kind, Width};
use serde_json::json;

/// Policies of which a server sees many, as PostgreSQL prints them.
const POLICIES: [(&str, &str); 4] = [
    ("everyone", "true"),
    ("own rows", "(( SELECT auth.uid() AS uid) = owner)"),
    ("rows of the team", "((((auth.jwt() -> 'app_metadata'::text) ->> 'team'::text))::integer = team)"),
    (
        "published or own",
        "(((state = ANY (ARRAY['open'::text, 'done'::text])) AND (NOT archived)) OR ((auth.role() = 'editor'::text) AND \
         (owner = auth.uid())))",
    ),
];

fn columns() -> Vec<Column> {
    let column = |(name, kind): (&str, Kind)| Column {
        name: name.to_owned(),
        type_name: String::new(),
        kind,
        is_text: matches!(kind, Kind::Text(_)),
    };
    let kinds = [
        ("id", Kind::Integer(Width::Eight)),
        ("owner", Kind::Uuid),
        ("team", Kind::Integer(Width::Four)),
        ("state", Kind::Text(Collation::Default)),
        ("archived", Kind::Bool),
    ];
    kinds.map(column).to_vec()
}

fn image() -> Image {
    let row = json!({
        "id": 7, "owner": "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa", "team": 12, "title": "Repair the roof", "state": "late",
        "archived": false, "price": 12.5, "made": "2026-01-01T12:00:00+00:00", "note": null,
    });
    row.as_object().unwrap().clone()
}

fn claims() -> Claims {
    let claims = json!({
        "iss": "https://api.example.com/auth/v1", "sub": "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa", "aud": "authenticated",
        "exp": 4_000_000_000_i64, "email": "jane@example.org", "role": "authenticated", "aal": "aal1",
        "app_metadata": { "provider": "email", "team": 12 }, "session_id": "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb",
    });
    Claims::new(Arc::new(claims.as_object().unwrap().clone()))
}

fn policies(criterion: &mut Criterion) {
    let (columns, image, claims) = (columns(), image(), claims());
    let mut group = criterion.benchmark_group("evaluate");
    for (name, text) in POLICIES {
        let predicate = Predicate::parse(text, &columns).unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| predicate.evaluate(black_box(&image), black_box(&claims)).unwrap());
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("key");
    for (name, text) in &POLICIES[1..3] {
        let key = Predicate::parse(text, &columns).unwrap().equality_key().unwrap();
        group.bench_function(*name, |bencher| {
            bencher.iter(|| key.of_image(black_box(&image)).unwrap());
        });
    }
}

fn filters(criterion: &mut Criterion) {
    let (columns, image) = (columns(), image());
    let mut group = criterion.benchmark_group("filter");
    for text in ["id=eq.7", "state=in.(open,late),archived=is.false"] {
        let filter = Filter::parse(text, &columns).unwrap();
        group.bench_function(text, |bencher| bencher.iter(|| filter.evaluate(black_box(&image)).unwrap()));
    }
}

fn reading(criterion: &mut Criterion) {
    let columns = columns();
    criterion.bench_function("parse", |bencher| {
        bencher.iter(|| Predicate::parse(black_box(POLICIES[3].1), &columns).unwrap());
    });
}

criterion_group!(benches, policies, filters, reading);
criterion_main!(benches);
