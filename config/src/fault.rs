//! One thing that is wrong with a document, as long as its place is a span.

use crate::span::Span;

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The document is refused.
    Error,
    /// The document is accepted; it probably does not do what was meant.
    Warning,
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub(crate) severity: Severity,
    /// None: not known yet; the reader fills it in.
    pub(crate) span: Option<Span>,
    pub(crate) message: String,
    pub(crate) found: Option<String>,
    pub(crate) allowed: Option<String>,
    pub(crate) hint: Option<String>,
    /// Another place that has to do with it, and what it has to do with it.
    pub(crate) related: Option<(Span, &'static str)>,
}

impl Fault {
    /// Something for which the document is refused.
    pub(crate) fn error(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, Some(span), message.into())
    }

    /// Something that was probably not meant.
    pub(crate) fn warning(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, Some(span), message.into())
    }

    /// An error whose place is filled in later.
    pub(crate) fn somewhere(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, None, message.into())
    }

    /// Says what stands there.
    pub(crate) fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    /// Says what may stand there.
    pub(crate) fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    /// Says what to do, if there is something to say.
    pub(crate) fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Names another place.
    pub(crate) fn related(mut self, span: Span, label: &'static str) -> Self {
        self.related = Some((span, label));
        self
    }

    fn new(severity: Severity, span: Option<Span>, message: String) -> Self {
        Self {
            severity,
            span,
            message,
            found: None,
            allowed: None,
            hint: None,
            related: None,
        }
    }
}

/// Adds a fault, unless there are so many that nobody will read this one.
pub(crate) fn push(faults: &mut Vec<Fault>, fault: Fault) {
    if faults.len() < MOST {
        faults.push(fault);
    }
}

/// Bounds the memory that a large file of nonsense takes.
const MOST: usize = 100_000;
