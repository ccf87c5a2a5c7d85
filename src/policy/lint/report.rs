//! Findings as text for a terminal, grouped by object, and how many there are of each severity. Pure.

use std::fmt::Write as _;

use super::finding::{Finding, Severity};

/// The findings as paragraphs, with a line that counts them at the end.
pub fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    let mut group = None;
    for finding in findings {
        let object = (finding.kind, &finding.object);
        if group != Some(object) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{} {}", finding.kind.as_str(), finding.object);
            group = Some(object);
        }
        let _ = writeln!(text, "  [{}] {}", finding.severity.as_str(), finding.rule);
        let _ = writeln!(text, "    {}", finding.message);
        let _ = writeln!(text, "    {}", finding.why);
        for line in finding.fix.lines() {
            let _ = writeln!(text, "      {line}");
        }
        text.push('\n');
    }
    let counted = |severity: Severity| {
        let number = count(findings, severity);
        format!("{number} {}{}", severity.as_str(), if number == 1 { "" } else { "s" })
    };
    let _ = writeln!(text, "{}", Severity::ALL.map(counted).join(", "));
    text
}

/// How many findings are exactly this bad.
pub fn count(findings: &[Finding], severity: Severity) -> usize {
    findings.iter().filter(|finding| finding.severity == severity).count()
}

/// Whether any finding is this bad or worse.
pub fn reaches(findings: &[Finding], threshold: Severity) -> bool {
    findings.iter().any(|finding| finding.severity <= threshold)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::lint::finding::{ObjectKind, Rule};

    fn finding(rule: Rule, severity: Severity, object: &str) -> Finding {
        let object = (ObjectKind::Table, object.to_owned());
        Finding::new(rule, severity, object, "It is so.".to_owned(), "ALTER x;\nALTER y;".to_owned())
    }

    #[test]
    fn findings_are_grouped_by_object_and_counted() {
        let findings = [
            finding(Rule::UnprotectedRelation, Severity::Problem, "api.a"),
            finding(Rule::HiddenColumnGranted, Severity::Warning, "api.a"),
            finding(Rule::UnprotectedRelation, Severity::Problem, "api.b"),
        ];
        let text = text(&findings);
        assert_eq!(text.matches("table api.a\n").count(), 1);
        assert!(text.contains("table api.b\n  [problem] unprotected_relation\n    It is so.\n"), "{text}");
        assert!(text.contains("\n      ALTER x;\n      ALTER y;\n"), "{text}");
        assert!(text.ends_with("\n2 problems, 1 warning, 0 notes\n"), "{text}");
    }

    #[test]
    fn a_threshold_is_reached_by_what_is_as_bad_or_worse() {
        let warning = [finding(Rule::HiddenColumnGranted, Severity::Warning, "api.a")];
        assert!(!reaches(&warning, Severity::Problem));
        assert!(reaches(&warning, Severity::Warning) && reaches(&warning, Severity::Note));
        assert!(!reaches(&[], Severity::Note));
    }
}
