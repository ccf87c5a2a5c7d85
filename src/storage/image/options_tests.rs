//! Rules of the options, as tables and properties.

use proptest::prelude::*;
use serde_json::json;

use super::super::negotiate::Format;
use super::*;

fn parse(query: &str) -> Result<TransformOptions, OptionError> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    TransformOptions::from_pairs(pairs, &TransformLimits::default())
}

fn options(query: &str) -> TransformOptions {
    parse(query).unwrap()
}

#[test]
fn a_query_is_read_and_what_is_unknown_is_ignored() {
    let read = options("width=300&height=0&resize=contain&quality=20&format=origin&token=x&download=");
    assert_eq!(read.width, Some(300));
    assert_eq!(read.height, None, "0 is the same as none");
    assert_eq!(read.resize, Resize::Contain);
    assert_eq!(read.quality, Some(20));
    assert_eq!(read.format, Some(RequestedFormat::Origin));
    assert_eq!(options(""), TransformOptions::default());
    assert_eq!(options("width="), TransformOptions::default());
}

#[test]
fn sizes_above_the_limit_are_taken_as_the_limit() {
    assert_eq!(options("width=2001&height=99999999999999999999").width, Some(2000));
    assert_eq!(options("height=99999999999999999999").height, Some(2000));
}

#[test]
fn a_refused_parameter_is_named() {
    let cases = [
        ("width=-1", "width must be a whole number, 0 or more"),
        ("width=1.5", "width must be a whole number, 0 or more"),
        ("height=+5", "height must be a whole number, 0 or more"),
        ("height=1e3", "height must be a whole number, 0 or more"),
        ("resize=crop", "resize must be cover, contain or fill"),
        ("quality=19", "quality must be a whole number from 20 to 100"),
        ("quality=101", "quality must be a whole number from 20 to 100"),
        ("format=gif", "format must be origin, avif, webp, jpeg or png"),
        ("gravity=middle", "gravity must be no, so, ea, we, noea, nowe, soea, sowe, ce, sm or fp"),
        ("x_offset=nan", "x_offset must be a number"),
        ("y_offset=left", "y_offset must be a number"),
        ("gravity=fp&x_offset=0.5", "y_offset must be a number from 0 to 1 with the gravity fp"),
        ("gravity=fp&x_offset=2&y_offset=0.5", "x_offset must be a number from 0 to 1 with the gravity fp"),
    ];
    for (query, message) in cases {
        assert_eq!(parse(query).unwrap_err().to_string(), message, "{query}");
    }
}

#[test]
fn json_is_read_as_a_query_is() {
    let json = json!({
        "width": 100, "height": "200", "resize": "fill", "quality": null,
        "gravity": "fp", "x_offset": 0.25, "y_offset": 1, "unknown": [1],
    });
    let read = TransformOptions::from_json(json.as_object().unwrap(), &TransformLimits::default());
    let same = options("width=100&height=200&resize=fill&gravity=fp&x_offset=0.25&y_offset=1");
    assert_eq!(read, Ok(same));

    for wrong in [json!({"width": true}), json!({"width": 1.5}), json!({"width": -1}), json!({"width": {}})] {
        let refused = TransformOptions::from_json(wrong.as_object().unwrap(), &TransformLimits::default());
        assert_eq!(refused.unwrap_err().parameter, "width", "{wrong}");
    }
}

#[test]
fn claim_and_header_are_written_in_the_order_of_the_contract() {
    let cases = [
        ("", "", ""),
        ("resize=fill", "", ""),
        (
            "width=200&height=100&resize=cover",
            "height:100,width:200,resize:cover",
            "height:100,width:200,resizing_type:fill",
        ),
        (
            "width=5&resize=contain&quality=60&format=webp",
            "width:5,resize:contain,quality:60,format:webp",
            "width:5,resizing_type:fit,quality:60,format:webp",
        ),
        ("height=5&resize=fill&format=origin", "height:5,resize:fill", "height:5,resizing_type:force"),
        ("gravity=noea", "gravity:noea", "gravity:noea"),
        (
            "gravity=fp&x_offset=0.5&y_offset=0.25",
            "gravity:fp,x_offset:0.5,y_offset:0.25",
            "gravity:fp:0.5:0.25",
        ),
        ("y_offset=-7", "gravity:ce,x_offset:0,y_offset:-7", "gravity:ce:0:-7"),
    ];
    for (query, claim, header) in cases {
        let read = options(query);
        assert_eq!(read.claim(), claim, "{query}");
        assert_eq!(read.header(), header, "{query}");
    }
}

