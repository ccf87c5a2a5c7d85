//! Renders the mails: shipped templates and those that an operator stored over them. Pure.
//!
//! HTML is escaped wherever a value is printed, and there is no way to print without. A stored template is checked before it is
//! stored and again when it is loaded; where it fails all the same the shipped one is used, because a mail that looks different
//! is better than none.

use std::collections::BTreeMap;
use std::io;
use std::sync::LazyLock;

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value, filters, tests as conditions};

use super::context::{MailContext, NAMES, sample};
use super::syntax::{SyntaxError, accept};
use super::template::{Part, Template};
use crate::kernel::mail::{HeaderText, Mail};

/// The most that one part of a template may have, in bytes.
const LONGEST_SOURCE: usize = 64 * 1024;

/// The most that one part of a mail may become, in bytes.
const LONGEST_OUTPUT: usize = 256 * 1024;

/// How many steps one part may take: the shipped ones take under 200.
const FUEL: u64 = 20_000;

/// A template that an operator wrote. A part that is missing is the shipped one's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredTemplate {
    /// The subject line.
    pub subject: Option<String>,
    /// The HTML body.
    pub html: Option<String>,
    /// The plain text body.
    pub text: Option<String>,
}

impl StoredTemplate {
    fn part(&self, part: Part) -> Option<&str> {
        match part {
            Part::Subject => self.subject.as_deref(),
            Part::Html => self.html.as_deref(),
            Part::Text => self.text.as_deref(),
        }
    }
}

/// What a template came to.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The subject line.
    pub subject: HeaderText,
    /// The HTML body.
    pub html: String,
    /// The plain text body.
    pub text: String,
}

/// Why a template cannot be used; for whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Over 64 KiB.
    #[error("{0}: a template has at most {LONGEST_SOURCE} bytes")]
    Length(Part),
    /// Not the template language.
    #[error("{0}: {1}")]
    Syntax(Part, SyntaxError),
    /// Nothing of this name can be printed.
    #[error("{0}: there is no `{1}`; the names are {names}", names = NAMES.join(", "))]
    Name(Part, String),
    /// It cannot be rendered, or only into too much.
    #[error("{0}: {1}")]
    Render(Part, String),
    /// A subject that comes out empty.
    #[error("the subject is empty")]
    EmptySubject,
}

/// The templates in force. Cheap enough to be made anew whenever a stored one changes.
pub struct Templates {
    environment: Environment<'static>,
}

impl Templates {
    /// The shipped templates, with what operators stored over them. A stored one that cannot be used is logged and left out.
    pub fn new(stored: &BTreeMap<Template, StoredTemplate>) -> Self {
        let mut environment = SHIPPED.clone();
        for (template, stored) in stored {
            match with_stored(environment.clone(), *template, stored) {
                Ok(with_stored) => environment = with_stored,
                Err(error) => left_out(*template, &error),
            }
        }
        Self { environment }
    }

    /// The mail of this kind.
    ///
    /// # Errors
    /// [`TemplateError::Render`] if the values are so large that the mail would be too.
    pub fn render(&self, template: Template, context: &MailContext) -> Result<Mail, TemplateError> {
        let values = context.values();
        let rendered = rendered(&self.environment, template, &values).or_else(|error| {
            left_out(template, &error);
            rendered(&SHIPPED, template, &values)
        })?;
        let Rendered { subject, html, text } = rendered;
        Ok(Mail { to: context.to.clone(), subject, text, html: Some(html) })
    }

    /// Checks a template before it is stored, and shows what it would look like with sample values.
    ///
    /// # Errors
    /// What is wrong with it, in words for its author.
    pub fn preview(template: Template, stored: &StoredTemplate) -> Result<Rendered, TemplateError> {
        let environment = with_stored(SHIPPED.clone(), template, stored)?;
        rendered(&environment, template, &sample(template))
    }
}

/// The engine with the shipped templates alone. Its tests show that they compile.
static SHIPPED: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = engine();
    for template in Template::ALL {
        for part in Part::ALL {
            if let Err(error) = environment.add_template_owned(name(template, part), template.shipped(part)) {
                tracing::error!(template = template.name(), %part, %error, "a shipped mail template is broken");
            }
        }
    }
    environment
});

