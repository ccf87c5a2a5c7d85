//! The links in mails that confirm something. Pure.

use url::Url;

use crate::kernel::secret::Secret;

/// `<external>/verify?token=..&type=..&redirect_to=..` (contract section 5, "Token maths").
///
/// The only source of the address is `external`, the configured address of auth (such as `https://api.example.com/auth/v1`):
/// a request's `Host` and `X-Forwarded-Host` have no way in (threat B17). `link_type` is that of
/// [`Template::link_type`](super::Template::link_type); `redirect_to` has passed the allow-list.
///
/// A secret, because whoever holds the link is logged in.
pub fn confirmation_url(external: &Url, token: &Secret, link_type: &str, redirect_to: &str) -> Secret {
    let mut link = external.clone();
    if let Ok(mut path) = link.path_segments_mut() {
        path.pop_if_empty().push("verify");
    }
    link.set_fragment(None);
    link.query_pairs_mut()
        .clear()
        .append_pair("token", token.expose())
        .append_pair("type", link_type)
        .append_pair("redirect_to", redirect_to);
    Secret::new(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(external: &str, token: &str, redirect_to: &str) -> String {
        let external = external.parse().unwrap();
        confirmation_url(&external, &Secret::new(token), "signup", redirect_to).expose().to_owned()
    }

    #[test]
    fn b17_the_link_leads_to_the_configured_address() {
        for external in ["https://api.example.com/auth/v1", "https://api.example.com/auth/v1/?a=b#c"] {
            assert_eq!(
                link(external, "pkce_ab12", "https://app.example.com/"),
                "https://api.example.com/auth/v1/verify?token=pkce_ab12&type=signup&redirect_to=https%3A%2F%2Fapp.example.com%2F"
            );
        }
        assert!(link("http://localhost:8000", "a", "").starts_with("http://localhost:8000/verify?token=a&"));
    }

    #[test]
    fn what_is_put_in_stays_in_its_place() {
        let given = "https://app.example.com/?a=1&type=recovery#token=\"><script>\r\n";
        let link: Url = link("https://api.example.com/auth/v1", "a&type=x#", given).parse().unwrap();

        let pairs: Vec<(String, String)> = link.query_pairs().into_owned().collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs, [pair("token", "a&type=x#"), pair("type", "signup"), pair("redirect_to", given)]);
        assert_eq!(link.fragment(), None);
    }
}
