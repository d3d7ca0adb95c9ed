//! Active health checks: a pure state machine and the task that probes.
