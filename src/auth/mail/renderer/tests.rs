//! What templates may do, and what users' text in them cannot.

use serde_json::json;

use super::*;
use crate::kernel::secret::Secret;

/// A mail with a link, for a user with these metadata.
fn context(data: serde_json::Value) -> MailContext {
    MailContext {
        confirmation_url: Secret::new("https://api.example.com/verify?token=a1&type=signup"),
        token: Secret::new("482913"),
        data,
        ..MailContext::new("ada@example.com".parse().unwrap(), "Example", "https://app.example.com")
    }
}

fn html(html: &str) -> StoredTemplate {
    StoredTemplate { html: Some(html.to_owned()), ..StoredTemplate::default() }
}

fn templates(stored: StoredTemplate) -> Templates {
    Templates::new(&BTreeMap::from([(Template::Confirmation, stored)]))
}

/// The HTML that a stored template comes to.
fn stored_html(source: &str, data: serde_json::Value) -> String {
    let templates = templates(html(source));
    templates.render(Template::Confirmation, &context(data)).unwrap().html.unwrap()
}

fn refusal(stored: &StoredTemplate) -> TemplateError {
    Templates::preview(Template::Confirmation, stored).err().expect("a refusal")
}

#[test]
fn every_shipped_template_is_one_that_could_be_stored() {
    for template in Template::ALL {
        let [subject, html, text] = Part::ALL.map(|part| Some(template.shipped(part).to_owned()));
        let stored = StoredTemplate { subject, html, text };
        let rendered = Templates::preview(template, &stored)
            .unwrap_or_else(|error| panic!("{}: {error}", template.name()));

        for part in [rendered.subject.as_str(), &rendered.html, &rendered.text] {
            assert!(!part.contains("{{") && !part.contains("{%") && !part.trim().is_empty(), "{part}");
        }
        assert!(rendered.html.contains("</html>"));
    }
}

#[test]
fn a_mail_carries_its_link_and_its_code() {
    let mail =
        Templates::new(&BTreeMap::new()).render(Template::Confirmation, &context(json!(null))).unwrap();

    assert_eq!(mail.to.as_str(), "ada@example.com");
    assert_eq!(mail.subject.as_str(), "Confirm your email address");
    let html = mail.html.unwrap();
    assert!(
        html.contains("href=\"https:&#x2f;&#x2f;api.example.com&#x2f;verify?token=a1&amp;type=signup\""),
        "{html}"
    );
    assert!(mail.text.contains("https://api.example.com/verify?token=a1&type=signup\n"));
    assert!(html.contains("482913") && mail.text.contains("482913"));
}

#[test]
fn the_two_mails_of_a_change_of_address_tell_their_readers_apart() {
    let mut context = context(json!(null));
    context.new_email = "new@example.org".to_owned();
    let templates = Templates::new(&BTreeMap::new());
    let to_old = templates.render(Template::EmailChange, &context).unwrap();
    context.to = "new@example.org".parse().unwrap();
    let to_new = templates.render(Template::EmailChange, &context).unwrap();

    assert!(to_old.text.starts_with("Confirm the change of your email address"), "{}", to_old.text);
    assert!(to_new.text.starts_with("Confirm your new email address"), "{}", to_new.text);
}

#[test]
fn b18_what_a_user_wrote_is_printed_and_never_run() {
    let name = "{{ Token }}{% include 'x' %}<script>alert(1)</script>\"'&\r\nBcc: eve@example.org";
    let stored = StoredTemplate {
        subject: Some("Hello {{ .Data.name }}".to_owned()),
        html: Some("<p title=\"{{ .Data.name }}\">{{ Data.name }}</p>".to_owned()),
        text: Some("Hello {{ .Data.name }}\n".to_owned()),
    };
    let mail = templates(stored).render(Template::Confirmation, &context(json!({"name": name}))).unwrap();

    let on_one_line = "{{ Token }}{% include 'x' %}<script>alert(1)</script>\"'& Bcc: eve@example.org";
    assert_eq!(mail.subject.as_str(), format!("Hello {on_one_line}"));
    assert_eq!(mail.text.trim_end(), format!("Hello {}", on_one_line.replace("& B", "&  B")));
    let html = mail.html.unwrap();
    assert!(!html.contains("<script") && !html.contains("482913"), "{html}");
    let escaped = "{{ Token }}{% include &#x27;x&#x27; %}&lt;script&gt;alert(1)&lt;&#x2f;script&gt;&quot;&#x27;&amp;  Bcc: eve@example.org";
    assert_eq!(html, format!("<p title=\"{escaped}\">{escaped}</p>"));
}

