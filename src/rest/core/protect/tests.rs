//! Which plans run: unprotected relations, rules of tables at every level, names in every position.

use std::sync::Arc;

use super::*;
use crate::catalog::model::{Protection, UnforcedTable};
use crate::catalog::samples::function;
use crate::policy::book::PolicyBook;
use crate::policy::samples::caller;
use crate::rest::core::samples::{Request, name, shop};

const CLOSED: ProtectOptions =
    ProtectOptions { relations: true, unfiltered_writes: true, definer_functions: true };
const OPEN: ProtectOptions =
    ProtectOptions { relations: false, unfiltered_writes: false, definer_functions: false };

/// The shop with relations that nothing protects.
fn shop_with_open(relations: &[&str]) -> Catalog {
    let mut catalog = shop();
    for relation in relations {
        let unprotected = Protection::Unprotected { reason: "has no lock".into(), fix: "lock it".into() };
        Arc::make_mut(catalog.relations.get_mut(&name(relation)).unwrap()).protection = unprotected;
    }
    catalog
}

/// The verdict on a plan of a caller with this role, where tables have no rules.
fn checked_plan(plan: &Plan, catalog: &Catalog, role: &str, options: ProtectOptions) -> Result<(), Refusal> {
    let caller = caller(role);
    let view = PolicyBook::default().view(&Arc::new(catalog.clone()), &caller, true);
    check(plan, &view, &caller, options).map(|_| ())
}

fn checked(method: &str, url: &str, catalog: &Catalog, options: ProtectOptions) -> Result<(), Refusal> {
    checked_plan(&Request::of(method, url, &[], "{}").plan().unwrap(), catalog, "anon", options)
}

fn unprotected(relation: &str) -> Result<(), Refusal> {
    let (reason, fix) = ("has no lock".to_owned(), "lock it".to_owned());
    Err(Refusal::Unprotected(Unprotected { relation: name(relation), reason, fix }))
}

#[test]
fn every_relation_of_a_plan_must_be_protected() {
    for (open, method, url) in [
        ("clients", "GET", "/clients"),
        ("clients", "HEAD", "/clients"),
        ("clients", "POST", "/clients"),
        ("clients", "PATCH", "/clients?id=eq.1"),
        ("clients", "DELETE", "/clients?id=eq.1"),
        ("invoices", "GET", "/clients?select=invoices(id)"),
        // An embed that only filters reads too.
        ("invoices", "GET", "/clients?select=id,invoices()&invoices=not.is.null"),
        ("invoices", "GET", "/clients?select=...invoices(id)"),
        ("products", "GET", "/clients?select=invoices(products(id))"),
        ("line_items", "GET", "/invoices?select=products(id)"),
        ("invoices", "POST", "/clients?select=invoices(id)"),
        ("invoices", "GET", "/rpc/search?term=a&select=invoices(id)"),
    ] {
        let catalog = shop_with_open(&[open]);
        assert_eq!(checked(method, url, &catalog, CLOSED), unprotected(open), "{method} {url}");
        assert_eq!(checked(method, url, &catalog, OPEN), Ok(()), "{method} {url} when open");
        assert_eq!(checked(method, url, &shop(), CLOSED), Ok(()), "{method} {url} when protected");
    }
}

#[test]
fn functions_follow_their_execute_grants() {
    let catalog = shop_with_open(&["clients", "invoices"]);
    for url in ["/rpc/search?term=a", "/rpc/numbers"] {
        assert_eq!(checked("GET", url, &catalog, CLOSED), Ok(()), "{url}");
    }
    // A computed relationship is a function as well.
    let catalog = shop_with_open(&["invoices"]);
    assert_eq!(checked("GET", "/clients?select=latest_invoice(id)", &catalog, CLOSED), Ok(()));
}

#[test]
fn a_junction_that_is_not_exposed_is_not_read_through() {
    let mut catalog = shop();
    catalog.relations.remove(&name("line_items"));

    let refusal = checked("GET", "/invoices?select=products(id)", &catalog, CLOSED).unwrap_err();

    assert!(
        matches!(&refusal, Refusal::Unprotected(Unprotected { relation, .. }) if *relation == name("line_items")),
        "{refusal:?}"
    );
}

