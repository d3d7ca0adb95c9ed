//! Requests whose bytes leave a doubt about where they end are refused before hyper repairs them.

use http::StatusCode;

/// Why a request was refused on its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// 400, 431, 501 or 505.
    pub status: StatusCode,
    /// One plain line for the client, the access log and people, without a full stop.
    pub reason: &'static str,
}
