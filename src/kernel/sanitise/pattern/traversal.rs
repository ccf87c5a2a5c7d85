//! Ways out of a folder.

/// Files that attacks ask for.
const TARGETS: [&str; 13] = [
    "etc/passwd",
    "etc/shadow",
    "proc/self/",
    "proc/1/environ",
    "windows/win.ini",
    "windows/system32",
    "winnt/system32",
    "boot.ini",
    "web-inf/web.xml",
    "meta-inf/manifest.mf",
    ".ssh/id_rsa",
    ".git/config",
    ".aws/credentials",
];

/// In any text: steps upwards, or the path of a well-known file of the system. An ellipsis before a slash
/// (`either.../or`) is neither.
pub(super) fn is_attack(text: &str) -> bool {
    let has_separator = text.bytes().any(|byte| matches!(byte, b'/' | b'\\'));
    if !has_separator {
        return false;
    }
    let path = text.replace('\\', "/");
    climbs(&path) || path.contains("....//") || names_target(&path)
}

/// In a path: any part of dots alone, a part that a file system trims to dots, an absolute path, a drive, a scheme.
pub(super) fn leaves_folder(text: &str) -> bool {
    let path = text.replace('\\', "/");
    let is_absolute = path.starts_with('/') || path.starts_with('~');
    let is_drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    let has_scheme = path.contains("://") || path.starts_with("file:");
    is_absolute || is_drive || has_scheme || path.split('/').any(is_dots) || path.contains("....//")
}

/// `..`, also with what servers and file systems cut off: spaces, more dots, `;parameters`, NUL and what follows.
fn is_dots(part: &str) -> bool {
    let part = part.split([';', '\0', '?', '#']).next().unwrap_or(part);
    let part = part.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    part.len() >= 2 && part.bytes().all(|byte| byte == b'.' || byte == b' ')
}

/// `../` at the beginning of a part, whatever the text around it is.
fn climbs(path: &str) -> bool {
    let bytes = path.as_bytes();
    memchr::memmem::find_iter(bytes, "../").any(|at| {
        let before = at.checked_sub(1).map(|before| bytes[before]);
        before != Some(b'.') && before.is_none_or(|byte| !byte.is_ascii_alphanumeric())
    }) || path.ends_with("/..")
        || memchr::memmem::find_iter(bytes, "/..;").next().is_some()
        || memchr::memmem::find_iter(bytes, "..;/").next().is_some()
}

fn names_target(path: &str) -> bool {
    TARGETS.iter().any(|target| {
        memchr::memmem::find_iter(path.as_bytes(), target).any(|at| {
            // A rooted path or one that climbs, not the words of a sentence.
            let before = &path[..at];
            before.ends_with('/') || before.is_empty()
        })
    })
}
