//! What commands print: tables and sentences for people, JSON for programs.
//!
//! Results go to standard output, everything else to standard error. Colour and fitting to a width
//! happen only on a terminal, so that what is piped stays whole and plain.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::failure::Failure;

/// For whom the output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: tables and sentences.
    Text,
    /// For programs.
    Json,
}

/// Where a command's results and remarks go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
    styled: bool,
    styled_remarks: bool,
}

impl Output {
    /// Output in `format`; colour where the stream is a terminal that should have any.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            styled: has_colour(&io::stdout()),
            styled_remarks: has_colour(&io::stderr()),
        }
    }

    /// For whom the output is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Shows a result: `value` to programs, what `text` makes of it to people.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn result<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&Self) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Text => self.print(&self.harmless(&text(self))),
            Format::Json => {
                let json = serde_json::to_string_pretty(value).map_err(Failure::failed)?;
                self.print(&json)
            }
        }
    }

    /// Writes `text` to standard output as it is, with a line end.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let ended = if text.ends_with('\n') { "" } else { "\n" };
        write!(out, "{text}{ended}")
            .and_then(|()| out.flush())
            .map_err(|error| Failure::output(&error))
    }

    /// Tells people something beside the result, on standard error; programs are not told.
    pub fn remark(&self, text: &str) {
        if self.format == Format::Text {
            // There is nowhere left to say that this cannot be said.
            let _ = writeln!(io::stderr(), "{}", plain(text));
        }
    }

    /// Tells people what they should see to.
    pub fn warning(&self, text: &str) {
        if self.format == Format::Text {
            let word = style(self.styled_remarks, YELLOW, "warning:");
            let _ = writeln!(io::stderr(), "{word} {}", plain(text));
        }
    }

    /// Tells why the command failed.
    pub fn failure(&self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        let text = match self.format {
            Format::Text => {
                let word = style(self.styled_remarks, RED, "error:");
                format!("{word} {}", plain(&failure.message))
            }
            Format::Json => failure.to_json().to_string(),
        };
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Whether what goes to standard error may have colour.
    pub fn colours_remarks(&self) -> bool {
        self.styled_remarks
    }

    /// Shows people the faults of a configuration, as they were rendered.
    pub fn diagnostics(&self, rendered: &str) {
        if self.format == Format::Text && !rendered.is_empty() {
            // There is nowhere left to say that this cannot be said.
            let _ = writeln!(io::stderr(), "{}", rendered.trim_end_matches('\n'));
        }
    }

    /// An invalid configuration, whose faults people have seen already.
    pub fn invalid(&self, faults: serde_json::Value) -> Failure {
        let message = match self.format {
            Format::Text => "",
            Format::Json => "the configuration is invalid",
        };
        Failure {
            status: 2,
            message: message.to_owned(),
            details: Some(faults),
            code: None,
        }
    }

    /// `text` with nothing that a terminal would obey but the styles that stand in results.
    fn harmless(&self, text: &str) -> String {
        if !self.styled {
            return plain(text);
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('\x1b') {
            let (before, from) = rest.split_at(at);
            let style = STYLES.iter().find(|style| from.starts_with(**style));
            let kept = style.map_or(0, |style| style.len());
            let escaped = if kept == 0 { 1 } else { 0 };
            out += &plain(before);
            out += &from[..kept];
            out += &plain(&from[kept..kept + escaped]);
            rest = &from[kept + escaped..];
        }
        out + &plain(rest)
    }

    /// `text` in bold on a terminal.
    pub fn bold(&self, text: &str) -> String {
        style(self.styled, BOLD, text)
    }

    /// A table with these column heads.
    pub fn table<const N: usize>(&self, heads: [&str; N]) -> Columns<N> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let head = |text| match self.styled {
            true => Cell::new(text).add_attribute(Attribute::Bold),
            false => Cell::new(text),
        };
        table.set_header(heads.map(head));
        // In a narrow one, columns of a few letters each would be harder to read than long lines.
        if io::stdout().is_terminal() && table.width().is_some_and(|width| width >= WIDE_ENOUGH) {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        if self.styled {
            table.enforce_styling();
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Columns {
            table,
            styled: self.styled,
        }
    }

    /// A bar on standard error for long work; silent for programs and where no terminal is.
    pub fn progress(&self, what: &'static str) -> ProgressBar {
        if self.format == Format::Json || !io::stderr().is_terminal() || is_dumb() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(0).with_message(what);
        if let Ok(look) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}") {
            bar.set_style(look);
        }
        bar
    }
}

