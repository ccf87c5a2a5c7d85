//! Which account of the machine runs PostgreSQL, and what that account can reach.
//!
//! PostgreSQL refuses to run as root, and `initdb` wants an entry in the passwd file. Decides only; changes nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::{EmbeddedError, io_error};

/// Names tried, after the configured one, when goforward was started as root.
const USUAL: [&str; 3] = ["goforward", "postgres", "nobody"];
const PASSWD: &str = "/etc/passwd";

/// An unprivileged account of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The account to switch to, or `None` where this process is unprivileged already.
///
/// `owner` is the user id that owns an existing cluster: it wins over the usual names, so that data once made under
/// `postgres` stays there when an account `goforward` appears.
pub(super) fn choose(configured: Option<&str>, owner: Option<u32>) -> Result<Option<Account>, EmbeddedError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string(PASSWD).map_err(io_error("read", Path::new(PASSWD)))?;
    pick(&passwd, configured, owner).map(Some)
}

fn pick(passwd: &str, configured: Option<&str>, owner: Option<u32>) -> Result<Account, EmbeddedError> {
    if let Some(name) = configured {
        return accounts(passwd)
            .find(|account| account.name == name && account.uid != 0)
            .ok_or_else(|| EmbeddedError::UnknownAccount { name: name.to_owned() });
    }
    let owner = owner.filter(|uid| *uid != 0);
    if let Some(account) = accounts(passwd).find(|account| Some(account.uid) == owner) {
        return Ok(account);
    }
    USUAL
        .iter()
        .find_map(|name| accounts(passwd).find(|account| account.name == *name && account.uid != 0))
        .ok_or_else(|| EmbeddedError::NoAccount { tried: USUAL.join(", ") })
}

/// The entries of a passwd file (`name:password:uid:gid:…`, passwd(5)).
fn accounts(passwd: &str) -> impl Iterator<Item = Account> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { name, uid, gid })
    })
}

/// The first directory from the root down to `directory` that `account` may not enter.
///
/// `directory` must be canonical. Supplementary groups do not count: they are dropped with the switch.
pub(super) fn first_unreachable(directory: &Path, account: &Account) -> Option<PathBuf> {
    let mut chain: Vec<&Path> = directory.ancestors().collect();
    chain.reverse();
    chain.into_iter().find(|step| !may_enter(step, account)).map(Path::to_owned)
}

fn may_enter(directory: &Path, account: &Account) -> bool {
    let Ok(found) = fs::metadata(directory) else { return false };
    let bit = if found.uid() == account.uid {
        0o100
    } else if found.gid() == account.gid {
        0o010
    } else {
        0o001
    };
    found.mode() & bit != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\nbroken\n\
                          postgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n";

    fn name(configured: Option<&str>, owner: Option<u32>) -> String {
        pick(PASSWD, configured, owner).unwrap().name
    }

    #[test]
    fn the_configured_account_wins_then_the_owner_of_the_data_then_the_usual_names() {
        assert_eq!(name(Some("nobody"), Some(101)), "nobody");
        assert_eq!(name(None, Some(65534)), "nobody");
        assert_eq!(name(None, Some(4711)), "postgres");
        assert_eq!(name(None, Some(0)), "postgres");
    }

    #[test]
    fn an_unknown_account_and_root_are_refused() {
        assert!(matches!(pick(PASSWD, Some("alice"), None), Err(EmbeddedError::UnknownAccount { .. })));
        assert!(matches!(pick(PASSWD, Some("root"), None), Err(EmbeddedError::UnknownAccount { .. })));
        assert!(matches!(pick("root:x:0:0::/:/", None, None), Err(EmbeddedError::NoAccount { .. })));
    }
}
