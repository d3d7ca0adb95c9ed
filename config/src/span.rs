//! Places in a text.

/// From one byte of the text up to, not including, another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// From `start` up to `end`, both below 4 GiB.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let narrow = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
        Self {
            start: narrow(start),
            end: narrow(end.max(start)),
        }
    }

    /// From the start of this one to the end of `last`.
    pub(crate) fn to(self, last: Self) -> Self {
        Self {
            start: self.start,
            end: last.end.max(self.start),
        }
    }
}

/// A text with its name and the places where its lines begin.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
    line_starts: Vec<usize>,
}

impl Source {
    /// The text of the file `name`.
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(newline, _)| newline + 1))
            .collect();
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            line_starts,
        }
    }

    /// Line and column of a byte, both from 1; columns count characters.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let offset = self.boundary(offset);
        let line = self.line_of(offset);
        let column = self.text[self.line_starts[line]..offset].chars().count();
        (line + 1, column + 1)
    }

    /// The line that holds a byte: its number from 1, the byte where it begins, and its text.
    pub(crate) fn line(&self, offset: usize) -> (usize, usize, &str) {
        let line = self.line_of(self.boundary(offset));
        let start = self.line_starts[line];
        let end = self
            .line_starts
            .get(line + 1)
            .map_or(self.text.len(), |next| next - 1);
        (
            line + 1,
            start,
            self.text[start..end].trim_end_matches('\r'),
        )
    }

    fn line_of(&self, offset: usize) -> usize {
        self.line_starts
            .partition_point(|start| *start <= offset)
            .saturating_sub(1)
    }

    /// The nearest place at or before `offset` that is no middle of a character.
    fn boundary(&self, offset: usize) -> usize {
        self.text.floor_char_boundary(offset.min(self.text.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let source = Source::new("f", "äb\r\ncd\n");
        assert_eq!(source.position(2), (1, 2));
        assert_eq!(source.position(1), (1, 1), "inside of a character");
        assert_eq!(source.position(6), (2, 2));
        assert_eq!(source.position(99), (3, 1));
        assert_eq!(source.line(0), (1, 0, "äb"));
        assert_eq!(source.line(6), (2, 5, "cd"));
    }
}
