//! Where in the claims the role is: a path such as `$.role`, `$.app.roles[0]` or `$.roles[?search(@, "^app_")]`.
//!
//! Pure. Two spellings are read, as PostgREST's versions do: JSONPath (RFC 9535, whole) after a `$`, and the older one
//! of [`super::older_role_path`]. The first match is the role.

use serde_json::Value;
use serde_json_path::JsonPath;

use super::caller::Claims;
use super::older_role_path::OlderRolePath;

/// A parsed path to the role claim.
#[derive(Clone, Debug, PartialEq)]
pub struct RolePath(Spelling);

#[derive(Clone, Debug, PartialEq)]
enum Spelling {
    Standard(JsonPath),
    Older(OlderRolePath),
}

/// A path that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the role claim path {path:?} is not understood at character {position}; write it as $.role or $.app.roles[0]"
)]
pub struct RolePathError {
    path: String,
    position: usize,
}

impl Default for RolePath {
    fn default() -> Self {
        Self(Spelling::Older(OlderRolePath::member("role")))
    }
}

impl RolePath {
    /// Reads a path.
    pub fn parse(path: &str) -> Result<Self, RolePathError> {
        let refusal = |position| RolePathError { path: path.to_owned(), position };
        match path {
            // The whole payload is no role.
            "$" => Err(refusal(2)),
            "$.role" => Ok(Self::default()),
            // What the error calls its position is how many bytes come before it.
            _ if path.starts_with('$') => JsonPath::parse(path)
                .map(|path| Self(Spelling::Standard(path)))
                .map_err(|error| refusal(error.position() + 1)),
            _ => OlderRolePath::parse(path).map(|path| Self(Spelling::Older(path))).map_err(refusal),
        }
    }

    /// The first value that the path leads to.
    pub fn find(&self, claims: &Claims) -> Option<Value> {
        match &self.0 {
            Spelling::Older(path) => path.find(claims),
            // A copy, because the query is asked of a value and not of a map; a token that was seen before costs none.
            Spelling::Standard(path) => path.query(&Value::Object(claims.clone())).first().cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role_of(path: &str) -> Option<Value> {
        let claims = r#"{"role":"a","app":{"roles":["b","c-admin"],"the role":"d","deep":[{"n":1,"r":"e"},{"n":2,"r":"f"}]},
            "groups":["/läden/x","/z"],"mixed":[1,"one"],"number":5}"#;
        let claims: Claims = serde_json::from_str(claims).unwrap();
        RolePath::parse(path).unwrap().find(&claims)
    }

    #[test]
    fn a_json_path_leads_to_its_first_match() {
        let table = [
            ("$.role", Some("a")),
            ("$['role']", Some("a")),
            ("$.app.roles[0]", Some("b")),
            ("$.app.roles[-1]", Some("c-admin")),
            ("$.app.roles[2]", None),
            ("$.app.roles[*]", Some("b")),
            ("$.app.roles[1:]", Some("c-admin")),
            ("$.app.roles[::-1]", Some("c-admin")),
            ("$.app.roles[5, 1]", Some("c-admin")),
            ("$.app.*[1]", Some("c-admin")),
            ("$.app[\"the role\"]", Some("d")),
            ("$..r", Some("e")),
            ("$.app.roles[?(@ == \"c-admin\")]", Some("c-admin")),
            ("$.app.roles[?@ != 'b']", Some("c-admin")),
            ("$.app.roles[?search(@, '-ad')]", Some("c-admin")),
            ("$.app.roles[?search(@, '^c')]", Some("c-admin")),
            ("$.app.roles[?match(@, 'c')]", None),
            ("$.app.roles[?length(@) > 1]", Some("c-admin")),
            ("$.app.deep[?@.n == 2].r", Some("f")),
            ("$.app.deep[?@.n >= 1 && !(@.r == 'e')].r", Some("f")),
            ("$.app.deep[?@.n == $.number || @.r == 'f'].r", Some("f")),
            ("$.app.deep[?@.missing].r", None),
            ("$.nothing.at.all", None),
        ];
        for (path, expected) in table {
            assert_eq!(role_of(path), expected.map(Value::from), "{path}");
        }
        assert_eq!(role_of("$.number"), Some(Value::from(5)));
    }

    #[test]
    fn the_older_spelling_compares_and_slices_texts() {
        let table = [
            (".role", Some("a")),
            (".app.\"the role\"", Some("d")),
            (".app.roles[0]", Some("b")),
            (".app.roles[2]", None),
            (".app.roles[?(@ == \"c-admin\")]", Some("c-admin")),
            (".app.roles[?(@ != \"b\")]", Some("c-admin")),
            (".app.roles[?(@ ^== \"c-\")]", Some("c-admin")),
            (".app.roles[?(@ ==^ \"admin\")]", Some("c-admin")),
            (".app.roles[?(@ *== \"-ad\")]", Some("c-admin")),
            (".app.roles[?(@ == \"none\")]", None),
            (".mixed[?(@ != \"two\")]", Some("one")),
            (".groups[0][1:]", Some("läden/x")),
            (".groups[0][1:-2]", Some("läden")),
            (".groups[0][:2]", Some("/l")),
            (".groups[0][-1:]", Some("x")),
            (".groups[0][:]", Some("/läden/x")),
            (".groups[0][-99:99]", Some("/läden/x")),
            (".groups[0][3:2]", Some("")),
            (".groups[0][1:][0:3]", Some("läd")),
            (".groups[?(@ ^== \"/l\")][1:6]", Some("läden")),
            (".groups[0:1]", None),
            (".groups[0][1:].x", None),
            (".nothing.at.all", None),
        ];
        for (path, expected) in table {
            assert_eq!(role_of(path), expected.map(Value::from), "{path}");
        }
    }

    #[test]
    fn a_broken_path_is_refused_with_its_place() {
        let table = [
            ("", 1),
            ("role", 1),
            (".", 2),
            (".a[", 4),
            (".a[]", 4),
            (".a[-1]", 6),
            (".a[1:x]", 6),
            (".a[?(@ = \"x\")]", 8),
            (".a[?(@ == \"x\"]", 14),
            (".a b", 3),
            ("$", 2),
            ("$.a b", 4),
        ];
        for (path, position) in table {
            let refusal = RolePath::parse(path).unwrap_err();
            assert_eq!(refusal, RolePathError { path: path.to_owned(), position }, "{path}");
        }
        for path in
            ["$.", "$.a[", "$.a[x]", "$.a['x]", "$.a[?(@ == 'x']", "$.a[?(@ = 'x')]", "$.a[?size(@) > 1]"]
        {
            let refusal = RolePath::parse(path).unwrap_err();
            assert!(refusal.to_string().contains("is not understood at character"), "{path}");
        }
    }
}