/// A table of `N` columns under construction.
pub struct Columns<const N: usize> {
    table: Table,
    styled: bool,
}

impl<const N: usize> Columns<N> {
    /// Adds a row.
    pub fn row(&mut self, cells: [String; N]) {
        self.table
            .add_row(cells.map(|text| Cell::new(plain(&text))));
    }

    /// Adds a row that wants attention.
    pub fn alarming_row(&mut self, cells: [String; N]) {
        let styled = self.styled;
        self.table.add_row(cells.map(|text| {
            let cell = Cell::new(plain(&text));
            if styled { cell.fg(Color::Red) } else { cell }
        }));
    }

    /// The table as text.
    pub fn finish(self) -> String {
        self.table.trim_fmt()
    }
}

/// Whether `stream` is a terminal that should have colour: `NO_COLOR` is not set, and it is no
/// dumb one.
pub fn has_colour(stream: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    stream.is_terminal() && !refused && !is_dumb()
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// A number of things: `1 listener`, `2 entries`.
pub fn count<N: fmt::Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    if number == N::from(1) {
        return format!("{number} {noun}");
    }
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(VOWELS) => format!("{number} {stem}ies"),
        _ => format!("{number} {noun}s"),
    }
}

const VOWELS: [char; 5] = ['a', 'e', 'i', 'o', 'u'];

/// `text` without anything that a terminal would obey, and without what turns the direction of
/// writing: names in certificates and files are written by strangers. Line ends stay.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => out.push(character),
            c if c.is_control() => out.extend(c.escape_default()),
            c if DIRECTIONS.contains(&c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

fn style(styled: bool, code: &str, text: &str) -> String {
    if styled {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// What stands in a table or comes from [`style`]; red and bold as tables write them too.
const STYLES: [&str; 6] = [
    "\x1b[0m",
    "\x1b[1m",
    "\x1b[1;31m",
    "\x1b[1;33m",
    "\x1b[38;5;9m",
    "\x1b[39m",
];

/// Marks, embeddings, overrides and isolates (Unicode, annex 9).
const DIRECTIONS: [char; 12] = [
    '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

/// Columns of a terminal into which tables are fitted.
const WIDE_ENOUGH: u16 = 60;

const BOLD: &str = "1";
const RED: &str = "1;31";
const YELLOW: &str = "1;33";

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Output = Output {
        format: Format::Text,
        styled: false,
        styled_remarks: false,
    };

    #[test]
    fn tables_without_a_terminal_are_plain_and_whole() {
        let mut table = PLAIN.table(["NAME", "SERIAL"]);
        table.row(["shop.example.com".to_owned(), "ab".repeat(200)]);
        table.alarming_row(["x\x1b[31my".to_owned(), "1".to_owned()]);
        let text = table.finish();
        assert!(text.contains(&"ab".repeat(200)), "{text}");
        assert_eq!(text.lines().count(), 3);
        assert!(!text.contains('\x1b') && text.contains("x\\u{1b}[31my"));
    }

    #[test]
    fn strangers_do_not_steer_the_terminal() {
        assert_eq!(plain("a\r\x07b\nc"), "a\\r\\u{7}b\nc");
        assert_eq!(plain("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(PLAIN.harmless("\x1b[1mb\x1b[0m"), "\\u{1b}[1mb\\u{1b}[0m");
    }

    #[test]
    fn of_styles_only_our_own_reach_a_terminal() {
        let styled = Output {
            styled: true,
            ..PLAIN
        };
        let mut table = styled.table(["NAME"]);
        table.alarming_row(["x\x1b[31my".to_owned()]);
        let text = styled.bold("up") + "\n" + &table.finish();
        assert!(text.contains("\x1b["), "{text:?}");
        assert_eq!(styled.harmless(&text), text);
        assert_eq!(
            styled.harmless("a\x1b[2Jb\x1b[1mc\x1b]0;title\x07\x1b"),
            "a\\u{1b}[2Jb\x1b[1mc\\u{1b}]0;title\\u{7}\\u{1b}"
        );
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!(count(1_usize, "listener"), "1 listener");
        assert_eq!(count(0_u64, "target group"), "0 target groups");
        assert_eq!(count(2_u64, "entry"), "2 entries");
        assert_eq!(count(2_i64, "day"), "2 days");
    }
}
