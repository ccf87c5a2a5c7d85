//! Reads the files of `tests/corpora/sanitise`; their README describes the escapes.

/// The inputs of a file, as bytes.
pub(super) fn bytes(file: &str) -> Vec<Vec<u8>> {
    file.lines().filter(|line| !line.starts_with("# ") && !line.is_empty()).map(unescaped).collect()
}

/// The inputs of a file that is UTF-8 throughout.
pub(super) fn texts(file: &str) -> Vec<String> {
    bytes(file).into_iter().map(|bytes| String::from_utf8(bytes).expect("this corpus is UTF-8")).collect()
}

fn unescaped(line: &str) -> Vec<u8> {
    let mut output = Vec::new();
    let mut rest = line;
    while let Some((plain, escape)) = rest.split_once('\\') {
        output.extend_from_slice(plain.as_bytes());
        let kind = escape.chars().next().expect("something follows a backslash");
        rest = &escape[kind.len_utf8()..];
        match kind {
            '\\' | '#' => output.push(kind as u8),
            't' => output.push(b'\t'),
            'n' => output.push(b'\n'),
            'r' => output.push(b'\r'),
            '0' => output.push(0),
            'x' => {
                output.push(u8::from_str_radix(&rest[..2], 16).expect("two hexadecimal digits"));
                rest = &rest[2..];
            }
            'u' => {
                let (digits, after) = rest[1..].split_once('}').expect("\\u{N}");
                let value = u32::from_str_radix(digits, 16).expect("hexadecimal digits");
                let character = char::from_u32(value).expect("a character");
                output.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
            }
            '{' => {
                let (repeated, after) = rest.split_once('}').expect("\\{N text}");
                let (count, text) = repeated.split_once(' ').expect("\\{N text}");
                output.extend_from_slice(text.repeat(count.parse().expect("a number")).as_bytes());
                rest = after;
            }
            other => panic!("unknown escape \\{other} in {line}"),
        }
    }
    output.extend_from_slice(rest.as_bytes());
    output
}

#[test]
fn escapes_stand_for_what_the_readme_says() {
    let file = "# comment\n\\# a\\\\b\\t\\x41\\0\\u{e9}\\{3 xy}\n";
    assert_eq!(texts(file), ["# a\\b\tA\0éxyxyxy"]);
}

/// One file by its name without the ending.
macro_rules! corpus {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/corpora/sanitise/", $name, ".txt"))
    };
}
pub(super) use corpus;