#[test]
fn b18_there_is_no_way_to_print_without_escaping() {
    for source in [
        "{{ Data.name | safe }}",
        "{{ Data.name | escape }}",
        "{% autoescape false %}{{ Data.name }}{% endautoescape %}",
    ] {
        let error = refusal(&html(source));
        assert!(matches!(error, TemplateError::Render(..) | TemplateError::Syntax(..)), "{source}: {error}");
    }
}

#[test]
fn templates_of_supabase_work_as_they_are() {
    let source = "<h2>Confirm your signup</h2>\n<a href=\"{{ .SiteURL }}/auth/confirm?token_hash={{ .TokenHash }}&type=email\">Confirm</a>";
    let html = stored_html(source, json!(null));

    assert!(html.starts_with("<h2>Confirm your signup</h2>"), "{html}");
}

#[test]
fn metadata_that_a_user_does_not_have_prints_as_nothing() {
    let source = "[{{ Data.profile.name }}][{{ Data.name | default('you') }}]{% if Data.name is defined %}!{% endif %}";
    assert_eq!(stored_html(source, json!(null)), "[][you]");
    assert_eq!(stored_html(source, json!({"name": "Ada", "profile": {"name": "A"}})), "[A][Ada]!");
}

#[test]
fn a_part_that_is_not_stored_is_the_shipped_one() {
    let mail = templates(html("<p>Own</p>")).render(Template::Confirmation, &context(json!(null))).unwrap();

    assert_eq!(mail.html.as_deref(), Some("<p>Own</p>"));
    assert_eq!(mail.subject.as_str(), "Confirm your email address");
    assert!(mail.text.starts_with("Confirm your email address"));
}

#[test]
fn a_refusal_says_what_is_wrong_and_where() {
    for (source, message) in [
        ("one\n{{ if .Email }}", "HTML: line 2: `{{ if .Email }}` is Go's template language"),
        ("{{ Emial }}", "HTML: there is no `Emial`; the names are SiteName, "),
        ("\n\n{% if Email %}", "HTML: line 3: "),
        ("{{ Email | nothing }}", "HTML: "),
        ("{% include 'confirmation.html' %}", "HTML: line 1: `{% include %}` is not supported"),
    ] {
        let error = refusal(&html(source)).to_string();
        assert!(error.starts_with(message), "{source}: {error}");
    }
    let empty = StoredTemplate { subject: Some(" \n".to_owned()), ..StoredTemplate::default() };
    assert_eq!(refusal(&empty), TemplateError::EmptySubject);
}

#[test]
fn a_template_is_limited_in_size_steps_and_output() {
    assert_eq!(refusal(&html(&"a".repeat(65_537))), TemplateError::Length(Part::Html));
    assert!(Templates::preview(Template::Confirmation, &html(&"a".repeat(65_536))).is_ok());

    let many: Vec<u32> = (0..100).collect();
    let data = json!({"many": many, "long": "a".repeat(10_000)});
    let values = MailContext { data, ..context(json!(null)) }.values();
    let failed = |source: &str| {
        let environment = with_stored(SHIPPED.clone(), Template::Confirmation, &html(source)).unwrap();
        rendered(&environment, Template::Confirmation, &values).err().expect("a failure").to_string()
    };
    let loops = "{% for a in Data.many %}{% for b in Data.many %}{% for c in Data.many %}.{% endfor %}{% endfor %}{% endfor %}";
    assert_eq!(failed(loops), "HTML: it takes too many steps");
    assert_eq!(
        failed("{% for a in Data.many %}{{ Data.long }}{% endfor %}"),
        "HTML: it comes to more than 262144 bytes"
    );
}

#[test]
fn where_a_stored_template_fails_the_shipped_one_is_used() {
    let shipped =
        Templates::new(&BTreeMap::new()).render(Template::Confirmation, &context(json!(null))).unwrap();
    let with_many = context(json!({"many": (0..100).collect::<Vec<_>>()}));
    let loops = "{% for a in Data.many %}{% for b in Data.many %}{% for c in Data.many %}.{% endfor %}{% endfor %}{% endfor %}";

    for stored in [html("{{ broken"), html("{{ .Email | html }}"), html(&"a".repeat(70_000)), html(loops)] {
        let mail = templates(stored).render(Template::Confirmation, &with_many).unwrap();
        assert_eq!(mail, shipped);
    }
}
