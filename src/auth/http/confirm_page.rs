//! The page that a link leads to first where `auth.email.confirm_page` is on (threat B19): programs that look at the links of
//! mails follow them, but press no button. Without a script and without anything from elsewhere.

use axum::response::{Html, IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use http::{HeaderName, HeaderValue};
use url::form_urlencoded::Serializer;

/// What the page may do: have styles, and send its form, which leads on to the application.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 3] =
    [(CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "no-store"), (REFERRER_POLICY, "no-referrer")];

/// The page, with a button that does what the link says. `fields` are those of the link.
pub(super) fn page(fields: &[(&str, &str)]) -> Response {
    // Encoded, so that of what stands in HTML only the ampersand needs another spelling.
    let query = Serializer::new(String::new()).extend_pairs(fields).finish().replace('&', "&amp;");
    let page = include_str!("confirm_page.html").replace("{query}", &query);
    let mut response = Html(page).into_response();
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn what_a_link_holds_cannot_leave_its_place_in_the_page() {
        let hostile = "\"><script>alert(1)</script>&x='";

        let response = page(&[("token", hostile), ("type", "signup")]);

        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = std::str::from_utf8(&body).unwrap();
        assert!(!text.contains("<script>") && !text.contains("alert(1)"), "{text}");
        assert!(
            text.contains("verify/confirm?token=%22%3E%3Cscript%3E") && text.contains("&amp;type=signup"),
            "{text}"
        );
    }
}