#[test]
fn an_update_or_delete_of_every_row_is_refused() {
    for (method, url, verb) in [
        ("PATCH", "/clients", Some("UPDATE")),
        ("DELETE", "/clients", Some("DELETE")),
        ("DELETE", "/clients?id=eq.1", None),
        ("DELETE", "/clients?or=(id.eq.1,id.eq.2)", None),
        ("POST", "/clients", None),
    ] {
        let expected = verb.map_or(Ok(()), |verb| Err(Refusal::Unfiltered { verb }));
        assert_eq!(checked(method, url, &shop(), CLOSED), expected, "{method} {url}");
        assert_eq!(checked(method, url, &shop(), OPEN), Ok(()), "{method} {url} when open");
    }
}

#[test]
fn a_function_with_the_rights_of_its_owner_is_refused() {
    let mut plan = Request::of("POST", "/rpc/reset", &[], "").plan().unwrap();
    let Plan::Call(action) = &mut plan else { panic!("a call") };
    Arc::make_mut(&mut action.function).security_definer = true;

    assert_eq!(checked_plan(&plan, &shop(), "anon", CLOSED), Err(Refusal::DefinerFunction(name("reset"))));
    assert_eq!(checked_plan(&plan, &shop(), "anon", OPEN), Ok(()));
}

#[test]
fn a_function_of_a_row_must_not_have_the_rights_of_its_owner_wherever_it_stands() {
    let mut catalog = shop();
    let definer = Function { security_definer: true, ..function("test", "latest_invoice", vec![]) };
    Arc::make_mut(&mut catalog.functions).insert(definer.name.clone(), vec![definer]);
    let refusal = Err(Refusal::DefinerFunction(name("latest_invoice")));
    for (method, url) in [
        ("GET", "/clients?select=latest_invoice(id)"),
        ("GET", "/clients?select=id,latest_invoice"),
        ("GET", "/clients?order=latest_invoice"),
        ("GET", "/clients?or=(id.eq.1,latest_invoice.is.true)"),
        ("GET", "/invoices?select=clients(id)&clients.latest_invoice=is.true"),
        ("GET", "/invoices?select=clients(id)&order=clients(latest_invoice)"),
        // The order of a to-many spread moves into its arrays.
        ("GET", "/clients?select=...invoices(id)&invoices.order=latest_invoice"),
        // So do the rows that a function returns have functions.
        ("GET", "/rpc/search?term=a&select=latest_invoice"),
        ("GET", "/rpc/search?term=a&latest_invoice=is.true"),
        ("PATCH", "/clients?latest_invoice=is.true"),
        ("DELETE", "/clients?latest_invoice=is.true"),
    ] {
        assert_eq!(checked(method, url, &catalog, CLOSED), refusal, "{method} {url}");
        assert_eq!(checked(method, url, &catalog, OPEN), Ok(()), "{method} {url} when open");
        assert_eq!(checked(method, url, &shop(), CLOSED), Ok(()), "{method} {url} when it is no definer");
    }
}

