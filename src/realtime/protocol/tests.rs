//! Frames of both versions, read and written.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn text(frame: &Frame) -> &str {
    match frame {
        Frame::Text(text) => text,
        Frame::Binary(_) => panic!("a text frame was expected"),
    }
}

fn bytes(frame: &Frame) -> Bytes {
    match frame {
        Frame::Binary(bytes) => bytes.clone(),
        Frame::Text(_) => panic!("a binary frame was expected"),
    }
}

fn read_text(version: Version, text: &str) -> Result<Incoming, Malformed> {
    read(version, Frame::Text(text.into()))
}

#[test]
fn versions_go_by_their_major_number() {
    for (vsn, version) in [
        (None, Some(Version::One)),
        (Some(""), Some(Version::One)),
        (Some("1.0.0"), Some(Version::One)),
        (Some("1.2"), Some(Version::One)),
        (Some("2.0.0"), Some(Version::Two)),
        (Some("3.0.0"), None),
        (Some("2.x"), None),
        (Some("20.0.0"), None),
        (Some("1.0.0.0"), None),
    ] {
        assert_eq!(Version::asked_for(vsn), version, "{vsn:?}");
    }
}

#[test]
fn one_message_reads_the_same_in_both_versions() {
    let one = r#"{"topic":"realtime:a","event":"phx_join","payload":{"config":{}},"ref":"2","join_ref":"1"}"#;
    let two = r#"["1","2","realtime:a","phx_join",{"config":{}}]"#;
    for (version, frame) in [(Version::One, one), (Version::Two, two)] {
        let message = read_text(version, frame).unwrap();
        assert_eq!(message.join_ref.as_deref(), Some("1"));
        assert_eq!(message.reference.as_deref(), Some("2"));
        assert_eq!(message.topic, "realtime:a");
        assert!(matches!(message.event, Event::Join(payload) if payload.get() == r#"{"config":{}}"#));
    }
}

#[test]
fn references_may_be_missing_or_numbers() {
    let heartbeat = read_text(Version::Two, r#"[null,7,"phoenix","heartbeat",{}]"#).unwrap();
    assert_eq!((heartbeat.join_ref, heartbeat.reference.as_deref()), (None, Some("7")));
    let without = r#"{"topic":"phoenix","event":"heartbeat","payload":{},"ref":null}"#;
    assert_eq!(read_text(Version::One, without).unwrap().reference, None);
}

#[test]
fn what_is_no_message_is_malformed() {
    for (version, frame) in [
        (Version::One, "{"),
        (Version::One, "[]"),
        (Version::One, r#"{"topic":"a","payload":{},"ref":"1"}"#),
        (Version::One, r#"{"event":"a","payload":{},"ref":"1"}"#),
        (Version::One, r#"{"topic":"a","event":"b","ref":"1"}"#),
        (Version::Two, r#"["1","2","a","b"]"#),
        (Version::Two, r#"["1","2","a","b",{},{}]"#),
        (Version::Two, r#"[{},"2","a","b",{}]"#),
        (Version::Two, ""),
    ] {
        assert!(read_text(version, frame).is_err(), "{frame}");
    }
    assert!(read(Version::One, Frame::Binary(Bytes::from_static(&[3]))).is_err());
}

#[test]
fn replies_echo_both_references_in_version_two_only() {
    let to = ReplyTo { topic: "realtime:a\"b", join_ref: Some("1"), reference: Some("2") };
    assert_eq!(
        text(&reply(Version::One, to, Status::Ok, "{}")),
        r#"{"topic":"realtime:a\"b","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"2"}"#
    );
    assert_eq!(
        text(&reply(Version::Two, to, Status::Error, r#"{"reason":"x"}"#)),
        r#"["1","2","realtime:a\"b","phx_reply",{"status":"error","response":{"reason":"x"}}]"#
    );
    assert_eq!(
        text(&push(Version::Two, "realtime:a", None, "phx_close", "{}")),
        r#"[null,null,"realtime:a","phx_close",{}]"#
    );
}

/// A frame of kind 3, put together by hand.
fn user_broadcast_push(encoding: u8, metadata: &str, payload: &[u8]) -> Bytes {
    let parts: [&[u8]; 5] = [b"1", b"2", b"realtime:a", b"shout", metadata.as_bytes()];
    let mut frame = vec![3];
    frame.extend(parts.iter().map(|part| u8::try_from(part.len()).unwrap()));
    frame.push(encoding);
    frame.extend(parts.concat());
    frame.extend_from_slice(payload);
    frame.into()
}

fn broadcast_of(frame: Bytes) -> UserBroadcast {
    let message = read(Version::Two, Frame::Binary(frame)).unwrap();
    assert_eq!((message.join_ref.as_deref(), message.reference.as_deref()), (Some("1"), Some("2")));
    assert_eq!(message.topic, "realtime:a");
    let Event::Broadcast(Some(broadcast)) = message.event else { panic!("no broadcast") };
    broadcast
}

#[test]
fn a_broadcast_of_json_is_binary_for_version_two_and_an_object_for_version_one() {
    let broadcast = broadcast_of(user_broadcast_push(1, "", br#"{"n":1}"#));
    let encoded = Encoded::broadcast("realtime:a".to_owned(), broadcast);

    let two = bytes(&encoded.frame(Version::Two).unwrap());
    assert_eq!(&two[..], b"\x04\x0a\x05\x00\x01realtime:ashout{\"n\":1}");
    assert_eq!(
        text(&encoded.frame(Version::One).unwrap()),
        r#"{"topic":"realtime:a","event":"broadcast","payload":{"type":"broadcast","event":"shout","payload":{"n":1}},"ref":null}"#
    );
}

#[test]
fn a_broadcast_of_bytes_is_not_for_version_one() {
    let encoded =
        Encoded::broadcast("realtime:a".to_owned(), broadcast_of(user_broadcast_push(0, "", &[0, 255])));

    assert_eq!(
        &bytes(&encoded.frame(Version::Two).unwrap())[..],
        b"\x04\x0a\x05\x00\x00realtime:ashout\x00\xff"
    );
    assert_eq!(encoded.frame(Version::One), None);
}

#[test]
fn only_the_server_says_which_stored_message_one_is() {
    let forged = broadcast_of(user_broadcast_push(1, r#"{"id":"x","replayed":true,"trace":1}"#, b"{}"));
    let frame = Encoded::broadcast("realtime:a".to_owned(), forged).frame(Version::One).unwrap();
    assert!(text(&frame).contains(r#""meta":{"trace":1}"#), "{frame:?}");

    let stored = UserBroadcast::json("e".to_owned(), Bytes::from_static(b"1"))
        .unwrap()
        .with_id(Uuid::from_u128(0x42), true);
    let frame = Encoded::broadcast("realtime:a".to_owned(), stored).frame(Version::One).unwrap();
    assert!(
        text(&frame)
            .contains(r#""payload":1,"meta":{"id":"00000000-0000-0000-0000-000000000042","replayed":true}"#),
        "{frame:?}"
    );
}

#[test]
fn what_does_not_fit_into_a_binary_frame_is_an_array() {
    let event = "e".repeat(300);
    let long = UserBroadcast::json(event, Bytes::from_static(b"{}")).unwrap();
    let frame = Encoded::broadcast("realtime:a".to_owned(), long).frame(Version::Two).unwrap();
    assert!(text(&frame).starts_with(r#"[null,null,"realtime:a","broadcast",{"type":"broadcast","#));
}

#[test]
fn json_that_is_none_and_cut_frames_are_malformed() {
    assert!(read(Version::Two, Frame::Binary(user_broadcast_push(1, "", b"{"))).is_err());
    assert!(read(Version::Two, Frame::Binary(user_broadcast_push(2, "", b"{}"))).is_err());
    let whole = user_broadcast_push(0, "", b"");
    for length in 0..whole.len() {
        assert!(read(Version::Two, Frame::Binary(whole.slice(..length))).is_err(), "{length}");
    }
}

proptest! {
    #[test]
    fn any_frame_is_read_without_a_panic(frame: Vec<u8>, text: String) {
        let _ = read(Version::Two, Frame::Binary(frame.into()));
        let _ = read_text(Version::One, &text);
        let _ = read_text(Version::Two, &text);
    }

    #[test]
    fn whatever_is_written_is_json(topic: String, event: String) {
        for version in [Version::One, Version::Two] {
            let frame = push(version, &topic, Some(&event), &event, "{}");
            prop_assert!(serde_json::from_str::<serde_json::Value>(text(&frame)).is_ok());
        }
    }
}
