//! Documents that are read and documents that are written.

use chrono::DateTime;
use proptest::prelude::*;

use super::writer::Writer;
use super::*;
use crate::storage::s3::{ListObjects, Page, S3Error};

#[test]
fn the_parts_of_an_upload_are_read() {
    let xml = br#"<?xml version="1.0" encoding="UTF-8"?>
        <CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
          <Part><ETag>&quot;a1&quot;</ETag><PartNumber>1</PartNumber><ChecksumCRC32>y/Q5Jg==</ChecksumCRC32></Part>
          <Part><PartNumber>3</PartNumber><ETag>"b2"</ETag><Unknown><Deep/></Unknown></Part>
        </CompleteMultipartUpload>"#;
    let parts = parse_complete(xml).unwrap();
    let read: Vec<_> =
        parts.iter().map(|part| (part.number, part.etag.as_str(), part.checksums.len())).collect();
    assert_eq!(read, [(1, "a1", 1), (3, "b2", 0)]);
}

#[test]
fn parts_out_of_order_or_bounds_are_refused() {
    let upload = |numbers: &[&str]| {
        let part = |number: &&str| format!("<Part><PartNumber>{number}</PartNumber><ETag>e</ETag></Part>");
        let parts: String = numbers.iter().map(part).collect();
        parse_complete(format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>").as_bytes())
    };
    assert!(upload(&["1", "2", "10000"]).is_ok());
    for wrong in [&["2", "1"][..], &["1", "1"], &["0"], &["10001"], &["-1"], &["x"], &[]] {
        assert!(upload(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn keys_to_delete_are_read_as_they_are() {
    let xml = "<Delete><Quiet>true</Quiet><Object><Key>a &amp; b/&#252;&#x26; </Key></Object><Object><Key><![CDATA[<x>]]></Key><VersionId>null</VersionId></Object></Delete>";
    let read = parse_delete(xml.as_bytes()).unwrap();
    assert_eq!(read, DeleteRequest { keys: vec!["a & b/ü& ".into(), "<x>".into()], quiet: true });
    let many = |count: usize| format!("<Delete>{}</Delete>", "<Object><Key>k</Key></Object>".repeat(count));
    assert!(parse_delete(many(1000).as_bytes()).is_ok());
    assert_eq!(parse_delete(many(1001).as_bytes()), Err(S3Error::MalformedXml));
}

#[test]
fn what_is_no_document_of_the_operation_is_malformed() {
    let entity = r#"<!DOCTYPE d [<!ENTITY a "aaaa">]><Delete><Object><Key>&a;</Key></Object></Delete>"#;
    let external =
        r#"<!DOCTYPE d SYSTEM "file:///etc/passwd"><Delete><Object><Key>k</Key></Object></Delete>"#;
    let unknown = "<Delete><Object><Key>&a;</Key></Object></Delete>";
    let wrong = [
        entity,
        external,
        unknown,
        "",
        "<Delete>",
        "<Delete/>",
        "<Remove><Object><Key>k</Key></Object></Remove>",
        "<Delete><Object><Key></Key></Object></Delete>",
        "<Delete><Object/></Delete>",
        "<Delete><Object><Key>k</Object></Key></Delete>",
        "{}",
    ];
    for xml in wrong {
        assert_eq!(parse_delete(xml.as_bytes()), Err(S3Error::MalformedXml), "{xml}");
    }
    assert_eq!(parse_delete(b"<Delete>\xff</Delete>"), Err(S3Error::MalformedXml));
    assert_eq!(parse_delete(&vec![b' '; MAX_BODY + 1]), Err(S3Error::EntityTooLarge));
    let deep = format!("<Delete><Object><Key>k</Key>{}", "<a>".repeat(100_000));
    assert_eq!(parse_delete(deep.as_bytes()), Err(S3Error::MalformedXml));
}

#[test]
fn a_new_bucket_may_name_a_region() {
    let xml = |region: &str| {
        format!(
            "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
        )
    };
    assert_eq!(parse_create(xml("eu-1").as_bytes()), Ok(Some("eu-1".into())));
    for none in [xml("").as_str(), "", " \n", "<CreateBucketConfiguration/>"] {
        assert_eq!(parse_create(none.as_bytes()), Ok(None), "{none}");
    }
}

#[test]
fn an_error_says_where_and_why() {
    let xml = S3Error::InvalidRequest("a < b".into()).xml("/storage/v1/s3/b/k");
    assert_eq!(
        xml,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Resource>/storage/v1/s3/b/k</Resource>\
         <Code>InvalidRequest</Code><Message>a &lt; b</Message></Error>"
    );
}

fn objects(page: Page) -> String {
    let asked =
        ListObjects { prefix: "a ".into(), delimiter: Some("/".into()), after: None, page, owners: false };
    let object = ListedObject {
        key: "a b/ü".into(),
        modified: DateTime::from_timestamp_millis(1_369_353_600_005).unwrap(),
        etag: "e".into(),
        size: 7,
        owner: None,
    };
    ObjectListV2 {
        bucket: "photos",
        asked: &asked,
        continuation: None,
        objects: vec![object],
        prefixes: vec!["a c/".into()],
        next: Some("t=".into()),
    }
    .xml()
}

#[test]
fn a_page_of_objects() {
    let xml = objects(Page { limit: 2, encoded: false });
    let expected = "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>photos</Name>\
        <Prefix>a </Prefix><NextContinuationToken>t=</NextContinuationToken><KeyCount>2</KeyCount>\
        <MaxKeys>2</MaxKeys><Delimiter>/</Delimiter><IsTruncated>true</IsTruncated><Contents><Key>a b/ü</Key>\
        <LastModified>2013-05-24T00:00:00.005Z</LastModified><ETag>&quot;e&quot;</ETag><Size>7</Size>\
        <StorageClass>STANDARD</StorageClass></Contents><CommonPrefixes><Prefix>a c/</Prefix></CommonPrefixes>\
        </ListBucketResult>";
    assert!(xml.ends_with(expected), "{xml}");
}

#[test]
fn an_encoded_page_keeps_its_slashes() {
    let xml = objects(Page { limit: 2, encoded: true });
    for part in [
        "<Key>a%20b/%C3%BC</Key>",
        "<Prefix>a%20</Prefix>",
        "<Prefix>a%20c/</Prefix>",
        "<EncodingType>url</EncodingType>",
    ] {
        assert!(xml.contains(part), "{part}: {xml}");
    }
}

#[test]
fn small_answers() {
    let table = [
        (
            BucketVersioning.xml(),
            "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"></VersioningConfiguration>",
        ),
        (EmptyTagging.xml(), "<TagSet></TagSet></Tagging>"),
        (BucketLocation { region: "us-east-1".into() }.xml(), "2006-03-01/\"></LocationConstraint>"),
        (BucketLocation { region: "eu-1".into() }.xml(), ">eu-1</LocationConstraint>"),
        (
            Deletion { deleted: vec!["a&b".into()], failed: Vec::new() }.xml(),
            "<Deleted><Key>a&amp;b</Key></Deleted></DeleteResult>",
        ),
    ];
    for (xml, end) in table {
        assert!(xml.ends_with(end), "{xml}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(text in any::<String>()) {
        let xml = Writer::document("Delete", None, |xml| xml.element("Object", |xml| {
            // White space alone is no text to a reader.
            xml.text("Key", &format!("k{text}k"));
        }));
        let replaced = |c: char| if matches!(c, '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}') { '\u{fffd}' } else { c };
        let expected: String = format!("k{text}k").chars().map(replaced).collect();
        prop_assert_eq!(parse_delete(xml.as_bytes()).unwrap().keys, vec![expected]);
    }

    #[test]
    fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "(<[/!?]?(Delete|Object|Key|Part|ETag|CompleteMultipartUpload|CDATA)[ =\"/]{0,2}>?|[&;#a-z\\]\\[]{0,5}){0,30}") {
        for body in [&bytes[..], text.as_bytes()] {
            let _ = (parse_delete(body), parse_complete(body), parse_create(body));
        }
    }
}
