//! What a request means against a catalog, and what it is told when it means nothing. The SQL of each part is in
//! `render/tests`.

use super::error::PlanError;
use super::model::{Arguments, Handler, OnConflict, Plan, Write};
use super::{PlanOptions, plan};
use crate::rest::core::request::Mutation;
use crate::rest::core::samples::{OPTIONS, Request, name, shop};

fn refused(url: &str) -> PlanError {
    Request::get(url).plan().unwrap_err()
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn a_parameter_may_only_name_an_embed_that_is_selected() {
    let not_embedded = |name: &str, alias: Option<&str>| PlanError::NotEmbedded {
        name: name.to_owned(),
        alias: alias.map(str::to_owned),
    };
    for (url, error) in [
        ("/clients?select=id&invoices.id=eq.1", not_embedded("invoices", None)),
        ("/clients?select=id&invoices.order=id", not_embedded("invoices", None)),
        ("/clients?select=id&invoices.limit=1", not_embedded("invoices", None)),
        ("/clients?select=id&order=invoices(id)", not_embedded("invoices", None)),
        // An alias hides the name of the relation.
        ("/clients?select=bills:invoices(id)&invoices.id=eq.1", not_embedded("invoices", Some("bills"))),
    ] {
        assert_eq!(refused(url), error, "{url}");
    }
}

#[test]
fn the_legacy_option_lets_parameters_name_an_aliased_embed_by_its_relation() {
    let options = PlanOptions { target_names: true, ..OPTIONS };
    let request = Request::get("/clients?select=bills:invoices(id)&invoices.id=eq.1");

    let Plan::Read(action) = request.plan_with(&options).unwrap() else { panic!("a read") };

    assert!(action.tree.children[0].named_by_target);
    assert_eq!(action.tree.children[0].filters.len(), 1);
}

#[test]
fn names_that_the_catalog_does_not_have_are_refused_with_a_likely_one() {
    assert_eq!(
        refused("/client"),
        PlanError::RelationNotFound {
            schema: text("test"),
            name: text("client"),
            hint: Some(text("Perhaps you meant the table 'test.clients'")),
        }
    );
    assert_eq!(
        refused("/clients?select=invoice(id)"),
        PlanError::NoRelationship {
            origin: text("clients"),
            target: text("invoice"),
            hint: None,
            schema: text("test"),
            suggestion: Some(text("Perhaps you meant 'invoices' instead of 'invoice'.")),
        }
    );
    assert_eq!(
        Request::of("POST", "/clients", &[], r#"{"nme":"a"}"#).plan().unwrap_err(),
        PlanError::ColumnNotFound { relation: text("clients"), column: text("nme") }
    );
}

#[test]
fn an_embed_over_several_relationships_must_say_which() {
    let PlanError::AmbiguousRelationship { origin, target, candidates } =
        refused("/orders?select=addresses(city)")
    else {
        panic!("ambiguous")
    };

    assert_eq!((origin.as_str(), target.as_str(), candidates.len()), ("orders", "addresses", 2));
    for hint in ["bill_to", "orders_bill_to_fkey"] {
        assert!(Request::get(&format!("/orders?select=addresses!{hint}(city)")).plan().is_ok(), "{hint}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_before_the_database_is_asked() {
    for (url, error) in [
        (
            "/clients?select=id,invoices(id)&order=invoices(id)",
            PlanError::RelatedOrderNotToOne { origin: text("clients"), target: text("invoices") },
        ),
        ("/clients?select=id::no such type", PlanError::InvalidCast(text("no such type"))),
        (
            "/clients?select=id,...invoices(total.sum())",
            PlanError::NotImplemented(
                "Aggregates are not implemented for one-to-many or many-to-many spreads.",
            ),
        ),
    ] {
        assert_eq!(refused(url), error, "{url}");
    }
    let options = PlanOptions { aggregates: false, ..OPTIONS };
    for url in ["/invoices?select=total.sum()", "/clients?select=invoices(total.sum())"] {
        let error = Request::get(url).plan_with(&options).unwrap_err();
        assert_eq!(error, PlanError::AggregatesNotAllowed, "{url}");
    }
}

#[test]
fn a_put_names_exactly_the_primary_key() {
    let put = |url: &str| Request::of("PUT", url, &[], r#"{"id":1}"#).plan();
    assert!(put("/clients?id=eq.1").is_ok());
    for url in [
        "/clients",
        "/clients?id=gt.1",
        "/clients?id=not.eq.1",
        "/clients?id=eq(any).{1}",
        "/clients?name=eq.a",
        "/clients?id=eq.1&name=eq.a",
        "/clients?or=(id.eq.1,id.eq.2)",
        "/line_items?invoice_id=eq.1",
        "/report?month=eq.2020-01-01",
    ] {
        assert_eq!(put(url).unwrap_err(), PlanError::InvalidPutFilters, "{url}");
    }
}

#[test]
fn the_first_media_type_that_can_be_produced_is_answered() {
    let answer = |accept: &str, options: &PlanOptions| {
        let headers = [("accept", accept)];
        Request::of("GET", "/clients", &headers, "").plan_with(options).map(|plan| match plan {
            Plan::Read(action) => action.output.media.to_mime(),
            other => panic!("{other:?} is no read"),
        })
    };
    for (accept, expected) in [
        ("*/*", "application/json"),
        ("text/html, text/csv", "text/csv"),
        ("text/csv;q=0.5, application/json", "application/json"),
        ("application/vnd.pgrst.object", "application/vnd.pgrst.object+json"),
        ("application/vnd.pgrst.plan", "application/vnd.pgrst.plan+text; for=\"application/json\""),
    ] {
        assert_eq!(answer(accept, &OPTIONS).unwrap(), expected, "{accept}");
    }
    assert_eq!(answer("text/html", &OPTIONS).unwrap_err(), PlanError::NotAcceptable(vec![text("text/html")]));
    let without_plans = PlanOptions { plans: false, ..OPTIONS };
    assert!(matches!(answer("application/vnd.pgrst.plan", &without_plans), Err(PlanError::NotAcceptable(_))));
}

#[test]
fn no_body_is_made_that_nobody_reads() {
    let handler = |method: &str, url: &str, prefer: &str| {
        let headers = [("prefer", prefer)];
        match Request::of(method, url, &headers, "{}").plan().unwrap() {
            Plan::Read(action) => action.output.handler,
            Plan::Mutate(action) => action.output.handler,
            Plan::Call(action) => action.output.handler,
            other => panic!("{other:?} has no output"),
        }
    };
    for (method, url, prefer, expected) in [
        ("GET", "/clients", "", Handler::Json),
        ("HEAD", "/clients", "", Handler::None),
        ("POST", "/clients", "", Handler::None),
        ("POST", "/clients", "return=headers-only", Handler::None),
        ("POST", "/clients", "return=representation", Handler::Json),
        ("HEAD", "/rpc/numbers", "", Handler::None),
    ] {
        assert_eq!(handler(method, url, prefer), expected, "{method} {url} {prefer}");
    }
}

#[test]
fn the_names_of_the_arguments_choose_the_function() {
    let call = |method: &str, url: &str, body: &str| match Request::of(method, url, &[], body).plan() {
        Ok(Plan::Call(action)) => Ok(action),
        Ok(other) => panic!("{other:?} is no call"),
        Err(error) => Err(error),
    };
    let named = |arguments: Arguments| match arguments {
        Arguments::Named(values) => values.iter().map(|(parameter, _)| parameter.name.to_string()).collect(),
        other => vec![format!("{other:?}")],
    };

    // `b` has a default, so it may be left out; what is no parameter filters the rows.
    assert_eq!(named(call("GET", "/rpc/add?a=1", "").unwrap().call.arguments), ["a"]);
    assert_eq!(named(call("GET", "/rpc/add?b=2&a=1", "").unwrap().call.arguments), ["a", "b"]);
    // A body as a whole goes to a single unnamed parameter.
    let imported = call("POST", "/rpc/import", r#"{"a":1}"#).unwrap();
    assert!(matches!(imported.call.arguments, Arguments::Single(_, Some(_))));

    assert_eq!(
        call("GET", "/rpc/add?b=2", "").unwrap_err(),
        PlanError::FunctionNotFound {
            schema: text("test"),
            name: text("add"),
            arguments: vec![text("b")],
            content_type: crate::rest::core::media::MediaType::Json,
            is_post: false,
            suggestion: Some(text("Perhaps you meant to call the function test.add(a, b)")),
        }
    );
    let PlanError::AmbiguousFunction(candidates) = call("GET", "/rpc/pick?a=1", "").unwrap_err() else {
        panic!("ambiguous")
    };
    assert_eq!(candidates.len(), 2);
}

#[test]
fn a_call_is_read_only_unless_a_volatile_function_is_posted_to() {
    for (method, url, read_only) in [
        ("GET", "/rpc/numbers", true),
        ("POST", "/rpc/numbers", true),
        ("GET", "/rpc/reset", true),
        ("POST", "/rpc/reset", false),
    ] {
        let Plan::Call(action) = Request::of(method, url, &[], "").plan().unwrap() else { panic!("a call") };
        assert_eq!(action.read_only, read_only, "{method} {url}");
    }
}

#[test]
fn a_limit_on_affected_rows_needs_a_function_that_returns_a_set() {
    let headers = [("prefer", "handling=strict, max-affected=5")];
    let call = |url: &str| Request::of("POST", url, &headers, "").plan();

    assert!(call("/rpc/numbers").is_ok());
    assert_eq!(call("/rpc/reset").unwrap_err(), PlanError::MaxAffectedNeedsSet);
}

#[test]
fn the_largest_number_of_rows_holds_at_every_level() {
    let options = PlanOptions { max_rows: Some(10), ..OPTIONS };
    let request = Request::get("/clients?select=id,invoices(id)&limit=50&invoices.limit=3");

    let Plan::Read(action) = request.plan_with(&options).unwrap() else { panic!("a read") };

    assert_eq!(action.tree.range.limit(), Some(10));
    assert_eq!(action.tree.children[0].range.limit(), Some(3));
    let Plan::Mutate(write) = Request::of("POST", "/clients", &[("prefer", "return=representation")], "{}")
        .plan_with(&options)
        .unwrap()
    else {
        panic!("a write")
    };
    assert!(write.tree.range.is_all(), "a write answers all that it wrote");
}

#[test]
fn options_lists_the_methods_of_the_target() {
    for (url, expected) in [
        ("/clients", "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE"),
        ("/report", "OPTIONS,GET,HEAD"),
        ("/rpc/numbers", "OPTIONS,GET,HEAD,POST"),
        ("/rpc/reset", "OPTIONS,POST"),
        ("/", "OPTIONS,GET,HEAD"),
    ] {
        let Plan::Info { allow } = Request::of("OPTIONS", url, &[], "").plan().unwrap() else {
            panic!("{url}")
        };
        assert_eq!(allow, expected, "{url}");
    }
}

#[test]
fn an_upsert_conflicts_on_the_primary_key_or_on_the_columns_named() {
    let conflict = |url: &str, prefer: &str| {
        let headers = [("prefer", prefer)];
        match Request::of("POST", url, &headers, r#"{"id":1}"#).plan().unwrap() {
            Plan::Mutate(action) => match action.write {
                Write::Insert { on_conflict, .. } => on_conflict,
                other => panic!("{other:?} is no insert"),
            },
            other => panic!("{other:?} is no write"),
        }
    };
    let on = |ignore: bool, column: &str| Some(OnConflict { ignore, columns: vec![column.into()] });
    assert_eq!(conflict("/clients", ""), None);
    assert_eq!(conflict("/clients", "resolution=ignore-duplicates"), on(true, "id"));
    assert_eq!(conflict("/clients", "resolution=merge-duplicates"), on(false, "id"));
    assert_eq!(conflict("/clients?on_conflict=name", "resolution=merge-duplicates"), on(false, "name"));
}

#[test]
fn a_write_that_touches_every_row_is_known_as_such() {
    for (method, url, unfiltered) in [
        ("DELETE", "/clients", true),
        ("DELETE", "/clients?limit=1", true),
        ("DELETE", "/clients?id=eq.1", false),
        ("PATCH", "/clients", true),
        ("PATCH", "/clients?or=(id.eq.1,id.eq.2)", false),
        ("POST", "/clients", false),
    ] {
        let Plan::Mutate(action) = Request::of(method, url, &[], "{}").plan().unwrap() else {
            panic!("{url}")
        };
        assert_eq!(action.write.is_unfiltered(), unfiltered, "{method} {url}");
        assert_eq!(action.write.is_update(), action.mutation == Mutation::Update, "{method} {url}");
    }
}

#[test]
fn the_same_request_on_the_same_catalog_is_the_same_plan() {
    let request =
        Request::get("/clients?select=id,invoices(id,products(name))&invoices.order=id").parse().unwrap();
    let catalog = shop();

    let both = [(); 2].map(|()| plan(&request, &catalog, &OPTIONS).unwrap());

    assert_eq!(format!("{:?}", both[0]), format!("{:?}", both[1]));
    let Plan::Read(action) = &both[0] else { panic!("a read") };
    assert_eq!(action.target, name("clients"));
}
