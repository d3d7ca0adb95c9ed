//! What commands print: tables and sentences for people, JSON for programs.
//!
//! Results go to standard output, everything else to standard error. Colour and fitting to a width
//! happen only on a terminal, so that what is piped stays whole and plain.

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
    /// Output in `format`; colour where the stream is a terminal and `NO_COLOR` is not set.
    pub fn new(format: Format) -> Self {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        Self {
            format,
            styled: colour && io::stdout().is_terminal(),
            styled_remarks: colour && io::stderr().is_terminal(),
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
            Format::Text => self.print(&text(self)),
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
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Tells people what they should see to.
    pub fn warning(&self, text: &str) {
        let word = style(self.styled_remarks, YELLOW, "warning:");
        self.remark(&format!("{word} {}", plain(text)));
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
            let _ = write!(io::stderr(), "{rendered}");
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
        }
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
        if io::stdout().is_terminal() {
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
        if self.format == Format::Json || !io::stderr().is_terminal() {
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

/// `text` without anything that a terminal would obey: names in certificates and files are written
/// by strangers. Line ends stay.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => out.push(character),
            c if c.is_control() => out.extend(c.escape_default()),
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
    }
}
