//! What the rules of tables cost a request, and what planning costs beside them.
//!
//! `decision` is all that rules add to a request that is not refused: the facts about the caller, its view of the catalog, the
//! check of the plan. `plan` is the whole of planning, on the catalog as it is and on the caller's view of it.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use goforward::catalog::Catalog;
use goforward::policy::book::PolicyBook;
use goforward::policy::caller::PolicyCaller;
use goforward::rest::core::input::inspect;
use goforward::rest::core::plan::plan;
use goforward::rest::core::protect::check;
use goforward::rest::core::render::{CountOptions, render_read};
use goforward::rest::core::request::ApiRequest;
use goforward_bench::{PLANNING, PROTECTION, request, rules, shop};
use http::Method;
use serde_json::{Map, Value, json};

/// Requests of which a server sees many: one row by its key, a write, a page with three embedded tables.
fn requests() -> [(&'static str, ApiRequest); 3] {
    let tree = "select=id,total,state,customers(id,name,card),lines(amount,price,products(name,price))\
                &state=eq.open&order=id.desc&limit=20";
    [
        ("one table", request(Method::GET, "/customers", "select=id,name,email,card&id=eq.7", "")),
        ("write", request(Method::PATCH, "/customers", "id=eq.7", r#"{"name": "Jane", "phone": "12"}"#)),
        ("three embeds", request(Method::GET, "/orders", tree, "")),
    ]
}

fn claims() -> Map<String, Value> {
    let claims = json!({
        "sub": "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa", "role": "authenticated", "aal": "aal2", "app_roles": ["staff", "night"],
        "email": "jane@example.org", "exp": 2_000_000_000, "session_id": "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb",
    });
    claims.as_object().unwrap().clone()
}

fn caller(catalog: &Catalog, claims: &Map<String, Value>) -> PolicyCaller {
    let address = Some("10.1.2.3".parse().unwrap());
    PolicyCaller::of_claims(Arc::from("authenticated"), (false, true), claims, None, address, &catalog.roles)
}

fn decision(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decision");
    let claims = claims();
    for (named, catalog) in [("no rules", shop(&[])), ("rules", shop(&rules()))] {
        let book = PolicyBook::default();
        for (of, request) in requests() {
            let view = book.view(&catalog, &caller(&catalog, &claims), true);
            let planned = plan(&request, &view.catalog, &PLANNING).unwrap();
            group.bench_function(format!("{named}, {of}"), |bencher| {
                bencher.iter(|| {
                    let caller = caller(&catalog, black_box(&claims));
                    let view = book.view(&catalog, &caller, true);
                    let permit = check(&planned, &view, &caller, PROTECTION).unwrap();
                    (permit, inspect(&planned).unwrap())
                });
            });
        }
    }
}

fn planning(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    let claims = claims();
    for (named, catalog) in [("no rules", shop(&[])), ("rules", shop(&rules()))] {
        let view = PolicyBook::default().view(&catalog, &caller(&catalog, &claims), true);
        for (of, request) in requests() {
            group.bench_function(format!("{named}, {of}"), |bencher| {
                bencher.iter(|| plan(black_box(&request), &view.catalog, &PLANNING).unwrap());
            });
        }
    }
}

/// The text that follows from a plan, which a cache of plans would spare as well.
fn rendering(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("render");
    let catalog = shop(&rules());
    let view = PolicyBook::default().view(&catalog, &caller(&catalog, &claims()), true);
    for (of, request) in requests() {
        let planned = plan(&request, &view.catalog, &PLANNING).unwrap();
        if let goforward::rest::core::plan::model::Plan::Read(action) = planned {
            group.bench_function(of, |bencher| {
                bencher.iter(|| render_read(black_box(&action), CountOptions { mode: None, max_rows: None }));
            });
        }
    }
}

/// What the first request of a class of callers pays after every change of schema or rules.
fn restriction(criterion: &mut Criterion) {
    let catalog = shop(&rules());
    let caller = caller(&catalog, &claims());
    criterion.bench_function("first view of a class", |bencher| {
        bencher.iter(|| PolicyBook::default().view(black_box(&catalog), &caller, true));
    });
}

criterion_group!(benches, decision, planning, rendering, restriction);
criterion_main!(benches);
