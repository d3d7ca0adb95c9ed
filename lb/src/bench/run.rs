//! A measurement of handshakes, from its first to its last connection.

use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::client::Profiles;
use super::crew::{Broken, Order, Progress, carry_out, part};
use super::exchange::Endpoint;
use super::plan::{InvalidPlan, Plan};
use super::report::Report;
use super::schedule::{Allowance, Pace};
use super::worker::Worker;

/// Carries out `plan`, calling `show` a few times per second. When `stop` is done before it, what is
/// open is brought to its end, and what there is gets reported.
///
/// # Errors
/// When the plan cannot be carried out. That connections fail is no error but a result.
pub async fn run(
    plan: Plan,
    stop: impl Future<Output = ()>,
    show: impl Fn(Progress),
) -> Result<Report, Broken> {
    let plan = plan.checked()?;
    let endpoint = Arc::new(endpoint(&plan));
    let duties: Result<_, _> = (0..plan.threads)
        .map(|index| worker(&plan, index, &endpoint))
        .collect();
    let order = Order {
        end: plan.end,
        pid: plan.pid,
    };
    let outcome = carry_out(order, duties?, stop, show).await?;
    Ok(Report::new(&plan, outcome))
}

/// What a thread is to do: its share of connections, of their number, and of their rate.
fn worker(plan: &Plan, index: usize, endpoint: &Arc<Endpoint>) -> Result<Worker, InvalidPlan> {
    let (threads, nth) = (plan.threads as u64, index as u64);
    let connections = part(plan.concurrency as u64, threads, nth) as usize;
    Ok(Worker {
        endpoint: endpoint.clone(),
        profiles: Profiles::new(&plan.offer, connections)?,
        connections,
        resume: plan.resume.fraction(),
        allowance: Allowance {
            quota: plan.end.count().map(|count| part(count, threads, nth)),
            pace: plan.rate.map(|rate| Pace::of(rate, threads, nth)),
        },
        shared: Arc::default(),
    })
}

fn endpoint(plan: &Plan) -> Endpoint {
    Endpoint {
        address: plan.address,
        server_name: plan.server_name.clone(),
        request: plan.request.as_ref().map(|path| request(path, plan)),
        timeout: plan.timeout,
    }
}

fn request(path: &str, plan: &Plan) -> Vec<u8> {
    let host = match &plan.server_name {
        ServerName::DnsName(name) => name.as_ref().to_owned(),
        _ => plan.address.to_string(),
    };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n",
    )
    .into_bytes()
}

/// How the load generator calls itself.
pub(super) const USER_AGENT: &str = concat!("sealgate-bench/", env!("CARGO_PKG_VERSION"));
