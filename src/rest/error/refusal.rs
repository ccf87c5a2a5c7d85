//! Words and statuses of what is refused before the database is asked.

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::{Disclosure, ErrorParts, OwnError};
use crate::policy::decide::{self, Rule};
use crate::policy::model::RateLimit;
use crate::policy::protected::Unprotected;
use crate::policy::rules::Closed;
use crate::rest::core::protect::{OutOfScope, Refusal};

const AUTHENTICATION_REQUIRED: OwnError = OwnError {
    status: StatusCode::UNAUTHORIZED,
    code: "authentication_required",
    message: "Sign in to use this table",
};
const VERIFICATION_REQUIRED: OwnError = OwnError {
    status: StatusCode::FORBIDDEN,
    code: "verification_required",
    message: "Verify your e-mail address or phone to use this table",
};
const INSUFFICIENT_AAL: OwnError = OwnError {
    status: StatusCode::FORBIDDEN,
    code: "insufficient_aal",
    message: "Sign in with a second factor to use this table",
};
const ROLE_NOT_ALLOWED: OwnError = OwnError {
    status: StatusCode::FORBIDDEN,
    code: "role_not_allowed",
    message: "None of your roles may use this table",
};
const ADDRESS_NOT_ALLOWED: OwnError = OwnError {
    status: StatusCode::FORBIDDEN,
    code: "address_not_allowed",
    message: "This table cannot be used from your address",
};
const INSUFFICIENT_SCOPE: OwnError = OwnError {
    status: StatusCode::FORBIDDEN,
    code: "insufficient_scope",
    message: "The scopes of this API key do not allow it",
};
const OVER_TABLE_RATE_LIMIT: OwnError = OwnError {
    status: StatusCode::TOO_MANY_REQUESTS,
    code: "over_table_rate_limit",
    message: "Too many requests for this table",
};

const RULES_NOT_CURRENT: OwnError = OwnError {
    status: StatusCode::SERVICE_UNAVAILABLE,
    code: "rules_not_current",
    message: "The rules of this table cannot be read at the moment",
};

const INPUT_REFUSED: OwnError = OwnError {
    status: StatusCode::BAD_REQUEST,
    code: "input_refused",
    message: "A value holds what may not be stored in its column",
};

/// A value that its column's rules refuse.
pub(super) fn of_input(column: Option<&str>, class: &str) -> ErrorParts {
    let column = column.map_or_else(|| "a column".to_owned(), |column| format!("the column {column}"));
    ErrorParts::own(&INPUT_REFUSED).details(format!("In {column}: {class}"))
}

/// Rules that could not be read again.
pub(super) fn rules_may_be_old() -> ErrorParts {
    ErrorParts::own(&RULES_NOT_CURRENT).header(header::RETRY_AFTER, "1")
}