#[test]
fn a_claim_cannot_widen_limits_that_became_narrower() {
    let narrow = TransformLimits { max_side: 50, ..TransformLimits::default() };
    let read = TransformOptions::from_claim("height:100,width:20,resize:cover", None, &narrow).unwrap();
    assert_eq!((read.width, read.height), (Some(20), Some(50)));
}

#[test]
fn options_without_effect_share_a_cached_result() {
    let key = |query: &str| options(query).cache_key(Target::Portable, "v1");
    assert_eq!(key("width=10").len(), 32);
    assert_eq!(key("width=10"), key("width=10&quality=80"));
    assert_eq!(key("width=10"), key("width=10&gravity=no"), "nothing is cropped");
    assert_eq!(key("width=10&height=10"), key("width=10&height=10&gravity=ce"));
    assert_eq!(key("width=10"), key("width=10&format=origin"), "the target stands for the format");
    assert_ne!(key("width=10&height=10"), key("width=10&height=10&gravity=no"));
    assert_ne!(key("width=10"), key("height=10"));
    assert_ne!(key("width=10"), key("width=10&quality=81"));
}

#[test]
fn versions_and_targets_never_share_a_cached_result() {
    let wish = options("width=10");
    let keys = [
        wish.cache_key(Target::Portable, "v1"),
        wish.cache_key(Target::Portable, "v2"),
        wish.cache_key(Target::Origin, "v1"),
        wish.cache_key(Target::Exactly(Format::Webp), "v1"),
    ];
    let distinct: std::collections::HashSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len());
}

fn any_options() -> impl Strategy<Value = TransformOptions> {
    let side = || prop::option::of(1..=2000_u32);
    let offset =
        || (-99_999_i32..99_999).prop_map(|n| Offset::parse(&(f64::from(n) / 10.0).to_string()).unwrap());
    let gravity =
        (prop::sample::select(Anchor::ALL.to_vec()), offset(), offset(), 0..=1000_i32, 0..=1000_i32)
            .prop_map(|(anchor, x, y, share_x, share_y)| {
                let share = |n| Offset::parse(&(f64::from(n) / 1000.0).to_string()).unwrap();
                let (x, y) =
                    if anchor == Anchor::FocusPoint { (share(share_x), share(share_y)) } else { (x, y) };
                Gravity { anchor, x, y }
            });
    let format = prop::option::of(prop::sample::select(RequestedFormat::ALL.to_vec()));
    let resize = prop::sample::select(Resize::ALL.to_vec());
    (side(), side(), resize, prop::option::of(20..=100_u8), format, prop::option::of(gravity)).prop_map(
        |(width, height, resize, quality, format, gravity)| {
            // The way of resizing is written only where it has an effect.
            let resize = if width.is_some() || height.is_some() { resize } else { Resize::Cover };
            TransformOptions { width, height, resize, quality, format, gravity }
        },
    )
}

proptest! {
    #[test]
    fn a_claim_reads_back_as_the_same_options(written in any_options()) {
        let format = written.format.map(RequestedFormat::name);
        let read = TransformOptions::from_claim(&written.claim(), format, &TransformLimits::default());
        prop_assert_eq!(read, Ok(written));
    }

    #[test]
    fn no_query_is_too_strange(name in "width|height|resize|quality|format|gravity|x_offset|y_offset", value: String) {
        if let Ok(read) = TransformOptions::from_pairs([(name.as_str(), value.as_str())], &TransformLimits::default()) {
            prop_assert!(read.header().is_ascii());
        }
    }
}
