//! The mails of auth: which there are, their templates, and rendering to [`kernel::mail::Mail`](crate::kernel::mail::Mail).
//!
//! `template.rs` names the mails and holds the shipped templates, `context.rs` what a template may say, `syntax.rs` which
//! template language is accepted, `renderer.rs` puts them together, `link.rs` makes the links that confirm.

mod context;
mod link;
mod renderer;
mod syntax;
mod template;

pub use context::MailContext;
pub use link::confirmation_url;
pub use renderer::{Rendered, StoredTemplate, TemplateError, Templates};
pub use syntax::SyntaxError;
pub use template::{Part, Template, UnknownTemplate};
