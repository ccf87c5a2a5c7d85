//! Three servers behind a balancer, as clients meet them: what one client says reaches those who are on other servers.

use std::pin::pin;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::presence::{People, people, track};
use crate::harness::{Event, Nodes, Options, RedisServer, Socket};

const TOPIC: &str = "realtime:room";
const SERVERS: usize = 3;

const DISHES: &str = "create table dishes (id int primary key, name text);
    grant select on dishes to anon; alter table dishes enable row level security;
    create policy everybody on dishes for select using (true);
    alter publication supabase_realtime add table dishes";

/// Servers that know of each other.
async fn start(carrier: &str, options: impl Fn() -> Options) -> Nodes {
    let nodes = Nodes::start(SERVERS, DISHES, options).await;
    nodes.acquainted(SERVERS, carrier).await;
    nodes
}

/// Sockets on all servers, joined.
async fn sockets(nodes: &Nodes, config: impl Fn(usize) -> Value) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for place in 0..SERVERS {
        let mut socket = nodes.socket(&nodes.key()).await;
        socket.join(TOPIC, config(place)).await;
        sockets.push(socket);
    }
    sockets
}

/// What a socket has heard once these last messages, one of each server, have come: nothing said before can come later.
async fn heard_until_marked(socket: &mut Socket, marks: usize) -> Vec<String> {
    let (mut heard, mut marked) = (Vec::new(), 0);
    while marked < marks {
        let event = socket.try_next().await.expect("a message");
        match event.name.as_str() {
            "broadcast" if event.payload["event"] == "mark" => marked += 1,
            "broadcast" => heard.push(event.payload["event"].as_str().unwrap().to_owned()),
            "postgres_changes" => heard.push(format!("row {}", event.payload["data"]["record"]["id"])),
            _ => {}
        }
    }
    heard.sort_unstable();
    heard
}

fn gone(event: &Event, key: &str) -> bool {
    event.name == "presence_diff" && event.payload["leaves"].get(key).is_some()
}

async fn everything_crosses_once(nodes: &Nodes) {
    let wish = json!([{"event": "*", "schema": "public", "table": "dishes"}]);
    let mut sockets =
        sockets(nodes, |_| json!({"postgres_changes": wish, "broadcast": {"self": true}})).await;
    for socket in &mut sockets {
        socket.event("system").await;
    }
    for (place, socket) in sockets.iter_mut().enumerate() {
        socket.broadcast(TOPIC, &format!("socket {place}"), json!({})).await;
    }
    for place in 0..SERVERS {
        let messages = json!([{"topic": "room", "event": format!("batch {place}"), "payload": {}}]);
        let batch = json!({ "messages": messages });
        nodes.client(&nodes.key()).post("/realtime/v1/api/broadcast", batch).await.expect_status(202);
        let path = format!("/realtime/v1/api/broadcast/room/events/one{place}");
        nodes.client(&nodes.key()).post(&path, json!({})).await.expect_status(202);
    }
    let sql = "insert into dishes values (7, 'soup');
               select realtime.send('{}', 'sql', 'room', false);
               select realtime.send('{}', 'secret', 'room', true)";
    nodes.app.database.run(sql).await;
    // The database is read by each server for itself: wait for what it says before the marks are set.
    for socket in &mut sockets {
        let row = socket.wait_for(|event| event.name == "postgres_changes").await;
        assert_eq!(row.payload["data"]["record"]["id"], 7);
        socket.wait_for(|event| event.payload["event"] == "sql").await;
    }
    let last = "insert into dishes values (8, 'last'); select realtime.send('{}', 'last', 'room', false)";
    nodes.app.database.run(last).await;
    for socket in &mut sockets {
        socket.wait_for(|event| event.payload["event"] == "last").await;
    }

    for socket in &mut sockets {
        socket.broadcast(TOPIC, "mark", json!({})).await;
    }
    let mut expected: Vec<String> = ["socket", "batch"]
        .iter()
        .flat_map(|kind| (0..SERVERS).map(move |place| format!("{kind} {place}")))
        .chain((0..SERVERS).map(|place| format!("one{place}")))
        .chain(["row 8".to_owned()])
        .collect();
    expected.sort_unstable();
    for (place, socket) in sockets.iter_mut().enumerate() {
        assert_eq!(heard_until_marked(socket, SERVERS).await, expected, "on server {place}");
    }
}

