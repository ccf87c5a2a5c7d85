//! Threat E01: however a request is put together, nothing of it becomes SQL text.
//!
//! Requests are drawn at random from the whole grammar with hostile words in any place, and every statement that comes
//! of them is judged. 50,000 in each run; `GOFORWARD_FUZZ_REQUESTS=1000000 cargo test --lib hostile` for a million.
//! A failure names the seed, for `GOFORWARD_TEST_SEED`.

use std::borrow::Cow;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::sql_tokens::Vocabulary;
use super::*;
use crate::kernel::sql::SqlBuf;
use crate::rest::core::plan::plan;
use crate::rest::core::samples::{OPTIONS, shop};

/// Part of every hostile word, and of nothing else.
const MARKER: &str = "zq7";

const HOSTILE: [&str; 26] = [
    "zq7",
    "zq7'",
    "zq7\"",
    "zq7\\",
    "zq7\\'",
    "zq7';drop table zq7--",
    "zq7\";drop table zq7;--",
    "zq7\"\"",
    "zq7') or (1=1) --zq7",
    "zq7\") from pg_authid zq7--",
    "\"zq7\"",
    "'zq7'",
    "E'zq7\\''",
    "U&\"zq7\\0022\"",
    "$zq7$zq7$zq7$",
    "$1::zq7",
    "zq7/*",
    "*/zq7--",
    "zq7\0'",
    "zq7\n;zq7",
    "int) as zq7,(zq7",
    "zq7.*",
    "(select zq7)",
    "zq7\u{2019}\u{ff07}\u{ff02}",
    "\u{feff}zq7\u{202e}",
    "zq7||(select pg_sleep(9))||zq7",
];

const RELATIONS: [&str; 10] = [
    "clients",
    "invoices",
    "products",
    "line_items",
    "profiles",
    "staff",
    "addresses",
    "orders",
    "notes",
    "report",
];
const FUNCTIONS: [&str; 8] = ["add", "sum_of", "numbers", "search", "newest", "reset", "import", "pick"];
const COLUMNS: [&str; 12] = [
    "id",
    "name",
    "client_id",
    "total",
    "data",
    "note",
    "words",
    "color",
    "bill_to",
    "boss_id",
    "a",
    "numbers",
];
const EMBEDS: [&str; 10] = [
    "clients",
    "invoices",
    "products",
    "line_items",
    "profiles",
    "latest_invoice",
    "open_invoices",
    "staff!boss_id",
    "addresses!bill_to",
    "invoices!inner",
];
const OPERATORS: [&str; 20] = [
    "eq",
    "neq",
    "gt",
    "gte",
    "lt",
    "lte",
    "like",
    "ilike",
    "match",
    "imatch",
    "eq(any)",
    "like(all)",
    "cs",
    "cd",
    "ov",
    "sl",
    "nxr",
    "adj",
    "isdistinct",
    "fts",
];
const CASTS: [&str; 4] = ["::text", "::int", "::timestamp with time zone", "::jsonb"];
const MEDIA: [&str; 6] = [
    "*/*",
    "application/json",
    "text/csv",
    "application/x-ndjson",
    "application/vnd.pgrst.object+json",
    "application/vnd.pgrst.plan+json; options=analyze|verbose",
];
const PREFERENCES: [&str; 8] = [
    "return=representation",
    "return=headers-only",
    "return=representation, resolution=merge-duplicates",
    "resolution=ignore-duplicates",
    "missing=default, return=representation",
    "count=exact",
    "count=planned",
    "count=estimated",
];

