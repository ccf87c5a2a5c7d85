//! Script in markup: elements, handlers, addresses and calls that a browser would run.

use super::sql::is_in;

/// Elements that run, load or restyle by themselves.
const ELEMENTS: [&str; 31] = [
    "animate",
    "applet",
    "audio",
    "base",
    "bgsound",
    "body",
    "embed",
    "foreignobject",
    "form",
    "frame",
    "frameset",
    "iframe",
    "ilayer",
    "image",
    "isindex",
    "layer",
    "link",
    "marquee",
    "math",
    "meta",
    "noscript",
    "object",
    "portal",
    "script",
    "set",
    "source",
    "style",
    "svg",
    "template",
    "video",
    "xss",
];

/// How the names of handlers begin, after `on`.
const HANDLERS: [&str; 51] = [
    "abort",
    "activate",
    "afterprint",
    "animation",
    "auxclick",
    "before",
    "begin",
    "blur",
    "bounce",
    "cancel",
    "canplay",
    "change",
    "click",
    "close",
    "contextmenu",
    "copy",
    "cut",
    "dblclick",
    "drag",
    "drop",
    "end",
    "error",
    "finish",
    "focus",
    "fullscreen",
    "hashchange",
    "input",
    "invalid",
    "key",
    "load",
    "message",
    "mouse",
    "online",
    "page",
    "paste",
    "play",
    "pointer",
    "popstate",
    "progress",
    "readystatechange",
    "repeat",
    "reset",
    "resize",
    "scroll",
    "search",
    "select",
    "start",
    "submit",
    "toggle",
    "touch",
    "transition",
];

/// Calls that steal, pop up or evaluate.
const CALLS: [&str; 12] = [
    "alert",
    "atob",
    "confirm",
    "eval",
    "expression",
    "fromcharcode",
    "importscripts",
    "msgbox",
    "prompt",
    "setinterval",
    "settimeout",
    "xmlhttprequest",
];

/// Whether a text in lower case holds markup or an address that runs script.
pub(super) fn runs_script(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(offset) = bytes[at..].iter().position(|byte| byte.is_ascii_alphabetic() || *byte == b'<') {
        let start = at + offset;
        if bytes[start] == b'<' {
            if opens_declaration(&bytes[start..]) {
                return true;
            }
            at = start + 1;
            continue;
        }
        let length =
            bytes[start..].iter().take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'_').count();
        let word = Word { bytes, start, end: start + length, text: &text[start..start + length] };
        if word.is_element() || word.is_handler() || word.is_scheme() || word.is_call() || word.is_member() {
            return true;
        }
        at = start + length;
    }
    false
}

/// `<!--[if`, `<![cdata[`, `<!entity`, `<?xml-stylesheet`, `<?php`.
fn opens_declaration(bytes: &[u8]) -> bool {
    const OPENINGS: [&[u8]; 6] =
        [b"<!--[if", b"<![cdata[", b"<!entity", b"<?xml-stylesheet", b"<?php", b"<!doctype"];
    OPENINGS.iter().any(|opening| bytes.starts_with(opening))
}

/// A run of letters and what stands around it.
struct Word<'a> {
    bytes: &'a [u8],
    start: usize,
    end: usize,
    text: &'a str,
}

impl Word<'_> {
    fn before(&self) -> Option<u8> {
        self.start.checked_sub(1).map(|at| self.bytes[at])
    }

    fn after(&self) -> Option<u8> {
        self.bytes.get(self.end).copied()
    }

    /// The first byte after the word that is neither white space nor a control.
    fn after_space(&self) -> Option<u8> {
        self.bytes[self.end..].iter().take(32).copied().find(|byte| *byte > b' ')
    }

    /// The text that follows, at most 200 bytes of it.
    fn tail(&self) -> &[u8] {
        &self.bytes[self.end..self.bytes.len().min(self.end + 200)]
    }

    /// `<script`, `</script`, `<svg/onload=`, `< iframe src=`, `<x:script`.
    fn is_element(&self) -> bool {
        let is_opened = match self.before() {
            Some(b'<') => true,
            Some(b'/' | b':' | b'\0') => {
                self.bytes[..self.start].iter().rev().take(12).any(|byte| *byte == b'<')
            }
            Some(b' ' | b'\t') => {
                self.start >= 2 && self.bytes[self.start - 2] == b'<' && self.text == "script"
            }
            _ => false,
        };
        let ends = self.after().is_none_or(|byte| !byte.is_ascii_alphanumeric() && byte != b'-');
        is_opened && ends && is_in(&ELEMENTS, self.text)
    }

    /// `onerror=`, after white space, a quote or a slash as between attributes.
    fn is_handler(&self) -> bool {
        let Some(event) = self.text.strip_prefix("on") else { return false };
        if event.len() < 3 || self.after_space() != Some(b'=') {
            return false;
        }
        let separated =
            self.before().is_none_or(|byte| !byte.is_ascii_alphanumeric() && byte != b'.' && byte != b'-');
        let known = HANDLERS.iter().any(|handler| event.starts_with(handler));
        separated && known
    }

    /// `javascript:alert(1)`, `data:text/html,`; not the title `JavaScript: The Good Parts`.
    fn is_scheme(&self) -> bool {
        if self.after_space() != Some(b':') {
            return false;
        }
        let tail = self.tail();
        match self.text {
            "javascript" | "vbscript" | "livescript" | "mocha" => {
                let called = tail.windows(2).any(|pair| {
                    (pair[0].is_ascii_alphanumeric() || pair[0] == b']') && matches!(pair[1], b'(' | b'`')
                });
                called || tail.starts_with(b"://") || contains(tail, b"document.") || contains(tail, b"//%0a")
            }
            "data" => {
                let types: [&[u8]; 5] = [
                    b":text/html",
                    b":image/svg+xml",
                    b":application/xhtml+xml",
                    b":text/xml",
                    b":text/javascript",
                ];
                types.iter().any(|kind| tail.starts_with(kind))
            }
            "behavior" | "binding" => contains(&tail[..tail.len().min(12)], b"url("),
            _ => false,
        }
    }

    /// `alert(1)`, `eval(`, also with a back-quote; not `any alert(s)`.
    fn is_call(&self) -> bool {
        let tail = self.tail();
        let called = matches!(tail.first(), Some(b'(' | b'`')) && !tail.starts_with(b"(s)");
        let own = self.before() != Some(b'_') && self.before() != Some(b'-');
        called && own && is_in(&CALLS, self.text)
    }

    /// `document.cookie`, `window.location`, `x.innerHTML=`, `srcdoc=`.
    fn is_member(&self) -> bool {
        let tail = self.tail();
        let member = |names: &[&str]| {
            tail.first() == Some(&b'.') && names.iter().any(|name| tail[1..].starts_with(name.as_bytes()))
        };
        match self.text {
            "document" => member(&["cookie", "write", "location", "domain", "createelement", "body.inner"]),
            "window" | "self" | "top" => {
                member(&["location", "open(", "onerror"])
                    || tail.starts_with(b"[\"")
                    || tail.starts_with(b"['")
            }
            "localstorage" | "sessionstorage" => member(&["getitem", "setitem"]),
            "innerhtml" | "outerhtml" | "srcdoc" => self.after_space() == Some(b'='),
            "constructor" => member(&["constructor", "prototype"]),
            "import" => {
                tail.starts_with(b"('//") || tail.starts_with(b"(\"//") || tail.starts_with(b"('http")
            }
            _ => false,
        }
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(bytes, needle).is_some()
}
