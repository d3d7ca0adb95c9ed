//! The events of a YAML text with their places, by `saphyr-parser`.

use saphyr_parser::{Event as Raw, Marker, Parser, ScalarStyle, ScanError, Span as RawSpan};

use super::MAX_DEPTH;
use crate::fault::{self, Fault};
use crate::span::Span;

/// What stands at a place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub(super) span: Span,
    pub(super) kind: EventKind,
}

/// Kinds of events.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum EventKind {
    Scalar { text: String, plain: bool },
    ListStart,
    ListEnd,
    MapStart,
    MapEnd,
}

/// All events of the one document in `text`, and what in it is refused. The first place where the
/// text is no YAML is the last that is looked at.
pub(super) fn scan(text: &str) -> (Vec<Event>, Vec<Fault>) {
    let mut scan = Scan {
        offsets: Offsets::new(text),
        events: Vec::new(),
        faults: Vec::new(),
        documents: 0,
        depth: 0,
        ended: false,
    };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => scan.take(event, span),
            Err(error) => {
                let at = scan.offsets.byte(*error.marker());
                scan.end(syntax_fault(text, at, &error));
            }
        }
        if scan.ended {
            break;
        }
    }
    if scan.is_empty() {
        scan.end(
            Fault::error(Span::default(), "the document is empty")
                .hint("`sealgate init` writes a file to start from".to_owned()),
        );
    }
    (scan.events, scan.faults)
}

struct Scan<'a> {
    offsets: Offsets<'a>,
    events: Vec<Event>,
    faults: Vec<Fault>,
    documents: usize,
    depth: usize,
    /// Whether the rest is not worth a look.
    ended: bool,
}

impl Scan<'_> {
    fn take(&mut self, event: Raw<'_>, raw: RawSpan) {
        let span = self.offsets.span(raw);
        match event {
            Raw::DocumentStart(_) => self.document(span),
            Raw::Alias(_) => self.anchored(span, true),
            Raw::Scalar(text, style, anchor, tag) => {
                self.refuse_extras(span, anchor, tag.is_some());
                let plain = style == ScalarStyle::Plain;
                let text = text.into_owned();
                self.push(span, EventKind::Scalar { text, plain });
            }
            Raw::SequenceStart(anchor, tag) => {
                self.refuse_extras(span, anchor, tag.is_some());
                self.open(span, EventKind::ListStart);
            }
            Raw::MappingStart(anchor, tag) => {
                self.refuse_extras(span, anchor, tag.is_some());
                self.open(span, EventKind::MapStart);
            }
            Raw::SequenceEnd => self.close(span, EventKind::ListEnd),
            Raw::MappingEnd => self.close(span, EventKind::MapEnd),
            Raw::Nothing | Raw::StreamStart | Raw::StreamEnd | Raw::DocumentEnd => {}
        }
    }

    fn document(&mut self, span: Span) {
        self.documents += 1;
        if self.documents > 1 {
            let hint = "a file holds one document: remove this `---`".to_owned();
            self.end(Fault::error(span, "more than one document").hint(hint));
        }
    }

    fn open(&mut self, span: Span, kind: EventKind) {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let allowed = format!("{MAX_DEPTH} lists and mappings inside of each other");
            self.end(Fault::error(span, "nested too deeply").allowed(allowed));
        }
        self.push(span, kind);
    }

    fn end(&mut self, fault: Fault) {
        self.faults.push(fault);
        self.ended = true;
    }

    fn close(&mut self, span: Span, kind: EventKind) {
        self.depth = self.depth.saturating_sub(1);
        self.push(span, kind);
    }

    fn refuse_extras(&mut self, span: Span, anchor: usize, tagged: bool) {
        if anchor != 0 {
            self.anchored(span, false);
        }
        if tagged {
            let hint = "remove the word that begins with `!`, or write the value in quotes";
            let fault = Fault::error(span, "tags are not supported");
            fault::push(&mut self.faults, fault.hint(hint.to_owned()));
        }
    }

    fn anchored(&mut self, span: Span, alias: bool) {
        let hint = if alias {
            "a `*` begins an alias in YAML: write the value in quotes, or repeat what is meant"
        } else {
            "a `&` begins an anchor in YAML: write the value in quotes, or remove the anchor; \
             what groups and listeners share stands in `defaults`"
        };
        let fault = Fault::error(span, "anchors and aliases are not supported");
        fault::push(&mut self.faults, fault.hint(hint.to_owned()));
    }

    fn push(&mut self, span: Span, kind: EventKind) {
        self.events.push(Event { span, kind });
    }

    /// Whether nothing stands in the text, or nothing but a bare `---`.
    fn is_empty(&self) -> bool {
        let nothing = |event: &Event| {
            matches!(&event.kind, EventKind::Scalar { text, plain: true } if text.is_empty() || text == "~")
                && event.span.start == event.span.end
        };
        self.faults.is_empty() && self.events.first().is_none_or(nothing)
    }
}

/// Where the text stops being YAML, and what is probably the matter.
fn syntax_fault(text: &str, at: usize, error: &ScanError) -> Fault {
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next().unwrap_or_default();
    Fault::error(Span::new(at, at), format!("not YAML: {}", error.info()))
        .hint(syntax_hint(line, error.info()))
}

/// What usually leads to a syntax error in such a line.
fn syntax_hint(line: &str, info: &str) -> Option<String> {
    let value = line.split_once(':').map_or(line, |(_, value)| value).trim();
    let hint = if line.trim_start_matches(' ').starts_with('\t') || info.contains("tabs") {
        "YAML is indented with spaces, never with tabs"
    } else if info.contains("anchor")
        || info.contains("alias")
        || value.starts_with(['%', '@', '`'])
    {
        "a value that begins with such a character is written in quotes: `\"*.example.com\"`"
    } else if line.contains("[::") || value.starts_with("[:") {
        "an address with brackets is written in quotes: `\"[::]:443\"`"
    } else if info.contains("quote")
        || info.contains("end of stream")
        || info.contains("flow")
        || info.contains("placement")
    {
        "a quote or bracket that is opened here or above is not closed"
    } else if info.contains("expected key") || !value.contains(':') && info.contains("not allowed")
    {
        "keys of one mapping begin in the same column: is this line indented too far, or not enough?"
    } else if value.contains(": ") || value.ends_with(':') {
        "a value with a `:` before a space or at its end is written in quotes"
    } else {
        return None;
    };
    Some(hint.to_owned())
}

/// Characters to bytes: the parser counts characters. Asked for places near the last one, as the
/// parser does, each answer costs the way between the two.
struct Offsets<'a> {
    text: &'a str,
    characters: usize,
    bytes: usize,
}

impl<'a> Offsets<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            characters: 0,
            bytes: 0,
        }
    }

    fn span(&mut self, raw: RawSpan) -> Span {
        let start = self.byte(raw.start);
        Span::new(start, self.byte(raw.end))
    }

    fn byte(&mut self, marker: Marker) -> usize {
        while self.characters < marker.index() {
            let Some(next) = self.text[self.bytes..].chars().next() else {
                break;
            };
            self.characters += 1;
            self.bytes += next.len_utf8();
        }
        while self.characters > marker.index() {
            let Some(last) = self.text[..self.bytes].chars().next_back() else {
                break;
            };
            self.characters -= 1;
            self.bytes -= last.len_utf8();
        }
        self.bytes
    }
}
