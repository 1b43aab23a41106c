//! `portolan explain`: which route a request would take, and why the others lost.

use crate::{
    admin::{client, explained},
    check, cluster,
};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use portolan_proxy::explain::{Explanation, Question};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

/// Which route a request would take.
#[derive(Args)]
#[command(after_help = "Exit codes: 0 a rule takes the request; 1 none does; 2 wrong use.\n\n\
    Examples:\n  portolan explain ./manifests GET http://shop.example.com/cart\n  \
    portolan explain --gateway infra/web GET https://shop.example.com/ -H 'x-version: 2'")]
pub struct ExplainArgs {
    /// [DIR] [METHOD] URL: a directory of manifests (without one, the running `portolan dev` is asked), and the request
    #[arg(required = true, num_args = 1..=3, value_name = "[DIR] [METHOD] URL")]
    words: Vec<String>,

    /// Ask this admin port
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,

    /// Ask the running gateway of this Gateway of a cluster
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "admin")]
    gateway: Option<String>,

    /// A request header. May be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,

    /// The namespace that the client belongs to
    #[arg(long, value_name = "NAMESPACE")]
    from: Option<String>,

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

/// Explains a request.
pub fn run(args: &ExplainArgs) -> Result<ExitCode> {
    let (directory, question) = question(args)?;
    let explanation = match directory {
        Some(directory) => {
            anyhow::ensure!(directory.exists(), "{} does not exist", directory.display());
            let (_, translation) = check::translated(directory)?;
            explained(&translation.snapshot, &translation.statuses, &question)?
        }
        None => ask(args, &question)?,
    };
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&explanation)?),
        Output::Text => print!("{}", text(&explanation)),
    }
    Ok(if explanation.winner.is_some() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The words by their form: a URL has a scheme, a method is upper case, anything else is a directory.
fn question(args: &ExplainArgs) -> Result<(Option<PathBuf>, Question)> {
    let mut question = Question { from: args.from.clone(), ..Question::default() };
    let mut directory = None;
    for word in &args.words {
        if word.contains("://") {
            question.url = word.clone();
        } else if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase()) {
            question.method = word.clone();
        } else {
            directory = Some(PathBuf::from(word));
        }
    }
    if question.url.is_empty() {
        bail!("name a URL with its scheme, such as http://shop.example.com/cart");
    }
    for header in &args.headers {
        let (name, value) =
            header.split_once(':').with_context(|| format!("{header:?} has not the form NAME: VALUE"))?;
        question.headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Ok((directory, question))
}

fn ask(args: &ExplainArgs, question: &Question) -> Result<Explanation> {
    let mut query = format!("/explain?method={}&url={}", encoded(&question.method), encoded(&question.url));
    for (name, value) in &question.headers {
        query.push_str(&format!("&header={}", encoded(&format!("{name}: {value}"))));
    }
    if let Some(from) = &question.from {
        query.push_str(&format!("&from={}", encoded(from)));
    }
    match &args.gateway {
        Some(gateway) => client::block_on(async { cluster::Replica::of(gateway).await?.ask(&query).await }),
        None => client::block_on(client::get(client::address(args.admin, None)?, &query)),
    }
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// An explanation for people.
fn text(explanation: &Explanation) -> String {
    let mut out = format!("{}\n", explanation.request);
    let mut line = |name: &str, value: &str| out.push_str(&format!("  {name:<10}{value}\n"));
    if let (Some(parent), Some(bind)) = (&explanation.parent, explanation.bind) {
        line("port", &format!("{bind} of {parent}"));
    }
    if let (Some(listener), Some(hostname)) = (&explanation.listener, &explanation.listener_hostname) {
        line("listener", &format!("{listener} (hostname {hostname})"));
    }
    if let Some(winner) = &explanation.winner {
        line("wins", &format!("{} ({} {})", winner.rule, winner.hostname, winner.path));
    }
    line("outcome", &explanation.outcome);
    for filter in &explanation.filters {
        line("filter", filter);
    }
    for backend in &explanation.backends {
        let endpoints: Vec<String> = backend.endpoints.iter().map(ToString::to_string).collect();
        let endpoints = match (&backend.invalid, endpoints.is_empty()) {
            (Some(invalid), _) => invalid.clone(),
            (None, true) => "no endpoint: 503".to_owned(),
            (None, false) => endpoints.join(", "),
        };
        line("backend", &format!("{} {}% → {endpoints}", backend.backend, backend.percent));
    }
    for loser in &explanation.runners_up {
        line("lost", &format!("{} ({} {}): {}", loser.rule, loser.hostname, loser.path, loser.lost));
    }
    for rejected in &explanation.not_accepted {
        line("rejected", rejected);
    }
    out
}
