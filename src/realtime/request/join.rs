//! Pure: the payload of `phx_join`. Every part may be missing; a part of the wrong shape counts as missing, so that a client
//! of another version still gets what both sides know.

use serde_json::{Map, Value};

use crate::realtime::changes::{Cursor, CursorError, Event};

/// The longest presence key, in bytes: what other nodes are told of it has room for no longer one.
pub(in crate::realtime) const LONGEST_KEY: usize = 255;
/// The most subscriptions of one channel.
const MOST_CHANGES: usize = 100;

/// What of a wish comes back in the reply: clients compare it.
const ECHOED: [&str; 5] = ["event", "schema", "table", "filter", "select"];

/// What a channel is to be.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub(in crate::realtime) struct JoinRequest {
    /// Whether broadcasts are to be acknowledged.
    pub(in crate::realtime) acknowledges: bool,
    /// Whether the sender gets its own broadcasts.
    pub(in crate::realtime) echoes: bool,
    /// Which stored messages are to be sent first; an error where the wish makes no sense.
    pub(in crate::realtime) replay: Option<Result<Replay, ()>>,
    /// Whether the client wants to be told that broadcasts of the database arrive.
    pub(in crate::realtime) tells_replication: bool,
    /// The key of this channel's presence; none: the server makes one.
    pub(in crate::realtime) presence_key: Option<String>,
    /// Whether the client wants to know who is there.
    pub(in crate::realtime) presence: bool,
    /// Which changes of tables it wants.
    pub(in crate::realtime) changes: Vec<ChangeRequest>,
    /// Whether there were more than can be.
    pub(in crate::realtime) too_many_changes: bool,
    /// Whether policies decide who may join.
    pub(in crate::realtime) is_private: bool,
    /// The token that replaces the socket's key for this channel.
    pub(in crate::realtime) access_token: Option<String>,
}

/// Which stored messages are sent before live ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::realtime) struct Replay {
    /// The earliest, in milliseconds since the Unix epoch.
    pub(in crate::realtime) since: i64,
    /// How many of the newest, 1 to [`Replay::MOST`].
    pub(in crate::realtime) limit: u8,
}

impl Replay {
    /// The most messages that are sent again.
    pub(in crate::realtime) const MOST: u8 = 25;
}

/// A wish for changes of tables, as the client wrote it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::realtime) struct ChangeRequest {
    /// What comes back in the reply beside the id.
    pub(in crate::realtime) echo: Map<String, Value>,
    /// The event; none is all, and so is one that there is not.
    pub(in crate::realtime) event: Option<Event>,
    /// The schema; none is all.
    pub(in crate::realtime) schema: Option<String>,
    /// The table; none is all.
    pub(in crate::realtime) table: Option<String>,
    /// The filter, where there is one.
    pub(in crate::realtime) filter: Option<String>,
    /// The columns wanted; empty is all.
    pub(in crate::realtime) select: Vec<String>,
    /// The cursor to go on from.
    pub(in crate::realtime) since: Option<Result<Cursor, CursorError>>,
}

impl JoinRequest {
    /// Reads the payload. `topic` is the name of the topic, which old clients put a table into.
    pub(in crate::realtime) fn parse(payload: &str, topic: &str) -> Self {
        let payload: Value = serde_json::from_str(payload).unwrap_or_default();
        let access_token = text(&payload, "access_token").or_else(|| text(&payload, "user_token"));
        let Some(config) = payload.get("config").filter(|config| config.is_object()) else {
            let changes = legacy_change(topic).into_iter().collect();
            return Self { changes, access_token, ..Self::default() };
        };
        let (broadcast, presence) = (&config["broadcast"], &config["presence"]);
        let wanted = config["postgres_changes"].as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            acknowledges: flag(broadcast, "ack"),
            echoes: flag(broadcast, "self"),
            replay: broadcast.get("replay").filter(|replay| !replay.is_null()).map(replay),
            tells_replication: flag(broadcast, "replication_ready"),
            presence_key: text(presence, "key").filter(|key| !key.is_empty() && key.len() <= LONGEST_KEY),
            presence: flag(presence, "enabled"),
            changes: wanted.iter().take(MOST_CHANGES).filter_map(change).collect(),
            too_many_changes: wanted.len() > MOST_CHANGES,
            is_private: flag(config, "private"),
            access_token,
        }
    }
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

/// A boolean, or the word for one.
fn flag(value: &Value, name: &str) -> bool {
    match value.get(name) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(word)) => word == "true",
        _ => false,
    }
}

fn replay(value: &Value) -> Result<Replay, ()> {
    let since = value.get("since").and_then(Value::as_i64).filter(|since| *since >= 0).ok_or(())?;
    let limit = match value.get("limit") {
        None | Some(Value::Null) => i64::from(Replay::MOST),
        Some(limit) => limit.as_i64().ok_or(())?,
    };
    let limit = limit.clamp(1, Replay::MOST.into());
    Ok(Replay { since, limit: u8::try_from(limit).unwrap_or(Replay::MOST) })
}