/// The engine with no more in it than a mail needs. No filter or function here makes text larger or marks it as safe.
fn engine() -> Environment<'static> {
    let mut engine = Environment::empty();
    let plain = [Part::Subject, Part::Text].map(Part::suffix);
    engine.set_auto_escape_callback(move |name| match name.rsplit_once('.') {
        Some((_, suffix)) if plain.contains(&suffix) => AutoEscape::None,
        _ => AutoEscape::Html,
    });
    // Metadata that a user does not have prints as nothing, however deep.
    engine.set_undefined_behavior(UndefinedBehavior::Chainable);
    engine.set_fuel(Some(FUEL));
    engine.add_filter("default", filters::default);
    engine.add_filter("lower", filters::lower);
    engine.add_filter("upper", filters::upper);
    engine.add_filter("title", filters::title);
    engine.add_filter("trim", filters::trim);
    engine.add_filter("length", filters::length);
    engine.add_filter("urlencode", filters::urlencode);
    engine.add_test("defined", conditions::is_defined);
    engine
}

/// The name of a part in the engine.
fn name(template: Template, part: Part) -> String {
    format!("{}.{}", template.name(), part.suffix())
}

/// Puts a stored template over the shipped one, all of its parts or none.
fn with_stored(
    mut environment: Environment<'static>,
    template: Template,
    stored: &StoredTemplate,
) -> Result<Environment<'static>, TemplateError> {
    for part in Part::ALL {
        let Some(source) = stored.part(part) else { continue };
        if source.len() > LONGEST_SOURCE {
            return Err(TemplateError::Length(part));
        }
        let source = accept(source).map_err(|error| TemplateError::Syntax(part, error))?;
        let name = name(template, part);
        environment.add_template_owned(name.clone(), source).map_err(|error| {
            let reason = error.detail().unwrap_or("this is no template").to_owned();
            TemplateError::Syntax(part, SyntaxError { line: error.line().unwrap_or(1), reason })
        })?;
        let compiled = environment.get_template(&name).map_err(|error| broken(part, &error))?;
        let mut unknown = compiled.undeclared_variables(false).into_iter().collect::<Vec<_>>();
        unknown.retain(|name| !NAMES.contains(&name.as_str()));
        unknown.sort();
        if let Some(unknown) = unknown.into_iter().next() {
            return Err(TemplateError::Name(part, unknown));
        }
    }
    Ok(environment)
}

fn rendered(
    environment: &Environment<'_>,
    template: Template,
    values: &Value,
) -> Result<Rendered, TemplateError> {
    let subject = HeaderText::fitted(&part(environment, template, Part::Subject, values)?);
    if subject.as_str().is_empty() {
        return Err(TemplateError::EmptySubject);
    }
    let html = part(environment, template, Part::Html, values)?;
    let text = part(environment, template, Part::Text, values)?;
    Ok(Rendered { subject, html, text })
}

fn part(
    environment: &Environment<'_>,
    template: Template,
    part: Part,
    values: &Value,
) -> Result<String, TemplateError> {
    let compiled = environment.get_template(&name(template, part)).map_err(|error| broken(part, &error))?;
    let mut output = Output(Vec::new());
    compiled.render_captured_to(values, &mut output).map_err(|error| broken(part, &error))?;
    String::from_utf8(output.0).map_err(|error| TemplateError::Render(part, error.to_string()))
}

fn broken(part: Part, error: &minijinja::Error) -> TemplateError {
    let reason = match error.kind() {
        ErrorKind::OutOfFuel => "it takes too many steps".to_owned(),
        ErrorKind::WriteFailure => format!("it comes to more than {LONGEST_OUTPUT} bytes"),
        _ => error.to_string(),
    };
    TemplateError::Render(part, reason)
}

/// The error names parts and lines of a template, never a value that was printed.
fn left_out(template: Template, error: &TemplateError) {
    tracing::warn!(template = template.name(), %error, "a stored mail template cannot be used: the shipped one is");
}

/// Takes at most [`LONGEST_OUTPUT`] bytes.
struct Output(Vec<u8>);

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST_OUTPUT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
