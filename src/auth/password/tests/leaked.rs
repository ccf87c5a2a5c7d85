//! Tests of the look-up among leaked passwords.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tempfile::NamedTempFile;

use super::super::{
    LeakedCheck, LeakedError, LeakedFile, LeakedPasswords, PasswordPolicy, PasswordRefusal, RangeError,
    RangeSource, Reading,
};
use super::*;

fn sha1(text: &str) -> String {
    hex::encode_upper(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// A sorted list of these passwords with these counts, its lines ended as given.
fn list(passwords: impl Iterator<Item = (String, u32)>, line_end: &str) -> NamedTempFile {
    let mut lines: Vec<String> =
        passwords.map(|(password, count)| format!("{}:{count}", sha1(&password))).collect();
    lines.sort();
    written(&lines.join(line_end))
}

fn written(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

async fn contains(list: &NamedTempFile, password: &str) -> bool {
    let list = LeakedPasswords::File(LeakedFile::open(list.path()).unwrap());
    list.contain(&secret(password)).await.unwrap()
}

/// An endpoint that remembers what it was asked and answers the same to everything.
struct Endpoint {
    asked: Mutex<Vec<String>>,
    answer: Result<String, RangeError>,
}

impl RangeSource for Endpoint {
    fn range<'a>(&'a self, prefix: &'a str) -> Reading<'a> {
        self.asked.lock().unwrap().push(prefix.to_owned());
        Box::pin(std::future::ready(self.answer.clone()))
    }
}

fn endpoint(answer: Result<String, RangeError>) -> Arc<Endpoint> {
    Arc::new(Endpoint { asked: Mutex::default(), answer })
}

#[tokio::test]
async fn every_password_of_a_list_is_found_and_no_other() {
    for line_end in ["\n", "\r\n"] {
        for size in [1, 2, 90, 91, 92, 1000] {
            let name = |number: u32| format!("password {number}");
            let list = list((0..size).map(|number| (name(number), number * 7919 + 1)), line_end);
            for number in 0..size {
                assert!(contains(&list, &name(number)).await, "{number} of {size}");
                assert!(!contains(&list, &name(number + size)).await, "{number} is not one of {size}");
            }
        }
    }
}

#[tokio::test]
async fn lower_case_digests_and_lines_without_a_count_are_read() {
    let mut lines: Vec<String> =
        (0..300).map(|number| sha1(&format!("{number}")).to_ascii_lowercase()).collect();
    lines.sort();
    let list = written(&format!("{}\n", lines.join("\n")));

    assert!(contains(&list, "0").await && contains(&list, "299").await);
    assert!(!contains(&list, "300").await);
}

#[tokio::test]
async fn an_entry_with_a_count_of_zero_is_padding() {
    let list = list([("padding".to_owned(), 0), ("leaked".to_owned(), 10)].into_iter(), "\n");

    assert!(contains(&list, "leaked").await);
    assert!(!contains(&list, "padding").await);
}

#[tokio::test]
async fn a_file_that_is_no_list_is_refused() {
    let endless_line = format!("{}:1\n{}", sha1("a"), "F".repeat(10_000));
    let binary = written(&endless_line);
    let list = LeakedPasswords::File(LeakedFile::open(binary.path()).unwrap());

    assert!(matches!(LeakedFile::open(written("").path()), Err(LeakedError::Malformed)));
    assert!(matches!(LeakedFile::open(written("password123\n").path()), Err(LeakedError::Malformed)));
    assert!(matches!(list.contain(&secret("password")).await, Err(LeakedError::Malformed)));
}

#[tokio::test]
async fn an_endpoint_learns_five_digits_only() {
    let rest = |password: &str| sha1(password)[5..].to_owned();
    let answer = format!("{}:0\r\n{}:37\r\n", rest("padding"), rest("password"));
    let endpoint = endpoint(Ok(answer));
    let leaked = LeakedPasswords::Endpoint(endpoint.clone());

    assert!(leaked.contain(&secret("password")).await.unwrap());
    assert!(!leaked.contain(&secret("padding")).await.unwrap());
    assert!(!leaked.contain(&secret("another")).await.unwrap());
    assert_eq!(
        *endpoint.asked.lock().unwrap(),
        [&sha1("password")[..5], &sha1("padding")[..5], &sha1("another")[..5]]
    );
}

#[tokio::test]
async fn a_look_up_that_fails_lets_pass_unless_configured_otherwise() {
    let silent = || LeakedPasswords::Endpoint(endpoint(Err(RangeError("no route".to_owned()))));
    let open = PasswordPolicy::new(&cheap(), silent());
    let closed = PasswordPolicy::new(&PasswordConfig { leaked_fail_closed: true, ..cheap() }, silent());

    assert_eq!(open.check(&secret("password")).await, Ok(()));
    assert_eq!(closed.check(&secret("password")).await, Err(PasswordRefusal::Unchecked));
}

#[tokio::test]
async fn b22_a_leaked_password_cannot_be_chosen() {
    let list = list([("password1".to_owned(), 10)].into_iter(), "\n");
    let check = LeakedCheck::File(list.path().to_owned());
    let leaked = LeakedPasswords::open(&check, |_| unreachable!("a file needs no endpoint")).unwrap();
    let policy = PasswordPolicy::new(&cheap(), leaked);

    let refused = policy.check(&secret("password1")).await.unwrap_err();

    assert_eq!(
        refused.to_string(),
        "Password is known to be weak and easy to guess, please choose a different one."
    );
    assert_eq!(policy.check(&secret("password2")).await, Ok(()));
}
