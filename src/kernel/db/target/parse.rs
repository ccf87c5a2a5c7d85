//! Reads the two forms of a connection string into a [`Target`].
//!
//! Pure text work. Every branch that fails names the parameter and what it should be, never the value, because a
//! mistyped URL can carry the password anywhere.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::{Host, Target, TargetError};
use crate::kernel::secret::Secret;

/// Parameters of libpq that change nothing here, accepted so that a working URL keeps working.
const IGNORED: [&str; 17] = [
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "gssencmode",
    "krbsrvname",
    "gsslib",
    "gssdelegation",
    "channel_binding",
    "sslsni",
    "sslcompression",
    "client_encoding",
    "fallback_application_name",
    "load_balance_hosts",
    "ssl_min_protocol_version",
    "require_auth",
];

/// Parameters of libpq that would silently weaken or change a login if they were ignored.
const UNSUPPORTED: [&str; 10] = [
    "passfile",
    "service",
    "servicefile",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcrl",
    "sslcrldir",
    "replication",
    "sslnegotiation",
];

/// Values as they are found, before hosts and ports are paired.
#[derive(Default)]
struct Draft {
    hosts: Vec<String>,
    addresses: Vec<String>,
    ports: Vec<String>,
    pairs: Vec<(String, String)>,
}

/// Parses either form.
pub(super) fn target(text: &str) -> Result<Target, TargetError> {
    if text.contains('\0') {
        return Err(TargetError::Nul);
    }
    let mut draft = Draft::default();
    if let Some(rest) = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) {
        read_url(rest, &mut draft)?;
    } else if text.contains("://") || !text.contains('=') {
        return Err(TargetError::Shape);
    } else {
        read_pairs(text, &mut draft)?;
    }
    draft.finish()
}

fn read_url(rest: &str, draft: &mut Draft) -> Result<(), TargetError> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let hosts = match authority.rsplit_once('@') {
        Some((login, hosts)) => {
            let (user, password) = match login.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (login, None),
            };
            if !user.is_empty() {
                draft.pairs.push(("user".to_owned(), decode(user, "user")?));
            }
            if let Some(password) = password {
                draft.pairs.push(("password".to_owned(), decode(password, "password")?));
            }
            hosts
        }
        None => authority,
    };
    for host in hosts.split(',').filter(|host| !host.is_empty()) {
        let (name, port) = split_port(host)?;
        draft.hosts.push(decode(name, "host")?);
        draft.ports.push(port.to_owned());
    }
    if !database.is_empty() {
        draft.pairs.push(("dbname".to_owned(), decode(database, "database name")?));
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or(TargetError::Shape)?;
        draft.set(&decode(key, "parameter name")?, decode(value, "parameters")?);
    }
    Ok(())
}

/// `name`, `name:port`, `[v6]` or `[v6]:port`.
fn split_port(host: &str) -> Result<(&str, &str), TargetError> {
    if let Some(rest) = host.strip_prefix('[') {
        let (name, after) = rest.split_once(']').ok_or(TargetError::Value {
            name: "host",
            expected: "a name, an IPv4 address or an IPv6 address in brackets",
        })?;
        return Ok((name, after.strip_prefix(':').unwrap_or("")));
    }
    Ok(host.split_once(':').unwrap_or((host, "")))
}

fn decode(text: &str, what: &'static str) -> Result<String, TargetError> {
    let bytes = text.as_bytes();
    let broken = bytes.iter().enumerate().any(|(at, byte)| {
        *byte == b'%' && !bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    });
    if broken {
        return Err(TargetError::Encoding(what));
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| TargetError::Encoding(what))?;
    if decoded.contains('\0') { Err(TargetError::Nul) } else { Ok(decoded.into_owned()) }
}

/// `key = 'value with \' quote' key2=value`.
fn read_pairs(text: &str, draft: &mut Draft) -> Result<(), TargetError> {
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or(TargetError::Shape)?;
        let key = key.trim_end();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(TargetError::Shape);
        }
        let (value, after) = read_value(after.trim_start())?;
        draft.set(key, value);
        rest = after.trim_start();
    }
    Ok(())
}