#[test]
fn the_role_that_owns_a_table_reads_it_only_if_policies_are_forced() {
    let mut catalog = shop();
    let plan = Request::get("/clients").plan().unwrap();
    let refusal = checked_plan(&plan, &catalog, "owner", CLOSED).unwrap_err();
    assert!(
        matches!(&refusal, Refusal::Unprotected(Unprotected { fix, .. })
            if fix == r#"ALTER TABLE "test"."clients" FORCE ROW LEVEL SECURITY;"#),
        "{refusal:?}"
    );

    let mut protect_by = |unforced: Arc<[UnforcedTable]>| {
        Arc::make_mut(catalog.relations.get_mut(&name("clients")).unwrap()).protection =
            Protection::Protected { unforced };
        catalog.clone()
    };
    let forced = protect_by([].into());
    assert_eq!(checked_plan(&plan, &forced, "owner", CLOSED), Ok(()));

    // As a view over a table of that role.
    let over = protect_by([UnforcedTable { name: name("hidden"), owner: "owner".into() }].into());
    assert_eq!(checked_plan(&plan, &over, "anon", CLOSED), Ok(()));
    let refusal = checked_plan(&plan, &over, "owner", CLOSED).unwrap_err();
    assert!(
        matches!(&refusal, Refusal::Unprotected(Unprotected { reason, fix, .. })
            if reason.starts_with("reads test.hidden") && fix.contains(r#""test"."hidden" FORCE"#)),
        "{refusal:?}"
    );
}

#[test]
fn what_reads_no_rows_is_not_checked() {
    let catalog = shop_with_open(&["clients"]);
    for (method, url) in [("OPTIONS", "/clients"), ("GET", "/")] {
        assert_eq!(checked(method, url, &catalog, CLOSED), Ok(()), "{method} {url}");
    }
}

/// The shop with rules for tables, planned and checked as the service does for a caller with this role.
fn under_rules(
    rules: &[(&str, serde_json::Value)],
    method: &str,
    url: &str,
    role: &str,
) -> Result<Permit, Refusal> {
    let (method, url, body) = match url.split_once(' ') {
        Some((url, body)) => (method, url, body),
        None => (method, url, "{}"),
    };
    let mut catalog = shop();
    let settable = crate::catalog::Role { settable: true, ..Default::default() };
    catalog.roles = Arc::new([("anon".into(), settable.clone()), ("authenticated".into(), settable)].into());
    let rows = rules.iter().map(|(table, rules)| (name(table), Arc::from(rules.to_string()))).collect();
    catalog.table_security = Arc::new(crate::catalog::model::TableSecurityRows::Read(rows));
    let caller = caller(role);
    let view = PolicyBook::default().view(&Arc::new(catalog), &caller, true);
    let headers = [("Prefer", "return=representation")];
    let headers = if method == "GET" { &headers[..0] } else { &headers[..] };
    let plan = match Request::of(method, url, headers, body).plan_on(&view.catalog) {
        Ok(plan) => plan,
        Err(error) => panic!("{method} {url}: {error:?}"),
    };
    check(&plan, &view, &caller, CLOSED)
}

#[test]
fn a_hidden_column_and_a_name_that_is_none_are_refused_alike_wherever_they_stand() {
    let hidden = [("clients", serde_json::json!({"hidden_fields": ["name"]}))];
    for column in ["name", "nothing", "to_jsonb", "row_to_json", "clients"] {
        for url in [
            "/clients?select={}",
            "/clients?select=id,alias:{}",
            "/clients?select={}::text",
            "/clients?select={}->>a",
            "/clients?{}=eq.1",
            "/clients?or=(id.eq.1,not.and({}.eq.1,id.eq.2))",
            "/clients?order={}",
            "/clients?select={}.max()",
            "/clients?select=id.max(),{}",
            "/invoices?select=id,clients({})",
            "/invoices?select=id,...clients({})",
            "/invoices?select=id,clients(id)&clients.{}=eq.1",
            "/invoices?select=id,clients(id)&order=clients({})",
        ] {
            let url = url.replace("{}", column);
            let expected = Refusal::Column { relation: name("clients"), name: column.into() };
            assert_eq!(under_rules(&hidden, "GET", &url, "anon"), Err(expected), "{url}");
        }
    }
    let permit = under_rules(&hidden, "GET", "/clients", "anon").unwrap();
    assert!(permit.conceals, "what PostgreSQL says is not passed on");
}

#[test]
fn a_masked_column_is_selected_and_nothing_else() {
    let masked =
        [("clients", serde_json::json!({"field_permissions": {"name": {"masked": true, "mask": "email"}}}))];
    for url in
        ["/clients", "/clients?select=name", "/clients?select=n:name,id", "/invoices?select=clients(name)"]
    {
        assert!(under_rules(&masked, "GET", url, "anon").is_ok(), "{url}");
    }
    for url in [
        "/clients?name=eq.1",
        "/clients?order=name",
        "/clients?select=name::text",
        "/clients?select=name->a",
        "/clients?select=name.count()",
        "/clients?select=name,count()",
        "/invoices?select=...clients(name),count()",
        "/invoices?select=clients(id)&clients.name=like.a*",
    ] {
        let expected = Refusal::MaskedColumn { relation: name("clients"), name: "name".into() };
        assert_eq!(under_rules(&masked, "GET", url, "anon"), Err(expected), "{url}");
    }
}

#[test]
fn a_name_that_gives_whole_rows_of_a_protected_relation_is_refused() {
    let hidden = [("invoices", serde_json::json!({"hidden_fields": ["note"]}))];
    for url in [
        "/clients?select=latest_invoice",
        "/clients?select=x:open_invoices::text",
        "/clients?select=latest_invoice->>note",
        "/clients?latest_invoice->>note=like.a*",
        "/clients?order=latest_invoice->>note",
        "/invoices?select=clients(latest_invoice)",
    ] {
        let field = if url.contains("open") { "open_invoices" } else { "latest_invoice" };
        let expected = Refusal::Column { relation: name("clients"), name: field.into() };
        assert_eq!(under_rules(&hidden, "GET", url, "anon"), Err(expected), "{url}");
        assert!(under_rules(&[], "GET", url, "anon").is_ok(), "{url} without rules");
        // The rules about who asks hold for the rows too.
        let closed = [("invoices", serde_json::json!({"require_auth": true}))];
        assert!(matches!(under_rules(&closed, "GET", url, "anon"), Err(Refusal::Rule(_))), "{url}");
    }
    assert!(under_rules(&hidden, "GET", "/clients?select=latest_invoice(*)", "anon").is_ok());
}

#[test]
fn a_column_that_may_only_be_read_is_not_written() {
    let read_only = [("clients", serde_json::json!({"writable_fields": ["id"]}))];
    let expected = Err(Refusal::Column { relation: name("clients"), name: "name".into() });
    for (method, url) in [("POST", r#"/clients {"name":"a"}"#), ("PATCH", r#"/clients?id=eq.1 {"name":"a"}"#)]
    {
        assert_eq!(under_rules(&read_only, method, url, "anon"), expected, "{method} {url}");
    }
    assert!(under_rules(&read_only, "POST", r#"/clients {"id":1}"#, "anon").is_ok());
}

#[test]
fn rules_hold_at_every_level_and_for_everything_a_write_does() {
    let signed_in = |table: &str| [(table.to_owned(), serde_json::json!({"require_auth": true}))];
    for (table, method, url) in [
        ("clients", "GET", "/clients"),
        ("invoices", "GET", "/clients?select=id,invoices(id)"),
        ("line_items", "GET", "/invoices?select=products(id)"),
        ("clients", "POST", "/clients {}"),
        ("invoices", "POST", "/clients?select=invoices(id) {}"),
        ("clients", "DELETE", "/clients?id=eq.1"),
        ("clients", "GET", "/rpc/search?term=a"),
    ] {
        let rules = signed_in(table);
        let rules: Vec<(&str, serde_json::Value)> =
            rules.iter().map(|(table, rules)| (table.as_str(), rules.clone())).collect();
        let refused = under_rules(&rules, method, url, "anon");
        assert!(
            matches!(&refused, Err(Refusal::Rule(refusal)) if refusal.relation == name(table)),
            "{method} {url}: {refused:?}"
        );
        assert!(under_rules(&rules, method, url, "authenticated").is_ok(), "{method} {url}");
    }
    // Writing may be public although reading is not; reading back is reading.
    let rules = [("clients", serde_json::json!({"require_auth": true, "public_write": true}))];
    assert!(matches!(under_rules(&rules, "POST", "/clients {}", "anon"), Err(Refusal::Rule(_))));
}

#[test]
fn a_table_that_appears_twice_is_counted_once() {
    let rate = || serde_json::json!({"rate_limit": {"requests": 5, "window_seconds": 1}});
    let rules = [("clients", rate()), ("invoices", rate())];
    let permit = under_rules(&rules, "GET", "/clients?select=a:invoices(id),b:invoices(id)", "anon").unwrap();
    assert_eq!(permit.limits.len(), 2);
}

#[test]
fn a_quoted_star_stands_for_no_more_than_the_columns_that_may_be_seen() {
    let hidden = [("clients", serde_json::json!({"hidden_fields": ["name"]}))];
    for url in [
        "/clients?select=x:%22*%22->>name",
        "/clients?select=%22*%22->>name.max()",
        "/clients?%22*%22->>name=eq.1",
        "/clients?order=%22*%22",
        "/invoices?select=clients(x:%22*%22->>name)",
        "/invoices?select=id,clients(id)&order=clients(%22*%22->>name)",
        "/rpc/search?term=a&select=x:%22*%22->>name",
    ] {
        let expected = Refusal::Column { relation: name("clients"), name: "*".into() };
        assert_eq!(under_rules(&hidden, "GET", url, "anon"), Err(expected), "{url}");
    }
    for url in ["/clients?select=%22*%22", "/clients?select=count()", "/invoices?select=...clients(count())"]
    {
        assert!(under_rules(&hidden, "GET", url, "anon").is_ok(), "{url}");
    }
}
