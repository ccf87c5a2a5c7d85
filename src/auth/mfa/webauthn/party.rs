//! The relying party: the domain that credentials are bound to, and the pages that may use them (section 4). Pure.

use url::Url;

/// The relying party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    id: String,
    name: String,
    origins: Vec<String>,
}

/// What is wrong with the configuration of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelyingPartyError {
    /// The id is no domain.
    #[error("`{0}` is no domain: it has neither scheme nor port nor path, as in `example.com`")]
    Id(String),
    /// Browsers refuse the id on pages of this origin.
    #[error("`{0}` is no origin of that domain or one below it, as in `https://app.example.com`")]
    Origin(String),
}

impl RelyingParty {
    /// A domain with its origins, and its name for people. Origins that are no addresses, such as those of Android
    /// applications (`android:apk-key-hash:...`), are taken as they are.
    pub fn new(id: &str, name: &str, origins: &[String]) -> Result<Self, RelyingPartyError> {
        let host = Url::parse(&format!("https://{id}/")).ok();
        let host = host.and_then(|url| url.host_str().map(str::to_owned));
        let id = host.filter(|host| host == id).ok_or_else(|| RelyingPartyError::Id(id.to_owned()))?;
        let origins = origins.iter().map(|origin| {
            let wrong = || RelyingPartyError::Origin(origin.clone());
            let url = Url::parse(origin).map_err(|_| wrong())?;
            let Some(host) = url.host_str() else { return Ok(origin.clone()) };
            let is_below =
                host.strip_suffix(id.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            if is_below { Ok(url.origin().ascii_serialization()) } else { Err(wrong()) }
        });
        Ok(Self { origins: origins.collect::<Result<_, _>>()?, name: name.to_owned(), id })
    }

    /// The domain.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether an answer may come from pages of this origin.
    pub(super) fn has_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|own| own == origin)
    }
}
