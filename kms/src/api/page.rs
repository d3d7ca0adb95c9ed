//! Long lists, page by page: `Limit`, `Marker`, `NextMarker`, `Truncated`.

use base64ct::{Base64UrlUnpadded, Encoding};

use super::exception::Exception;

/// Which page is asked for.
pub(super) struct Page {
    limit: usize,
    /// The place of the last one of the page before.
    after: Option<String>,
}

/// A page of a list.
pub(super) struct Listed<T> {
    pub(super) items: Vec<T>,
    pub(super) next_marker: Option<String>,
}

impl<T> Listed<T> {
    pub(super) fn truncated(&self) -> bool {
        self.next_marker.is_some()
    }
}

impl Page {
    /// # Errors
    /// `InvalidMarkerException` for a marker that no answer had.
    pub(super) fn new(
        limit: Option<u32>,
        marker: Option<&str>,
        usual: u32,
    ) -> Result<Self, Exception> {
        Ok(Self {
            limit: usize::try_from(limit.unwrap_or(usual)).unwrap_or(usize::MAX),
            after: marker.map(place).transpose()?,
        })
    }

    /// The page of `items`; `place_of` says where each stands, and stays the same while others come and go.
    pub(super) fn of<T>(&self, mut items: Vec<T>, place_of: impl Fn(&T) -> String) -> Listed<T> {
        items.sort_by_cached_key(&place_of);
        if let Some(after) = &self.after {
            items.retain(|item| place_of(item) > *after);
        }
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let last = items.last().filter(|_| more).map(&place_of);
        Listed {
            next_marker: last.map(|place| Base64UrlUnpadded::encode_string(place.as_bytes())),
            items,
        }
    }
}

fn place(marker: &str) -> Result<String, Exception> {
    let bytes = Base64UrlUnpadded::decode_vec(marker).ok();
    let place = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    place.ok_or_else(|| Exception {
        code: "InvalidMarkerException",
        message: format!("`{marker}` is no `NextMarker` of an earlier answer"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: u32, marker: Option<&str>) -> Page {
        Page::new(Some(limit), marker, 50).unwrap()
    }

    #[test]
    fn pages_follow_each_other_while_items_come_and_go() {
        let items = ["c", "a", "b", "d"].map(str::to_owned);
        let first = page(2, None).of(items.to_vec(), String::clone);
        assert_eq!(
            (first.items.as_slice(), first.truncated()),
            (&["a", "b"].map(str::to_owned)[..], true)
        );
        let without_b = ["c", "a", "d", "aa"].map(str::to_owned).to_vec();
        let second = page(2, first.next_marker.as_deref()).of(without_b, String::clone);
        assert_eq!(second.items, ["c", "d"]);
        assert!(!second.truncated());
    }

    #[test]
    fn a_marker_of_nobody_is_refused() {
        let error = Page::new(None, Some("!"), 50).err().unwrap();
        assert_eq!(error.code, "InvalidMarkerException");
    }
}
