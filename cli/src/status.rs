//! `portolan status`: listeners, routes, backends and filters of a running engine, with their numbers; or what a cluster
//! has of ours.

use crate::{
    admin::{Status, client},
    cluster,
    table::Table,
};
use anyhow::Result;
use clap::{Args, ValueEnum};
use portolan_telemetry::metrics::Summary;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

/// Shows a running engine.
#[derive(Args)]
#[command(after_help = "Exit codes: 0 it answered; 2 it did not.")]
pub struct StatusArgs {
    /// Show the Gateways, routes and filters of the cluster that the kubeconfig names
    #[arg(long, conflicts_with_all = ["admin", "state_dir", "gateway", "watch"])]
    cluster: bool,

    /// Ask a ready pod of this Gateway of the cluster that the kubeconfig names
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with_all = ["admin", "state_dir"])]
    gateway: Option<String>,

    /// Ask this admin port [default: that of the running `portolan dev`]
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,

    /// The state directory of the `portolan dev` to ask
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// Ask again every two seconds, and show rates
    #[arg(short, long)]
    watch: bool,

    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Time between two looks with --watch.
const EVERY: Duration = Duration::from_secs(2);
/// Time over which rates are taken without --watch.
const SAMPLE: Duration = Duration::from_millis(500);

/// Shows the status.
pub fn run(args: &StatusArgs) -> Result<ExitCode> {
    if args.cluster {
        return show_cluster(args.output);
    }
    client::block_on(async {
        let mut asked = Asked::of(args).await?;
        let mut before = asked.status().await?;
        if args.output == Output::Json {
            println!("{}", serde_json::to_string_pretty(&asked.json(&before)?)?);
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(SAMPLE).await;
        loop {
            let now = match asked.status().await {
                // The replica may have gone; its numbers say nothing about those of another one.
                Err(_) if args.watch && args.gateway.is_some() => {
                    asked = Asked::of(args).await?;
                    before = asked.status().await?;
                    before.clone()
                }
                now => now?,
            };
            if args.watch && std::io::IsTerminal::is_terminal(&std::io::stdout()) {
                print!("\x1b[H\x1b[2J");
            }
            if let Asked::Replica(replica) = &asked {
                println!("replica {replica}");
            }
            print!("{}", text(&before, &now));
            if !args.watch {
                return Ok(ExitCode::SUCCESS);
            }
            before = now;
            tokio::time::sleep(EVERY).await;
        }
    })
}

/// Who is asked.
enum Asked {
    Admin(SocketAddr),
    Replica(cluster::Replica),
}

impl Asked {
    async fn of(args: &StatusArgs) -> Result<Self> {
        Ok(match &args.gateway {
            Some(gateway) => Self::Replica(cluster::Replica::of(gateway).await?),
            None => Self::Admin(client::address(args.admin, args.state_dir.as_deref())?),
        })
    }

    /// A status, with who told it if that was chosen among several.
    fn json(&self, status: &Status) -> Result<serde_json::Value> {
        let mut json = serde_json::to_value(status)?;
        if let Self::Replica(replica) = self {
            json["replica"] = replica.name().into();
        }
        Ok(json)
    }

    async fn status(&self) -> Result<Status> {
        match self {
            Self::Admin(address) => client::get(*address, "/status").await,
            Self::Replica(replica) => replica.ask("/status").await,
        }
    }
}

fn show_cluster(output: Output) -> Result<ExitCode> {
    let overview = client::block_on(cluster::overview::overview())?;
    match output {
        Output::Text => print!("{overview}"),
        Output::Json => println!("{}", serde_json::to_string_pretty(&overview)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn text(before: &Status, now: &Status) -> String {
    let seconds = now.taken_ms.saturating_sub(before.taken_ms) as f64 / 1000.0;
    let mut out = format!("generation {}\n\n", now.generation);
    let mut ports = Table::new(["PARENT", "ADDRESS", "PROTOCOL", "RULES"]);
    for port in &now.ports {
        ports.row([port.parent.clone(), port.bind.to_string(), port.protocol.clone(), port.rules.to_string()]);
    }
    out.push_str(&ports.to_string());
    let mut routes = Table::new(["ROUTE", "RULE", "REQUESTS", "RATE", "ERRORS", "P50", "P99"]);
    for route in &now.routes {
        let label = |key: &str| route.labels.get(key).cloned().unwrap_or_else(|| "-".to_owned());
        let [rate, errors] = [rate(&before.routes, route, seconds), count(&now.route_errors, route).to_string()];
        let (name, rule) = (label("portolan.route"), label("portolan.rule"));
        routes.row([name, rule, route.value.to_string(), rate, errors, quantile(route.p50), quantile(route.p99)]);
    }
    push(&mut out, &routes);
    let mut backends = Table::new(["BACKEND", "ENDPOINTS", "EJECTED", "TRIES", "RATE", "ERRORS", "P50", "P99"]);
    for (name, (endpoints, ejected)) in &now.endpoints {
        let summary = now.backends.iter().find(|one| one.labels.get("portolan.backend") == Some(name));
        let (tries, errors) = summary.map_or((0, 0), |one| (one.value, count(&now.backend_errors, one)));
        let rate = summary.map_or_else(|| "-".to_owned(), |one| rate(&before.backends, one, seconds));
        let (p50, p99) = (summary.and_then(|one| one.p50), summary.and_then(|one| one.p99));
        let numbers = [endpoints.to_string(), ejected.to_string(), tries.to_string()];
        let [endpoints, ejected, tries] = numbers;
        backends.row([name.clone(), endpoints, ejected, tries, rate, errors.to_string(), quantile(p50), quantile(p99)]);
    }
    push(&mut out, &backends);
    let mut filters = Table::new(["FILTER", "CALLS", "FAILURES", "P50", "P99"]);
    for filter in &now.filters {
        let name = filter.labels.get("portolan.filter").cloned().unwrap_or_default();
        let failures = count(&now.filter_failures, filter).to_string();
        filters.row([name, filter.value.to_string(), failures, quantile(filter.p50), quantile(filter.p99)]);
    }
    push(&mut out, &filters);
    let mut limits = Table::new(["LIMIT", "REACHED"]);
    for limit in &now.limits {
        limits.row([limit.labels.get("portolan.limit").cloned().unwrap_or_default(), limit.value.to_string()]);
    }
    push(&mut out, &limits);
    now.problems.iter().for_each(|problem| out.push_str(&format!("problem: {problem}\n")));
    out
}

fn push(out: &mut String, table: &Table) {
    if !table.is_empty() {
        out.push_str(&format!("\n{table}"));
    }
}

/// The number of the series with the same labels in another list.
fn count(list: &[Summary], like: &Summary) -> i64 {
    list.iter().find(|one| one.labels == like.labels).map_or(0, |one| one.value)
}

fn rate(before: &[Summary], now: &Summary, seconds: f64) -> String {
    let more = now.value - count(before, now);
    if seconds > 0.0 { format!("{:.1}/s", more as f64 / seconds) } else { "-".to_owned() }
}

fn quantile(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 0.001 => format!("{:.0}µs", seconds * 1e6),
        Some(seconds) if seconds < 1.0 => format!("{:.1}ms", seconds * 1e3),
        Some(seconds) => format!("{seconds:.2}s"),
    }
}
