//! Balancing algorithms: pure picks among healthy targets.