fn change(value: &Value) -> Option<ChangeRequest> {
    let object = value.as_object()?;
    let named = |name: &str| text(value, name).filter(|text| !text.is_empty() && text != "*");
    let select = value["select"].as_array().map(Vec::as_slice).unwrap_or_default();
    Some(ChangeRequest {
        echo: ECHOED
            .iter()
            .filter_map(|name| object.get_key_value(*name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        event: text(value, "event").and_then(|name| Event::named(&name)),
        schema: named("schema"),
        table: named("table"),
        filter: text(value, "filter").filter(|filter| !filter.is_empty()),
        select: select.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        since: text(value, "since").filter(|since| !since.is_empty()).map(|since| since.parse()),
    })
}

/// What a topic such as `public:todos:id=eq.1` asks for, from before there was a configuration.
fn legacy_change(topic: &str) -> Option<ChangeRequest> {
    let mut parts = topic.splitn(3, ':');
    let schema = parts.next()?.to_owned();
    let table = parts.next().map(str::to_owned);
    let filter = parts.next().map(str::to_owned);
    // A topic without a colon is a name.
    table.as_ref()?;
    let echo = [
        ("event", Some("*")),
        ("schema", Some(&*schema)),
        ("table", table.as_deref()),
        ("filter", filter.as_deref()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))))
    .collect();
    let named = |name: String| Some(name).filter(|name| name != "*");
    Some(ChangeRequest {
        echo,
        event: None,
        schema: named(schema),
        table: table.and_then(named),
        filter,
        select: Vec::new(),
        since: None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(payload: &str) -> JoinRequest {
        JoinRequest::parse(payload, "room")
    }

    #[test]
    fn every_part_may_be_missing_or_of_another_shape() {
        for payload in [
            "{}",
            "null",
            "[]",
            r#"{"config":{}}"#,
            r#"{"config":7}"#,
            r#"{"config":{"broadcast":[],"presence":"x","postgres_changes":{},"private":"no"}}"#,
            r#"{"access_token":7}"#,
        ] {
            assert_eq!(parse(payload), JoinRequest::default(), "{payload}");
        }
    }

    #[test]
    fn flags_may_be_words() {
        let join = parse(
            r#"{"config":{"broadcast":{"ack":"true","self":true},"presence":{"enabled":"true","key":"k"},"private":"true"},
                "user_token":"t"}"#,
        );
        assert!(join.acknowledges && join.echoes && join.presence && join.is_private);
        assert_eq!((join.presence_key.as_deref(), join.access_token.as_deref()), (Some("k"), Some("t")));
    }

    #[test]
    fn changes_keep_their_order_and_what_they_said() {
        let join = parse(
            r#"{"config":{"postgres_changes":[
                {"event":"insert","schema":"public","table":"a","filter":"id=eq.1","select":["id"],"extra":1},
                {"event":"*","schema":"*"}]}}"#,
        );
        let [first, second] = &join.changes[..] else { panic!("two were asked for") };
        assert_eq!((first.event, first.table.as_deref()), (Some(Event::Insert), Some("a")));
        assert_eq!(first.echo["event"], "insert");
        assert_eq!(first.select, ["id"]);
        assert_eq!((second.event, second.schema.as_deref(), second.table.as_deref()), (None, None, None));
    }

    #[test]
    fn events_and_cursors_are_read_and_what_is_neither_is_told_apart() {
        let join = parse(
            r#"{"config":{"postgres_changes":[
                {"event":"Delete","since":"nonsense"},{"event":"EXPLODE","since":""},{"event":7,"since":null}]}}"#,
        );
        let read: Vec<_> = join.changes.iter().map(|change| (change.event, change.since.clone())).collect();
        assert_eq!(read, [(Some(Event::Delete), Some(Err(CursorError))), (None, None), (None, None)]);
    }

    #[test]
    fn a_replay_has_a_beginning_and_a_limit_within_bounds() {
        for (replay, outcome) in [
            (r#"{"since":5}"#, Some(Ok(Replay { since: 5, limit: 25 }))),
            (r#"{"since":5,"limit":1000}"#, Some(Ok(Replay { since: 5, limit: 25 }))),
            (r#"{"since":5,"limit":-1}"#, Some(Ok(Replay { since: 5, limit: 1 }))),
            (r#"{"since":"x"}"#, Some(Err(()))),
            (r#"{"since":5,"limit":"all"}"#, Some(Err(()))),
            ("null", None),
        ] {
            let join = parse(&format!(r#"{{"config":{{"broadcast":{{"replay":{replay}}}}}}}"#));
            assert_eq!(join.replay, outcome, "{replay}");
        }
    }

    #[test]
    fn a_topic_of_old_clients_names_a_table() {
        let join = JoinRequest::parse(r#"{"user_token":"t"}"#, "public:todos:id=eq.1");
        let [change] = &join.changes[..] else { panic!("one was asked for") };
        assert_eq!((change.schema.as_deref(), change.table.as_deref()), (Some("public"), Some("todos")));
        assert_eq!(change.filter.as_deref(), Some("id=eq.1"));
        assert_eq!(JoinRequest::parse("{}", "public:*").changes[0].table, None);
        assert_eq!(JoinRequest::parse("{}", "room").changes, []);
        assert_eq!(JoinRequest::parse(r#"{"config":{}}"#, "public:todos").changes, []);
    }

    proptest! {
        #[test]
        fn any_payload_is_read_without_a_panic(payload: String, topic: String) {
            let _ = JoinRequest::parse(&payload, &topic);
        }
    }
}