/// What the caller sees of a refusal.
pub(super) fn parts(refusal: &Refusal, disclosure: Disclosure) -> ErrorParts {
    match refusal {
        Refusal::Unprotected(Unprotected { relation, reason, fix }) => {
            let message = format!("permission denied for {}", relation.name);
            let parts =
                ErrorParts::denied(disclosure, "42501", message).details(format!("{relation} {reason}"));
            if fix.is_empty() { parts } else { parts.hint(fix.clone()) }
        }
        Refusal::Rule(refusal) => of_rule(refusal, disclosure),
        // The same words whether there is such a column or not.
        Refusal::Column { relation, name } => {
            let message = format!("permission denied for column {name} of {}", relation.name);
            ErrorParts::denied(disclosure, "42501", message)
                .details("There is no such column, or you may not use it here")
        }
        Refusal::MaskedColumn { relation, name } => {
            let message = format!("permission denied for column {name} of {}", relation.name);
            ErrorParts::denied(disclosure, "42501", message)
                .details("The column is masked: it can be selected as it is, and used for nothing else")
        }
        Refusal::WholeRow(relation) => {
            ErrorParts::denied(disclosure, "42501", format!("permission denied for {}", relation.name))
                .details("This media type is made of whole rows, and you may not see all columns")
                .hint("Ask for application/json, text/csv or application/x-ndjson")
        }
        Refusal::Explained => {
            ErrorParts::denied(disclosure, "42501", "permission denied for the execution plan")
                .details("It would name columns that you may not see")
        }
        Refusal::GraphQl => ErrorParts::denied(disclosure, "42501", "permission denied for function graphql")
            .details("GraphQL does not know the rules of tables, and this database has some")
            .hint("Use the REST API, or the secret key from a server of yours"),
        // As pg-safeupdate answers.
        Refusal::Unfiltered { verb } => {
            ErrorParts::new(StatusCode::BAD_REQUEST, "21000", format!("{verb} requires a WHERE clause"))
                .hint("Add a filter that names the rows, such as id=eq.1")
        }
        Refusal::DefinerFunction(name) => {
            ErrorParts::denied(disclosure, "42501", format!("permission denied for function {}", name.name))
                .details(format!("{name} runs with the rights of its owner (SECURITY DEFINER)"))
                .hint("Make it SECURITY INVOKER, or set rest.definer_functions to allow")
        }
        Refusal::OutOfScope(OutOfScope { name, verb }) => ErrorParts::own(&INSUFFICIENT_SCOPE)
            .hint(format!("It would need a scope such as rest:{name}:{}", verb.as_str())),
    }
}

fn of_rule(refusal: &decide::Refusal, disclosure: Disclosure) -> ErrorParts {
    let table = &refusal.relation;
    let about_caller = |error: &OwnError| {
        // Who is nobody yet is asked to become somebody first.
        let error = if disclosure.authenticated { error } else { &AUTHENTICATION_REQUIRED };
        let parts = ErrorParts::own(error).details(format!("{table} has the rule {}", refusal.rule.name()));
        if disclosure.authenticated { parts } else { parts.header(header::WWW_AUTHENTICATE, "Bearer") }
    };
    let closed = || {
        ErrorParts::denied(disclosure, "42501", format!("permission denied for {}", table.name))
            .details(refusal.to_string())
    };
    match &refusal.rule {
        Rule::IpAllowlist => ErrorParts::own(&ADDRESS_NOT_ALLOWED),
        Rule::RequireAuth => about_caller(&AUTHENTICATION_REQUIRED),
        Rule::RequireVerified => about_caller(&VERIFICATION_REQUIRED),
        Rule::RequireMfa => about_caller(&INSUFFICIENT_AAL),
        Rule::AllowedRoles => about_caller(&ROLE_NOT_ALLOWED),
        Rule::Closed(Closed::NotCurrent) => rules_may_be_old(),
        Rule::Closed(Closed::Unreadable(_)) | Rule::Unreadable => {
            closed().hint("`goforward policy lint` says what is wrong")
        }
        Rule::Closed(Closed::NotEnforced) => closed().hint("`goforward policy apply` puts them there"),
        Rule::RowRulesOfParent => closed().hint("Give the table rules of its own"),
        Rule::Closed(Closed::Inactive)
        | Rule::ProtectedColumnUsed
        | Rule::RowRulesOfView
        | Rule::RowRulesBelow => closed(),
    }
}

/// A caller that has asked too often for a table.
pub(super) fn over_limit(limit: RateLimit, retry_after: u64) -> ErrorParts {
    let seconds = retry_after.to_string();
    let mut parts = ErrorParts::own(&OVER_TABLE_RATE_LIMIT).header(header::RETRY_AFTER, &seconds);
    for (name, value) in [
        ("ratelimit-limit", limit.requests.to_string()),
        ("ratelimit-remaining", "0".to_owned()),
        ("ratelimit-reset", seconds),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            parts.headers.push((HeaderName::from_static(name), value));
        }
    }
    parts
}