fn read_value(text: &str) -> Result<(String, &str), TargetError> {
    let quoted = text.starts_with('\'');
    let body = if quoted { &text[1..] } else { text };
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &body[at + 1..])),
            space if space.is_whitespace() && !quoted => return Ok((value, &body[at..])),
            other => value.push(other),
        }
    }
    if quoted { Err(TargetError::Quote) } else { Ok((value, "")) }
}

impl Draft {
    /// Sets a parameter; one that comes later wins, as with libpq.
    fn set(&mut self, key: &str, value: String) {
        let list = |value: &str| value.split(',').map(str::to_owned).collect::<Vec<_>>();
        match key {
            "host" => {
                // Ports written beside the URL's own hosts belonged to those.
                self.ports.clear();
                self.hosts = list(&value);
            }
            "hostaddr" => self.addresses = list(&value),
            "port" => self.ports = list(&value),
            // JDBC and Prisma habits that libpq accepts too.
            "ssl" if value == "true" => self.pairs.push(("sslmode".to_owned(), "require".to_owned())),
            _ => self.pairs.push((key.to_owned(), value)),
        }
    }

    fn finish(self) -> Result<Target, TargetError> {
        let names = if self.addresses.is_empty() { &self.hosts } else { &self.addresses };
        let default = [String::new()];
        let names = if names.is_empty() { &default[..] } else { &names[..] };
        if self.ports.len() > 1 && self.ports.len() != names.len() {
            return Err(TargetError::Ports { hosts: names.len(), ports: self.ports.len() });
        }
        let mut hosts = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            let text = self.ports.get(at).or_else(|| self.ports.first().filter(|_| self.ports.len() == 1));
            let port = match text.map(String::as_str) {
                None | Some("") => 5432,
                Some(text) => text
                    .parse()
                    .ok()
                    .filter(|port| *port != 0)
                    .ok_or(TargetError::Value { name: "port", expected: "a number from 1 to 65535" })?,
            };
            hosts.push(Host::new(if name.is_empty() { "localhost" } else { name }, port));
        }
        let mut target = Target::new(hosts[0].clone(), "", "");
        target.hosts = hosts;
        for (key, value) in self.pairs {
            apply(&mut target, &key, value)?;
        }
        if target.user.is_empty() {
            "postgres".clone_into(&mut target.user);
        }
        if target.dbname.is_empty() {
            target.dbname.clone_from(&target.user);
        }
        Ok(target)
    }
}

fn apply(target: &mut Target, key: &str, value: String) -> Result<(), TargetError> {
    match key {
        "user" => target.user = value,
        "password" => target.password = (!value.is_empty()).then(|| Secret::new(value)),
        "dbname" => target.dbname = value,
        "sslmode" => target.ssl_mode = value.parse()?,
        "sslrootcert" => {
            // libpq's word for the operating system's store; the public authorities built in stand for it.
            target.ssl_root_cert = (value != "system" && !value.is_empty()).then(|| PathBuf::from(value));
        }
        "application_name" => target.application_name = value,
        "options" => target.options = (!value.is_empty()).then_some(value),
        "connect_timeout" => {
            let seconds: u64 = value.parse().map_err(|_| TargetError::Value {
                name: "connect_timeout",
                expected: "a number of seconds",
            })?;
            // 0 waits forever in libpq; a server must not.
            target.connect_timeout =
                if seconds == 0 { Target::DEFAULT_CONNECT_TIMEOUT } else { Duration::from_secs(seconds) };
        }
        "target_session_attrs" => target.session_attributes = value.parse()?,
        _ if IGNORED.contains(&key) => {}
        _ if UNSUPPORTED.contains(&key) => return Err(TargetError::Unsupported(key.to_owned())),
        _ => return Err(TargetError::Unknown(key.to_owned())),
    }
    Ok(())
}

/// The `name=value` pairs of `-c name=value --name=value`, for clients that take no raw option text.
pub(super) fn session_options(text: &str) -> Vec<(String, String)> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            space if space.is_whitespace() => open = false,
            other => {
                if !open {
                    words.push(String::new());
                    open = true;
                }
                let literal = if other == '\\' { characters.next() } else { Some(other) };
                if let Some(word) = words.last_mut() {
                    word.extend(literal);
                }
            }
        }
    }
    words
        .iter()
        .filter(|word| *word != "-c")
        .map(|word| word.strip_prefix("--").or_else(|| word.strip_prefix("-c")).unwrap_or(word))
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
