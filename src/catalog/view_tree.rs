//! Reads PostgreSQL's stored form of a view (`pg_rewrite.ev_action`) just far enough to tell which column of which
//! relation each of its columns shows. Pure text work; knows nothing of keys or of other views.

/// A view column that shows a column of a relation as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShownColumn {
    /// Its number in the view, from 1.
    pub(super) view_column: i16,
    /// The OID of the relation that the view reads it from.
    pub(super) relation: u32,
    /// Its number in that relation.
    pub(super) column: i16,
}

/// The columns that the view shows unchanged, in view order.
///
/// Text that is not a stored query yields no columns: a view then merely has no traced keys.
pub(super) fn shown_columns(ev_action: &str) -> Vec<ShownColumn> {
    let mut reader = Reader { text: ev_action.as_bytes(), at: 0 };
    let mut found = Vec::new();
    // The action is a list of one query: "({QUERY :key value ... :targetList ({TARGETENTRY ...} ...) ...})".
    reader.skip_until(b'{');
    reader.at += 1;
    while let Some(token) = reader.next_token() {
        if token == b":targetList" {
            reader.skip_spaces();
            if reader.peek() == Some(b'(') {
                reader.at += 1;
                while reader.target_entry(&mut found) {}
            }
            break;
        }
    }
    found
}

/// Walks the text by tokens; a bracketed group counts as one token.
pub(super) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader of what stands between the brackets of a group.
    pub(super) fn inside(group: &'a [u8]) -> Self {
        Self { text: group, at: 1 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn skip_until(&mut self, wanted: u8) {
        while self.peek().is_some_and(|byte| byte != wanted) {
            self.at += 1;
        }
    }

    /// The next token of the current node, `None` at its end. Inside names, brackets and spaces stand behind a `\`.
    pub(super) fn next_token(&mut self) -> Option<&'a [u8]> {
        self.skip_spaces();
        let start = self.at;
        match self.peek()? {
            b'}' | b')' => {
                self.at += 1;
                None
            }
            b'{' | b'(' => {
                self.skip_group();
                Some(&self.text[start..self.at])
            }
            _ => {
                while let Some(byte) = self.peek() {
                    match byte {
                        b'\\' => self.at += 1,
                        b' ' | b'\n' | b'\t' | b'{' | b'}' | b'(' | b')' => break,
                        _ => {}
                    }
                    self.at += 1;
                }
                self.at = self.at.min(self.text.len());
                Some(&self.text[start..self.at])
            }
        }
    }

    fn skip_group(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'\\' => self.at += 1,
                b'{' | b'(' => depth += 1,
                b'}' | b')' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                _ => {}
            }
        }
        self.at = self.at.min(self.text.len());
    }

    /// Reads the next entry of the target list and keeps it if it shows a column; `false` at the list's end.
    fn target_entry(&mut self, found: &mut Vec<ShownColumn>) -> bool {
        self.skip_spaces();
        if self.peek() != Some(b'{') {
            return false;
        }
        self.at += 1;
        let (mut view_column, mut relation, mut column) = (0_i16, 0_u32, 0_i16);
        while let Some(key) = self.next_token() {
            // Every key is followed by its value at once, so that a column called ":resno" is never taken for a key.
            match key {
                b":resno" => view_column = self.number().unwrap_or(0),
                b":resorigtbl" => relation = self.number().unwrap_or(0),
                b":resorigcol" => column = self.number().unwrap_or(0),
                key if key.starts_with(b":") => {
                    self.next_token();
                }
                _ => {}
            }
        }
        if relation != 0 && column > 0 && view_column > 0 {
            found.push(ShownColumn { view_column, relation, column });
        }
        true
    }

    pub(super) fn number<N: std::str::FromStr>(&mut self) -> Option<N> {
        std::str::from_utf8(self.next_token()?).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_shown_as_they_are_carry_their_origin() {
        let tree = r"({QUERY :commandType 1 :querySource 0 :utilityStmt <> :rtable ({RTE :alias <> :eref {ALIAS :aliasname
            old :colnames (}a";
        assert_eq!(shown_columns(tree), []);
        let tree = r#"({QUERY :commandType 1 :rtable ({RTE :eref {ALIAS :aliasname x\ \{\( :colnames ("id" "n\)")}
            :subquery {QUERY :targetList ({TARGETENTRY :resno 9 :resorigtbl 99 :resorigcol 9})}}) :jointree {FROMEXPR
            :fromlist ({RANGETBLREF :rtindex 3}) :quals <>} :targetList ({TARGETENTRY :expr {VAR :varno 3} :resno 1
            :resname :resorigtbl :ressortgroupref 0 :resorigtbl 16400 :resorigcol 2 :resjunk false} {TARGETENTRY :expr
            {CONST :constvalue 4 [ 1 0 0 0 ]} :resno 2 :resname <> :resorigtbl 0 :resorigcol 0 :resjunk false}
            {TARGETENTRY :expr {VAR :varno 3} :resno 3 :resname a\ b :resorigtbl 4294967295 :resorigcol 1}) :override 0})"#;
        assert_eq!(
            shown_columns(tree),
            [
                ShownColumn { view_column: 1, relation: 16400, column: 2 },
                ShownColumn { view_column: 3, relation: u32::MAX, column: 1 },
            ]
        );
    }

    #[test]
    fn cut_or_foreign_text_is_no_error() {
        for text in [
            "",
            "(",
            "({",
            "<>",
            "({QUERY :targetList ({TARGETENTRY :resno",
            "({QUERY :targetList <>})",
            "\\",
            "({QUERY :a \\",
        ] {
            assert_eq!(shown_columns(text), [], "{text}");
        }
    }
}
