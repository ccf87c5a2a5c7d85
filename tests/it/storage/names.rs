//! Names in letters of all scripts; what leads nowhere but to its own object is in [`super::traversal`].

use serde_json::json;

use super::traversal::WAYS_OUT;
use super::{refusal, start, upload, with};
use crate::harness::Options;

#[tokio::test]
async fn letters_of_all_scripts_are_for_servers_that_take_them() {
    let app = start().await;
    assert_eq!(refusal(&upload(&app.service(), "private/\u{fc}ber.txt", "x").await).2, "InvalidKey");

    let app = with(Options::default().set("storage.unicode_names", "true")).await;
    let service = app.service();
    let made = upload(&service, "private/u\u{308}ber.txt", "x").await.expect_status(200).json();
    assert_eq!(made["Key"], "private/\u{fc}ber.txt", "in normal form C");
    assert_eq!(service.get("/storage/v1/object/private/\u{fc}ber.txt").await.expect_status(200).text(), "x");
    for name in WAYS_OUT {
        let moving = json!({ "bucketId": "private", "sourceKey": "\u{fc}ber.txt", "destinationKey": name });
        let answer = service.post("/storage/v1/object/move", moving).await;
        assert_eq!(refusal(&answer).2, "InvalidKey", "{name:?}");
    }
}