/// Random choices that a seed repeats (SplitMix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % (bound as u64)).unwrap()
    }

    fn pick(&mut self, items: &[&'static str]) -> &'static str {
        items[self.below(items.len())]
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of the words, or a hostile one: bare, or in the quotes of the grammar so that all of it is one name.
    fn word(&mut self, usual: &[&'static str]) -> String {
        match self.below(8) {
            0 => self.pick(&HOSTILE).to_owned(),
            1 | 2 => {
                let hostile = self.pick(&HOSTILE);
                format!("\"{}\"", hostile.replace('\\', "\\\\").replace('"', "\\\""))
            }
            _ => self.pick(usual).to_owned(),
        }
    }

    fn list(&mut self, most: usize, mut item: impl FnMut(&mut Self) -> String) -> String {
        let items: Vec<String> = (0..=self.below(most)).map(|_| item(self)).collect();
        items.join(",")
    }

    fn field(&mut self) -> String {
        let mut text = self.word(&COLUMNS);
        while self.once_in(4) {
            text += if self.once_in(2) { "->" } else { "->>" };
            text += &self.word(&["key", "0", "-1"]);
        }
        text
    }

    fn selected(&mut self, depth: usize) -> String {
        let alias = if self.once_in(4) { self.word(&["other"]) + ":" } else { String::new() };
        if depth < 3 && self.once_in(3) {
            let spread = if self.once_in(4) { "..." } else { "" };
            let inner = self.list(3, |draw| draw.selected(depth + 1));
            return format!("{spread}{alias}{}({inner})", self.word(&EMBEDS));
        }
        let aggregate = if self.once_in(8) { self.pick(&[".sum()", ".count()", ".max()"]) } else { "" };
        let cast = if self.once_in(4) {
            let hostile = "::".to_owned() + self.pick(&HOSTILE);
            if self.once_in(3) { hostile } else { self.pick(&CASTS).to_owned() }
        } else {
            String::new()
        };
        let field = if self.once_in(8) { "*".to_owned() } else { self.field() };
        format!("{alias}{field}{cast}{aggregate}")
    }

    fn operation(&mut self) -> String {
        let not = if self.once_in(4) { "not." } else { "" };
        match self.below(6) {
            0 => format!("{not}in.({})", self.list(4, |draw| draw.word(&["1", "a b"]))),
            1 => format!("{not}is.{}", self.word(&["null", "true", "not_null"])),
            2 => format!("{not}fts({}).{}", self.word(&["english"]), self.word(&["cat"])),
            _ => format!("{not}{}.{}", self.word(&OPERATORS), self.word(&["1", "{1,2}", "a*"])),
        }
    }

    fn condition(&mut self, depth: usize) -> String {
        if depth < 3 && self.once_in(4) {
            let inner = self.list(3, |draw| draw.condition(depth + 1));
            return format!("{}({inner})", self.pick(&["and", "or", "not.or"]));
        }
        format!("{}.{}", self.field(), self.operation())
    }

    fn term(&mut self) -> String {
        let field = if self.once_in(6) {
            format!("{}({})", self.word(&["clients", "profiles"]), self.field())
        } else {
            self.field()
        };
        field + self.pick(&["", ".asc", ".desc.nullslast", ".nullsfirst"])
    }

    /// A parameter as it stands in an address.
    fn parameter(&mut self) -> String {
        let below = if self.once_in(5) { self.word(&EMBEDS) + "." } else { String::new() };
        let (name, value) = match self.below(10) {
            0..=2 => ("select".to_owned(), self.list(4, |draw| draw.selected(0))),
            3 => (below + "order", self.list(3, Self::term)),
            4 => (below + "or", format!("({})", self.list(3, |draw| draw.condition(0)))),
            5 => (below + self.pick(&["limit", "offset"]), self.word(&["1", "10", "-1"])),
            6 => ("columns".to_owned(), self.list(3, |draw| draw.word(&COLUMNS))),
            7 => ("on_conflict".to_owned(), self.list(2, |draw| draw.word(&COLUMNS))),
            _ => (below + &self.field(), self.operation()),
        };
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        format!("{}={}", encoded(&name), encoded(&value))
    }

    fn body(&mut self) -> String {
        let row = |draw: &mut Self| {
            let pairs: Vec<String> = (0..=draw.below(3))
                .map(|_| {
                    let key = if draw.once_in(3) { draw.pick(&HOSTILE) } else { draw.pick(&COLUMNS) };
                    format!("{:?}:{:?}", Cow::from(key).replace('\0', ""), draw.pick(&HOSTILE))
                })
                .collect();
            // Rust writes `\u{..}` where JSON wants four digits.
            format!("{{{}}}", pairs.join(",").replace("\\u{", "u{").replace("\\0", "").replace("\\'", "'"))
        };
        match self.below(4) {
            0 => row(self),
            1 => format!("[{}]", self.list(3, row)),
            2 => format!("id,{}\n1,{}", self.pick(&HOSTILE), self.pick(&HOSTILE)),
            _ => format!("{}={}", self.pick(&COLUMNS), self.pick(&HOSTILE)),
        }
    }
}

/// Every statement that the request leads to; none where it is refused.
fn statements(request: &Request<'_>, catalog: &crate::catalog::Catalog) -> Vec<SqlBuf> {
    let Ok(parsed) = request.parse() else { return Vec::new() };
    let Ok(plan) = plan(&parsed, catalog, &OPTIONS) else { return Vec::new() };
    let count = CountOptions { mode: parsed.preferences.count, max_rows: Some(100) };
    let rendered = match &plan {
        Plan::Read(action) => render_read(action, count),
        Plan::Call(action) => render_call(action, count),
        Plan::Mutate(action) => render_mutate(action, &parsed.preferences),
        Plan::Inspect { .. } | Plan::Info { .. } => return Vec::new(),
    };
    std::iter::once(rendered.sql).chain(rendered.estimate).collect()
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn no_hostile_request_puts_a_word_of_its_own_into_the_sql() {
    let catalog = shop();
    let vocabulary = Vocabulary::new(&catalog);
    let seed = from_environment("GOFORWARD_TEST_SEED", 1);
    let requests = from_environment("GOFORWARD_FUZZ_REQUESTS", 50_000);
    let mut draw = Draw(seed);
    let (mut judged, mut in_names, mut in_values) = (0_u64, 0_u64, 0_u64);

    for number in 0..requests {
        let method = draw.pick(&["GET", "GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"]);
        let target = match draw.below(12) {
            0 => utf8_percent_encode(draw.pick(&HOSTILE), NON_ALPHANUMERIC).to_string(),
            1..=3 => format!("rpc/{}", draw.pick(&FUNCTIONS)),
            _ => draw.pick(&RELATIONS).to_owned(),
        };
        let parameters: Vec<String> = (0..draw.below(5)).map(|_| draw.parameter()).collect();
        let url = format!("/{target}?{}", parameters.join("&"));
        let body = if method == "GET" { String::new() } else { draw.body() };
        let kind = draw.pick(&[
            "application/json",
            "application/json",
            "text/csv",
            "application/x-www-form-urlencoded",
        ]);
        let headers =
            [("prefer", draw.pick(&PREFERENCES)), ("accept", draw.pick(&MEDIA)), ("content-type", kind)];
        for sql in statements(&Request::of(method, &url, &headers, &body), &catalog) {
            judged += 1;
            in_names += u64::from(sql.text().contains(MARKER));
            in_values += u64::from(
                shown(&sql).len() > sql.text().len() && shown(&sql)[sql.text().len()..].contains(MARKER),
            );
            if let Err(fault) = vocabulary.judge(&sql, MARKER) {
                panic!(
                    "{fault}\nseed {seed}, request {number}: {method} {url}\n{headers:?}\n{body}\n{}",
                    sql.text()
                );
            }
        }
    }

    // Most random requests are refused; those that are not must carry the hostile words to both places.
    let share = requests / 100;
    assert!(
        judged > 10 * share && in_names > share && in_values > share,
        "{judged} statements, {in_names} with hostile names, {in_values} with hostile values"
    );
}
