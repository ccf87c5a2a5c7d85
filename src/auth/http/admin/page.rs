//! Pages of lists: what the query asks for, and the header that leads to the others. Pure.

use http::HeaderValue;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::auth::error::AuthError;

/// Rows of a page unless asked otherwise.
const BY_DEFAULT: u32 = 50;
/// The most rows of a page.
const MOST: u32 = 1000;
/// The last page that can be asked for.
const LAST: u32 = 1_000_000;

/// A page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    number: u32,
    size: u32,
}

impl Page {
    /// As the query has it; what it leaves out has a default, and more rows than a page may have are cut.
    pub(super) fn of(page: Option<&str>, per_page: Option<&str>) -> Result<Self, AuthError> {
        let number = count("page", page)?.unwrap_or(1);
        if number > LAST {
            return Err(AuthError::Invalid(format!("page must not be over {LAST}")));
        }
        Ok(Self { number, size: count("per_page", per_page)?.unwrap_or(BY_DEFAULT).min(MOST) })
    }

    /// The rows of the page.
    pub(super) fn limit(self) -> i64 {
        self.size.into()
    }

    /// The rows before it.
    pub(super) fn offset(self) -> i64 {
        i64::from(self.number - 1) * i64::from(self.size)
    }

    /// The header `Link`: to the next page, if there is one, and to the last. Clients take the number from what comes first
    /// in the query. `kept` are the other parameters of the list.
    pub(super) fn links(self, target: &Url, total: i64, kept: &[(&str, &str)]) -> Option<HeaderValue> {
        let last = u32::try_from(total).unwrap_or(u32::MAX).div_ceil(self.size).max(1);
        let link = |number: u32, relation: &str| {
            let mut query = Serializer::new(String::new());
            query.append_pair("page", &number.to_string()).append_pair("per_page", &self.size.to_string());
            query.extend_pairs(kept);
            format!("<{target}?{}>; rel=\"{relation}\"", query.finish())
        };
        let next = (self.number < last).then(|| link(self.number + 1, "next"));
        let links: Vec<String> = next.into_iter().chain([link(last, "last")]).collect();
        HeaderValue::try_from(links.join(", ")).ok()
    }
}

/// The rows of a step of a walk (parameter `limit`).
pub(super) fn step(limit: Option<&str>) -> Result<i64, AuthError> {
    Ok(count("limit", limit)?.unwrap_or(BY_DEFAULT).min(MOST).into())
}

/// A number over zero.
fn count(name: &str, text: Option<&str>) -> Result<Option<u32>, AuthError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.parse() {
        Ok(number) if number > 0 => Ok(Some(number)),
        _ => Err(AuthError::Invalid(format!("{name} must be a number over 0"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(page: &str, total: i64, kept: &[(&str, &str)]) -> String {
        let list = Url::parse("https://api.example.com/auth/v1/admin/users").unwrap();
        let page = Page::of(Some(page), Some("10")).unwrap();
        page.links(&list, total, kept).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn the_links_lead_to_the_next_page_and_to_the_last() {
        let list = "https://api.example.com/auth/v1/admin/users";
        assert_eq!(
            links("2", 31, &[]),
            format!("<{list}?page=3&per_page=10>; rel=\"next\", <{list}?page=4&per_page=10>; rel=\"last\"")
        );
        assert_eq!(links("4", 31, &[]), format!("<{list}?page=4&per_page=10>; rel=\"last\""));
        assert_eq!(links("1", 0, &[]), format!("<{list}?page=1&per_page=10>; rel=\"last\""));
        assert_eq!(
            links("1", 5, &[("filter", "a&b>,\"")]),
            format!("<{list}?page=1&per_page=10&filter=a%26b%3E%2C%22>; rel=\"last\"")
        );
    }

    #[test]
    fn pages_have_bounds() {
        let page = Page::of(None, Some("5000")).unwrap();
        assert_eq!((page.limit(), page.offset()), (1000, 0));
        let page = Page::of(Some("3"), None).unwrap();
        assert_eq!((page.limit(), page.offset()), (50, 100));
        for wrong in ["0", "-1", "x", "99999999999", "1000001"] {
            assert!(Page::of(Some(wrong), None).is_err(), "{wrong}");
        }
    }
}
