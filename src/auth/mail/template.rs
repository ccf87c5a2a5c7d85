//! Which mails there are, and the templates that are shipped. Pure.
//!
//! The names are those of Supabase's configuration, so that templates move over by name.

use std::fmt;
use std::str::FromStr;

/// A kind of mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Template {
    /// Confirms the address of a new account.
    Confirmation,
    /// Invites somebody to create an account.
    Invite,
    /// Signs in without a password.
    MagicLink,
    /// Leads to a new password.
    Recovery,
    /// Confirms a change of address; goes to the new one, and in secure mode to the old one too.
    EmailChange,
    /// Carries the code that a sensitive change asks for.
    Reauthentication,
    /// Once per account.
    Welcome,
    /// Tells of a changed password.
    PasswordChanged,
    /// Tells the former address of a changed address.
    EmailChanged,
    /// Tells of a changed telephone number.
    PhoneChanged,
    /// Tells of a new way to log in.
    IdentityLinked,
    /// Tells of a way to log in that is gone.
    IdentityUnlinked,
    /// Tells of a new second factor.
    FactorEnrolled,
    /// Tells of a second factor that is gone.
    FactorUnenrolled,
}

/// A part of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The subject line.
    Subject,
    /// The HTML body.
    Html,
    /// The plain text body.
    Text,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 3] = [Self::Subject, Self::Html, Self::Text];

    /// What follows a template's name and a dot in the template engine.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Html => "html",
            Self::Text => "txt",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subject => "subject",
            Self::Html => "HTML",
            Self::Text => "text",
        })
    }
}

/// A name that is none of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no mail template of this name")]
pub struct UnknownTemplate;

impl FromStr for Template {
    type Err = UnknownTemplate;

    fn from_str(name: &str) -> Result<Self, UnknownTemplate> {
        Self::ALL.into_iter().find(|template| template.name() == name).ok_or(UnknownTemplate)
    }
}

impl Template {
    /// All kinds of mail.
    pub const ALL: [Self; 14] = [
        Self::Confirmation,
        Self::Invite,
        Self::MagicLink,
        Self::Recovery,
        Self::EmailChange,
        Self::Reauthentication,
        Self::Welcome,
        Self::PasswordChanged,
        Self::EmailChanged,
        Self::PhoneChanged,
        Self::IdentityLinked,
        Self::IdentityUnlinked,
        Self::FactorEnrolled,
        Self::FactorUnenrolled,
    ];

    /// Its name in the store and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirmation => "confirmation",
            Self::Invite => "invite",
            Self::MagicLink => "magic_link",
            Self::Recovery => "recovery",
            Self::EmailChange => "email_change",
            Self::Reauthentication => "reauthentication",
            Self::Welcome => "welcome",
            Self::PasswordChanged => "password_changed",
            Self::EmailChanged => "email_changed",
            Self::PhoneChanged => "phone_changed",
            Self::IdentityLinked => "identity_linked",
            Self::IdentityUnlinked => "identity_unlinked",
            Self::FactorEnrolled => "mfa_factor_enrolled",
            Self::FactorUnenrolled => "mfa_factor_unenrolled",
        }
    }

    /// The `type` of the link in this mail (contract section 5, "Verify types"); `None` for mails without a link.
    pub fn link_type(self) -> Option<&'static str> {
        match self {
            Self::Confirmation => Some("signup"),
            Self::Invite => Some("invite"),
            Self::MagicLink => Some("magiclink"),
            Self::Recovery => Some("recovery"),
            Self::EmailChange => Some("email_change"),
            _ => None,
        }
    }

    /// The shipped template of a part: a starting point for one's own.
    pub fn shipped(self, part: Part) -> &'static str {
        let (html, text) = self.shipped_bodies();
        match part {
            Part::Subject => self.shipped_subject(),
            Part::Html => html,
            Part::Text => text,
        }
    }

    fn shipped_subject(self) -> &'static str {
        match self {
            Self::Confirmation => "Confirm your email address",
            Self::Invite => "You have been invited to {{ SiteName }}",
            Self::MagicLink => "Your link to sign in to {{ SiteName }}",
            Self::Recovery => "Reset your password",
            Self::EmailChange => "Confirm the change of your email address",
            Self::Reauthentication => "Your code for {{ SiteName }}",
            Self::Welcome => "Welcome to {{ SiteName }}",
            Self::PasswordChanged => "Your password was changed",
            Self::EmailChanged => "Your email address was changed",
            Self::PhoneChanged => "Your phone number was changed",
            Self::IdentityLinked => "A login was added to your account",
            Self::IdentityUnlinked => "A login was removed from your account",
            Self::FactorEnrolled => "A second factor was added to your account",
            Self::FactorUnenrolled => "A second factor was removed from your account",
        }
    }

    fn shipped_bodies(self) -> (&'static str, &'static str) {
        /// The HTML, composed of the frame of all mails and the mail's own part, and the text.
        macro_rules! bodies {
            ($name:literal) => {
                (
                    concat!(
                        include_str!("templates/head.html"),
                        include_str!(concat!("templates/", $name, ".html")),
                        include_str!("templates/foot.html")
                    ),
                    include_str!(concat!("templates/", $name, ".txt")),
                )
            };
        }
        match self {
            Self::Confirmation => bodies!("confirmation"),
            Self::Invite => bodies!("invite"),
            Self::MagicLink => bodies!("magic_link"),
            Self::Recovery => bodies!("recovery"),
            Self::EmailChange => bodies!("email_change"),
            Self::Reauthentication => bodies!("reauthentication"),
            Self::Welcome => bodies!("welcome"),
            Self::PasswordChanged => bodies!("password_changed"),
            Self::EmailChanged => bodies!("email_changed"),
            Self::PhoneChanged => bodies!("phone_changed"),
            Self::IdentityLinked => bodies!("identity_linked"),
            Self::IdentityUnlinked => bodies!("identity_unlinked"),
            Self::FactorEnrolled => bodies!("mfa_factor_enrolled"),
            Self::FactorUnenrolled => bodies!("mfa_factor_unenrolled"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_found_by_its_name_alone() {
        for template in Template::ALL {
            assert_eq!(template.name().parse(), Ok(template));
        }
        assert_eq!("Confirmation".parse::<Template>(), Err(UnknownTemplate));
    }

    #[test]
    fn shipped_html_loads_nothing_from_elsewhere() {
        for template in Template::ALL {
            let html = template.shipped(Part::Html);
            for word in ["src=", "url(", "<script", "<link", "@import", "http:", "https:"] {
                assert!(!html.contains(word), "{} has {word}", template.name());
            }
        }
    }

    #[test]
    fn a_shipped_mail_has_its_link_in_both_bodies_exactly_if_it_has_a_link_type() {
        for template in Template::ALL {
            for part in [Part::Html, Part::Text] {
                let has_link = template.shipped(part).contains("{{ ConfirmationURL }}");
                assert_eq!(has_link, template.link_type().is_some(), "{} {part}", template.name());
            }
        }
    }
}
