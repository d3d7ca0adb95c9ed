//! Faults for people and for programs.

use std::fmt::{self, Display};
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use crate::fault::Fault;
pub use crate::fault::Severity;
use crate::span::{Source, Span};
use crate::yaml::{self, Node};

/// Something wrong in a document: what, where, what was found, what is allowed and what to do.
///
/// As JSON it has the fields `severity`, `file`, `line`, `column`, `path`, `message`, `found`,
/// `allowed` and `hint`; the last three may be null.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnostic {
    /// Whether the document is refused for it.
    pub severity: Severity,
    /// The document's name.
    pub file: String,
    /// From 1; 0: the file could not be read at all.
    pub line: usize,
    /// In characters, from 1; 0 as for `line`.
    pub column: usize,
    /// The keys that lead there: `target_groups.api.health_check.interval`; empty for the whole document.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What stands there.
    pub found: Option<String>,
    /// What may stand there.
    pub allowed: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    #[serde(skip)]
    place: Option<Place>,
}

/// What a snippet is made of.
#[derive(Debug, Clone)]
struct Place {
    source: Arc<Source>,
    span: Span,
    related: Option<(Span, &'static str)>,
}

/// Everything that is wrong in a document, in its order; at least one is an error.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// The single ones, in the order of the document.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// How many of them are errors.
    pub fn errors(&self) -> usize {
        self.0
            .iter()
            .filter(|each| each.severity == Severity::Error)
            .count()
    }

    /// All of them for people, with the lines they are about, and their number.
    pub fn render(&self, colour: bool) -> String {
        let mut text = render(&self.0, colour);
        text.push_str(&self.summary());
        text
    }

    /// All of them for programs: an array of objects (see [`Diagnostic`]).
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a diagnostic is text and numbers")
    }

    /// A file that could not be read.
    pub(crate) fn unreadable(file: &str, message: String, hint: Option<String>) -> Self {
        Self(vec![Diagnostic {
            severity: Severity::Error,
            file: file.to_owned(),
            line: 0,
            column: 0,
            path: String::new(),
            message,
            found: None,
            allowed: None,
            hint,
            place: None,
        }])
    }

    pub(crate) fn new(list: Vec<Diagnostic>) -> Self {
        Self(list)
    }

    fn summary(&self) -> String {
        let file = self.0.first().map_or("", |first| first.file.as_str());
        let errors = self.errors();
        let warnings = self.0.len() - errors;
        let plural = |number: usize| if number == 1 { "" } else { "s" };
        let mut summary = format!("{file}: {errors} error{}", plural(errors));
        if warnings > 0 {
            summary.push_str(&format!(", {warnings} warning{}", plural(warnings)));
        }
        summary
    }
}

impl std::error::Error for Diagnostics {}

impl Display for Diagnostics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(false))
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Diagnostics for people, such as the warnings of a document that is accepted. Each ends with an
/// empty line.
pub fn render(diagnostics: &[Diagnostic], colour: bool) -> String {
    diagnostics
        .iter()
        .map(|each| each.render(colour) + "\n\n")
        .collect()
}

impl Diagnostic {
    /// For people, with the lines it is about.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let report = self.place.as_ref().map_or_else(
            || self.group().element(Origin::path(self.file.as_str())),
            |place| self.snippets(place),
        );
        renderer
            .decor_style(DecorStyle::Ascii)
            .render(&[self.notes(report)])
    }

    /// The faults of one text, in its order, each once.
    pub(crate) fn all(
        mut faults: Vec<Fault>,
        source: &Arc<Source>,
        tree: Option<&Node>,
    ) -> Vec<Self> {
        faults.sort_by(|a, b| (a.span, &a.message).cmp(&(b.span, &b.message)));
        faults.dedup();
        faults
            .into_iter()
            .map(|fault| Self::new(fault, source, tree))
            .collect()
    }

    fn new(fault: Fault, source: &Arc<Source>, tree: Option<&Node>) -> Self {
        let span = fault.span.unwrap_or_default();
        let (line, column) = source.position(span.start as usize);
        Self {
            severity: fault.severity,
            file: source.name.clone(),
            line,
            column,
            path: tree.map(|tree| yaml::path(tree, span)).unwrap_or_default(),
            message: fault.message,
            found: fault.found,
            allowed: fault.allowed,
            hint: fault.hint,
            place: Some(Place {
                source: Arc::clone(source),
                span,
                related: fault.related,
            }),
        }
    }

    fn group(&self) -> Group<'_> {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        Group::with_title(level.primary_title(self.message.as_str()))
    }

    /// The lines it is about. Very long ones are left out: only the place is named.
    fn snippets<'a>(&'a self, place: &'a Place) -> Group<'a> {
        let primary = Line::of(&place.source, place.span);
        let group = self.group();
        if primary.text.len() > LONGEST_LINE {
            let origin = Origin::path(self.file.as_str());
            return group.element(origin.line(self.line).char_column(self.column));
        }
        let label = self.found.as_ref().map(|found| format!("found {found}"));
        let snippet = primary.snippet(&self.file);
        let mut snippet = snippet.annotation(
            AnnotationKind::Primary
                .span(primary.range.clone())
                .label(label),
        );
        let related = place
            .related
            .map(|(span, label)| (Line::of(&place.source, span), label));
        match related {
            Some((line, label)) if line.number == primary.number => {
                snippet = snippet.annotation(AnnotationKind::Context.span(line.range).label(label));
                group.element(snippet)
            }
            Some((line, label)) if line.text.len() <= LONGEST_LINE => {
                let context = AnnotationKind::Context
                    .span(line.range.clone())
                    .label(label);
                group
                    .element(snippet)
                    .element(line.snippet(&self.file).annotation(context))
            }
            _ => group.element(snippet),
        }
    }

    fn notes<'a>(&'a self, mut group: Group<'a>) -> Group<'a> {
        if !self.path.is_empty() {
            group = group.element(Level::NOTE.with_name("at").message(self.path.as_str()));
        }
        if let Some(allowed) = &self.allowed {
            group = group.element(Level::NOTE.with_name("allowed").message(allowed.as_str()));
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        group
    }
}

/// One line of a source, and the part of it that is meant.
struct Line<'a> {
    number: usize,
    text: &'a str,
    range: Range<usize>,
}

impl<'a> Line<'a> {
    /// The line on which `span` begins, and the part of the span that stands on it.
    fn of(source: &'a Source, span: Span) -> Self {
        let (number, begin, text) = source.line(span.start as usize);
        let start = text.floor_char_boundary((span.start as usize).saturating_sub(begin));
        let end = text.floor_char_boundary((span.end as usize).saturating_sub(begin));
        Self {
            number,
            text,
            range: start..end.max(start),
        }
    }

    fn snippet<T: Clone>(&self, file: &'a str) -> Snippet<'a, T> {
        Snippet::source(self.text)
            .line_start(self.number)
            .path(file)
    }
}

/// Bytes of a line that is still shown.
const LONGEST_LINE: usize = 1_000;
