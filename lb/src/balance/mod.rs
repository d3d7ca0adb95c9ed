//! Which target a request goes to: pure picks among those that may be asked.
//!
//! Health does not come up here: a group keeps a list of the targets that may be asked, and makes a new
//! one whenever a target's health changes, so that a request never looks at it.

mod least_outstanding;
mod round_robin;

pub use least_outstanding::fewest;
pub use round_robin::{schedule, turn};
