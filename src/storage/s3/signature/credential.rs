//! What a signature is scoped to: access key, day, region and service; and the moment it was made.

use chrono::{DateTime, NaiveDateTime};

use super::super::error::S3Error;

/// `<access key id>/<yyyymmdd>/<region>/s3/aws4_request`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Whose key.
    pub access_key_id: String,
    /// The day of the signing key, `yyyymmdd`.
    pub date: String,
    /// The region, may be empty.
    pub region: String,
}

impl Credential {
    /// Reads the text of the header, query or form. The access key id may have slashes in it, the rest cannot.
    pub fn parse(text: &str) -> Result<Self, S3Error> {
        let mut parts = text.rsplitn(5, '/');
        let (end, service, region, date, id) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
        match (id, date, region, service, end) {
            (Some(id), Some(date), Some(region), Some("s3"), Some("aws4_request"))
                if !id.is_empty() && date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit()) =>
            {
                Ok(Self { access_key_id: id.into(), date: date.into(), region: region.into() })
            }
            _ => Err(S3Error::invalid("The credential is not <key>/<date>/<region>/s3/aws4_request")),
        }
    }

    /// The scope as it is signed: without the key.
    pub fn scope(&self) -> String {
        format!("{}/{}/s3/aws4_request", self.date, self.region)
    }
}

/// A moment as signatures write it, `20130524T000000Z`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmzDate {
    text: String,
    unix: i64,
}

impl AmzDate {
    /// Reads `x-amz-date`.
    pub fn parse(text: &str) -> Result<Self, S3Error> {
        let wrong = || S3Error::invalid("The date is not of the form 20130524T000000Z");
        if text.len() != 16 || !text.is_ascii() {
            return Err(wrong());
        }
        let moment = NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ").map_err(|_| wrong())?;
        Ok(Self { text: text.into(), unix: moment.and_utc().timestamp() })
    }

    /// Reads a `Date` header, which counts where `x-amz-date` is missing.
    pub fn parse_http(text: &str) -> Result<Self, S3Error> {
        let moment =
            DateTime::parse_from_rfc2822(text).map_err(|_| S3Error::invalid("The Date header is no date"))?;
        let text = moment.naive_utc().format("%Y%m%dT%H%M%SZ").to_string();
        Self::parse(&text)
    }

    /// As signed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The day, `yyyymmdd`.
    pub fn day(&self) -> &str {
        self.text.get(..8).unwrap_or_default()
    }

    /// Unix seconds.
    pub fn unix(&self) -> i64 {
        self.unix
    }
}

/// Which regions a client may sign for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regions {
    /// The configured one.
    pub configured: String,
    /// Only that one. Otherwise `us-east-1`, `auto` and none are taken too: what clients send that were not told.
    pub strict: bool,
}

impl Regions {
    /// Whether signatures for the region are taken.
    pub fn take(&self, region: &str) -> bool {
        region == self.configured || (!self.strict && matches!(region, "us-east-1" | "auto" | ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_read_from_its_end() {
        let read = Credential::parse("a/b/20130524/us-east-1/s3/aws4_request").unwrap();
        assert_eq!((read.access_key_id.as_str(), read.region.as_str()), ("a/b", "us-east-1"));
        assert_eq!(Credential::parse("k/20130524//s3/aws4_request").unwrap().region, "");
        for wrong in [
            "",
            "k",
            "/20130524/r/s3/aws4_request",
            "k/2013/r/s3/aws4_request",
            "k/20130524/r/sts/aws4_request",
            "k/20130524/r/s3/aws5",
        ] {
            assert!(Credential::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn dates_of_both_headers_are_the_same_moment() {
        let amz = AmzDate::parse("20130524T000000Z").unwrap();
        assert_eq!((amz.unix(), amz.day()), (1_369_353_600, "20130524"));
        assert_eq!(AmzDate::parse_http("Fri, 24 May 2013 00:00:00 GMT").unwrap(), amz);
        for wrong in ["", "20130524", "20131324T000000Z", "2013052éT00000Z", "20130524T000000+"] {
            assert!(AmzDate::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn regions_are_lenient_unless_told_otherwise() {
        let mut regions = Regions { configured: "eu-1".into(), strict: false };
        for region in ["eu-1", "us-east-1", "auto", ""] {
            assert!(regions.take(region));
        }
        assert!(!regions.take("eu-2"));
        regions.strict = true;
        assert!(regions.take("eu-1") && !regions.take("auto"));
    }
}