/// A private topic and the public one of the same name on all servers: nothing gets from one to the other.
async fn topics_of_one_name_stay_two(nodes: &Nodes) {
    let service = nodes.app.server.keys().service_role_key;
    let mut sockets = Vec::new();
    for key in [&nodes.key(), &service] {
        for _ in 0..SERVERS {
            let mut socket = nodes.socket(key).await;
            let is_private = *key == service;
            socket.join(TOPIC, json!({"private": is_private, "broadcast": {"self": true}})).await;
            sockets.push(socket);
        }
    }
    for name in ["public", "private"] {
        for place in 0..SERVERS {
            let event = format!("{name} {place}");
            let message =
                json!({"topic": "room", "event": event, "payload": {}, "private": name == "private"});
            let batch = json!({ "messages": [message] });
            let client = nodes.client(&service);
            client.post("/realtime/v1/api/broadcast", batch).await.expect_status(202);
        }
    }
    let sql = "select realtime.send('{}', 'private sql', 'room', true);
               select realtime.send('{}', 'public sql', 'room', false)";
    nodes.app.database.run(sql).await;
    for (place, socket) in sockets.iter_mut().enumerate() {
        let name = if place < SERVERS { "public" } else { "private" };
        let sent = socket.wait_for(|event| event.payload["event"] == format!("{name} sql")).await;
        assert!(sent.payload["meta"]["id"].is_string());
        socket.broadcast(TOPIC, "mark", json!({})).await;
    }
    for (place, socket) in sockets.iter_mut().enumerate() {
        let name = if place < SERVERS { "public" } else { "private" };
        let expected: Vec<String> = (0..SERVERS).map(|place| format!("{name} {place}")).collect();
        assert_eq!(heard_until_marked(socket, SERVERS).await, expected);
    }
}

/// Everybody tracks; everybody sees everybody, and so does who comes later, on whichever server.
async fn present_on_all(nodes: &Nodes) -> (Vec<Socket>, Vec<People>) {
    let key = |place: usize| format!("key {place}");
    let mut sockets = sockets(nodes, |place| json!({"presence": {"key": key(place), "enabled": true}})).await;
    for socket in &mut sockets {
        track(socket, json!({"at": "desk"})).await;
    }
    let all: Vec<String> = (0..SERVERS).map(key).collect();
    let mut seen = Vec::new();
    for socket in &mut sockets {
        let mut people = People::default();
        people.until(socket, &all).await;
        seen.push(people);
    }
    (sockets, seen)
}

#[tokio::test]
async fn gf_rt_09_what_is_said_reaches_every_server_exactly_once() {
    let nodes = start("postgres", super::options).await;
    everything_crosses_once(&nodes).await;
    topics_of_one_name_stay_two(&nodes).await;
}

#[tokio::test]
async fn gf_rt_09_presence_is_one_on_all_servers() {
    // Nobody is given up for its silence.
    let mut nodes = start("postgres", || super::options().set("server.node_timeout", "600s")).await;
    let (mut sockets, _) = present_on_all(&nodes).await;
    for place in 0..SERVERS {
        let mut late = nodes.socket(&nodes.key()).await;
        late.join(TOPIC, json!({"presence": {"enabled": true}})).await;
        let state = people(&late.event("presence_state").await.payload);
        let keys: Vec<&String> = state.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["key 0", "key 1", "key 2"], "on server {place}");
        late.drop_connection();
    }

    track(&mut sockets[0], json!({"at": "door"})).await;
    for socket in &mut sockets[1..] {
        let moved = socket.wait_for(|event| gone(event, "key 0")).await.payload;
        let (joins, leaves) = (&moved["joins"]["key 0"]["metas"][0], &moved["leaves"]["key 0"]["metas"][0]);
        assert_eq!((&joins["at"], &leaves["at"]), (&json!("door"), &json!("desk")));
        assert_eq!(joins["phx_ref_prev"], leaves["phx_ref"]);
    }
    let reply = sockets[0].ask(TOPIC, "presence", json!({"event": "untrack"})).await;
    assert!(reply.is_ok());
    for socket in &mut sockets[1..] {
        let left = socket.wait_for(|event| gone(event, "key 0")).await.payload;
        assert_eq!(left["joins"], json!({}));
    }

    // A server that is stopped says so.
    nodes.others[0].stop().await;
    sockets[2].wait_for(|event| gone(event, "key 1")).await;
    nodes.acquainted(SERVERS - 1, "postgres").await;
}

#[tokio::test]
async fn gf_rt_05_a_server_that_dies_takes_its_members_along() {
    let mut nodes = start("postgres", || super::options().set("server.node_timeout", "12s")).await;
    let (mut sockets, _) = present_on_all(&nodes).await;

    nodes.app.server.kill().await;
    for socket in &mut sockets[1..] {
        let left = socket.wait_for(|event| gone(event, "key 0")).await.payload;
        assert_eq!(left["joins"], json!({}));
    }
    // The balancer passes it by; whoever comes finds the others.
    let mut late = nodes.socket(&nodes.key()).await;
    late.join(TOPIC, json!({"presence": {"enabled": true}})).await;
    let state = people(&late.event("presence_state").await.payload);
    assert_eq!(state.as_object().unwrap().keys().collect::<Vec<_>>(), ["key 1", "key 2"]);
}

