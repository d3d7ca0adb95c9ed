//! Requests over connections that stay open: HTTP/1.1 (RFC 9112) and HTTP/2 (RFC 9113), with TLS or
//! without.

mod dial;
mod lane;
mod patience;
mod plan;
mod report;
mod tally;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;

pub use plan::{HttpPlan, Protocol, RequestPlan, TlsPlan};
pub use report::{HttpReport, Requests};

use rustls::client::Resumption;

use super::client::client_config;
use super::crew::{Broken, Order, Progress, carry_out, part};
use super::schedule::{Allowance, Pace};
use worker::HttpWorker;

/// Carries out `plan`, calling `show` a few times per second. All connections are opened before the
/// clock starts. When `stop` is done before it, requests under way are brought to their end, and
/// what there is gets reported.
///
/// # Errors
/// When the plan cannot be carried out. That requests fail is no error but a result.
pub async fn run(
    plan: HttpPlan,
    stop: impl Future<Output = ()>,
    show: impl Fn(Progress),
) -> Result<HttpReport, Broken> {
    let plan = Arc::new(plan.checked()?);
    let order = Order {
        end: plan.end,
        pid: plan.pid,
    };
    let outcome = carry_out(order, duties(&plan)?, stop, show).await?;
    Ok(HttpReport::new(&plan, outcome))
}

/// For each thread its share of connections, of their requests, and of their rate.
fn duties(plan: &Arc<HttpPlan>) -> Result<Vec<HttpWorker>, Broken> {
    let template = plan.template()?;
    let config = plan.tls.as_ref().map(|tls| client_config(&tls.offer));
    let config = config.transpose()?.map(|mut config| {
        // Every connection is a stranger's, so that servers with and without tickets compare.
        config.resumption = Resumption::disabled();
        Arc::new(config)
    });
    let threads = plan.threads as u64;
    let duty = |nth| HttpWorker {
        plan: plan.clone(),
        template: template.clone(),
        config: config.clone(),
        connections: part(plan.connections as u64, threads, nth) as usize,
        allowance: Allowance {
            quota: plan.end.count().map(|count| part(count, threads, nth)),
            pace: plan.rate.map(|rate| Pace::of(rate, threads, nth)),
        },
        shared: Arc::default(),
    };
    Ok((0..threads).map(duty).collect())
}
