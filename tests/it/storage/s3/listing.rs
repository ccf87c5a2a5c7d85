//! Lists by the S3 protocol.

use super::{elements, refusal, start};

/// Keys and prefixes of all pages, walked by this name of the next one.
async fn walk(
    s3: &super::Signer,
    query: &str,
    (next, parameter): (&str, &str),
) -> (Vec<String>, Vec<String>) {
    let (mut keys, mut prefixes) = (Vec::new(), Vec::new());
    let mut more = String::new();
    loop {
        let page = s3.get(&format!("/private?{query}{more}")).await.expect_status(200);
        keys.extend(elements(&page, "Key"));
        let common = elements(&page, "CommonPrefixes").concat();
        prefixes.extend(common.split("<Prefix>").skip(1).map(|text| text.replace("</Prefix>", "")));
        if elements(&page, "IsTruncated") == ["false"] {
            return (keys, prefixes);
        }
        let token = elements(&page, next).concat();
        let encoded: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
        more = format!("&{parameter}={encoded}");
    }
}

#[tokio::test]
async fn keys_come_in_pages_in_the_order_of_bytes() {
    let (_app, s3) = start().await;
    for name in ["b", "a/1", "a/2", "a/b/3", "Z", "c%20d", "a0"] {
        s3.put(&format!("/private/{name}"), name).await.expect_status(200);
    }
    let all = ["Z", "a/1", "a/2", "a/b/3", "a0", "b", "c d"];
    let one = ("NextMarker", "marker");
    let two = ("NextContinuationToken", "continuation-token");
    for size in [1, 2, 3, 1000] {
        assert_eq!(walk(&s3, &format!("max-keys={size}"), one).await.0, all, "{size}");
        assert_eq!(walk(&s3, &format!("list-type=2&max-keys={size}"), two).await.0, all, "{size}");
        let query = format!("list-type=2&delimiter=%2F&max-keys={size}");
        let (keys, prefixes) = walk(&s3, &query, two).await;
        assert_eq!((keys, prefixes), (["Z", "a0", "b", "c d"].map(String::from).to_vec(), vec!["a/".into()]));
        let (keys, prefixes) = walk(&s3, &format!("delimiter=%2F&prefix=a%2F&max-keys={size}"), one).await;
        assert_eq!((keys, prefixes), (["a/1", "a/2"].map(String::from).to_vec(), vec!["a/b/".into()]));
    }
    let behind = s3.get("/private?list-type=2&start-after=a0").await.expect_status(200);
    assert_eq!(
        (elements(&behind, "Key"), elements(&behind, "KeyCount")),
        (vec!["b".into(), "c d".into()], vec!["2".into()])
    );
    let encoded = s3.get("/private?list-type=2&encoding-type=url&prefix=c").await.expect_status(200);
    assert_eq!(elements(&encoded, "Key"), ["c%20d"]);
    assert_eq!(elements(&encoded, "Size"), ["5"]);
    let none = s3.get("/private?list-type=2&max-keys=0").await.expect_status(200);
    assert_eq!((elements(&none, "Key").len(), elements(&none, "IsTruncated")), (0, vec!["false".into()]));
    let wrong = s3.get("/private?list-type=2&continuation-token=x").await;
    assert_eq!(refusal(&wrong), (400, "InvalidParameter".into()));
}

#[tokio::test]
async fn uploads_under_way_are_listed_behind_markers() {
    let (_app, s3) = start().await;
    for name in ["b", "a/1", "a/2", "c"] {
        s3.post(&format!("/private/{name}?uploads"), "").await.expect_status(200);
    }
    let page = s3.get("/private?uploads&max-uploads=2").await.expect_status(200);
    assert_eq!(
        (elements(&page, "Key"), elements(&page, "IsTruncated")),
        (vec!["a/1".into(), "a/2".into()], vec!["true".into()])
    );
    let (key, id) =
        (elements(&page, "NextKeyMarker").concat(), elements(&page, "NextUploadIdMarker").concat());
    let key = key.replace('/', "%2F");
    let rest = s3.get(&format!("/private?uploads&key-marker={key}&upload-id-marker={id}")).await;
    assert_eq!(elements(&rest.expect_status(200), "Key"), ["b", "c"]);
    let folded = s3.get("/private?uploads&delimiter=%2F").await.expect_status(200);
    assert_eq!(elements(&folded, "Key"), ["b", "c"]);
    assert!(folded.text().contains("<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>"));
}