#[tokio::test]
async fn connections_between_servers_that_break_heal_and_presence_is_made_up_for() {
    let nodes = start("postgres", super::options).await;
    let (mut sockets, mut seen) = present_on_all(&nodes).await;
    for round in 0..3 {
        let broken = "select pg_terminate_backend(pid) from pg_stat_activity
                      where datname = current_database() and application_name = 'goforward bus'";
        nodes.app.database.run_as_superuser(broken).await;
        // While they are away: one comes, one moves and one goes.
        track(&mut sockets[round], json!({"at": round})).await;
        let (mut came, key) = (nodes.socket(&nodes.key()).await, format!("came {round}"));
        came.join(TOPIC, json!({"presence": {"key": key, "enabled": true}})).await;
        track(&mut came, json!({})).await;
        for (socket, seen) in sockets.iter_mut().zip(&mut seen) {
            let mut expected: Vec<String> = (0..SERVERS).map(|place| format!("key {place}")).collect();
            expected.push(key.clone());
            seen.until(socket, &expected).await;
        }
        came.drop_connection();
        for (socket, seen) in sockets.iter_mut().zip(&mut seen) {
            let expected: Vec<String> = (0..SERVERS).map(|place| format!("key {place}")).collect();
            seen.until(socket, &expected).await;
        }
    }
}

#[tokio::test]
async fn gf_rt_09_over_redis_what_is_said_reaches_every_server_exactly_once() {
    let redis = RedisServer::start().await;
    let nodes = start("redis", || super::options().environment("REDIS_URL", &redis.url())).await;
    everything_crosses_once(&nodes).await;
    topics_of_one_name_stay_two(&nodes).await;
}

#[tokio::test]
async fn gf_rt_09_l08_without_redis_each_server_goes_on_and_all_are_one_again_when_it_is_back() {
    let mut redis = RedisServer::start().await;
    let url = redis.url();
    let options = || super::options().environment("REDIS_URL", &url).set("server.node_timeout", "12s");
    let nodes = start("redis", options).await;
    let (mut sockets, mut seen) = present_on_all(&nodes).await;
    let mut neighbours = Vec::new();
    for _ in 0..SERVERS {
        let mut neighbour = nodes.socket(&nodes.key()).await;
        neighbour.join(TOPIC, json!({})).await;
        neighbours.push(neighbour);
    }

    redis.kill();
    for place in 0..SERVERS {
        // Each server for its own clients.
        sockets[place].broadcast(TOPIC, "near", json!({ "from": place })).await;
        let near = neighbours[place].wait_for(|event| event.payload["event"] == "near").await;
        assert_eq!(near.payload["payload"]["from"], place);
        let body = json!({"messages": [{"topic": "room", "event": "posted", "payload": {}}]});
        nodes.client(&nodes.key()).post("/realtime/v1/api/broadcast", body).await.expect_status(202);
        track(&mut sockets[place], json!({"at": "door"})).await;
        seen[place].until(&mut sockets[place], &[format!("key {place}")]).await;
    }
    // Who comes meanwhile is known to its neighbours at once, and to the others later.
    let mut new = Socket::connect(nodes.app.server.port(), "2.0.0", &nodes.key()).await.unwrap();
    new.join(TOPIC, json!({"presence": {"key": "new", "enabled": true}})).await;
    track(&mut new, json!({})).await;
    seen[0].until(&mut sockets[0], &["key 0".to_owned(), "new".to_owned()]).await;

    redis.begin().await;
    let all: Vec<String> =
        (0..SERVERS).map(|place| format!("key {place}")).chain(["new".to_owned()]).collect();
    for (socket, seen) in sockets.iter_mut().zip(&mut seen) {
        seen.until(socket, &all).await;
    }
    // All are one again; what is said while a connection is made anew may be lost.
    for (place, socket) in sockets.iter_mut().enumerate() {
        let is_far =
            |event: &Event| event.payload["event"] == "far" && event.payload["payload"]["from"] == place;
        for neighbour in &mut neighbours {
            let mut heard = pin!(neighbour.wait_for(is_far));
            loop {
                socket.broadcast(TOPIC, "far", json!({ "from": place })).await;
                if timeout(Duration::from_secs(1), &mut heard).await.is_ok() {
                    break;
                }
            }
        }
    }
}
