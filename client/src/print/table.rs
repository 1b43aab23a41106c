//! Tallies as tables that people can scan.

use std::fmt::Write;
use std::time::Duration;

use crate::answer::Answer;
use crate::console::{Colour, Tone};
use crate::load::Load;
use crate::tally::Tally;

/// Width of the bar that stands for all answers.
const BAR: usize = 24;

/// The connection of an answer, in a line.
pub(crate) fn link(answer: &Answer) -> String {
    let link = &answer.link;
    let mut line = format!("{} from {} to {}", answer.spoken, link.local, link.peer);
    if let Some(tls) = &link.tls {
        let alpn = if tls.alpn.is_empty() { "none" } else { &tls.alpn };
        let _ = write!(line, ", {}, ALPN {alpn}", tls.version);
    }
    format!("{line}, {}", millis(answer.latency))
}

/// A whole tally.
pub(crate) fn tally(tally: &Tally, load: &Load, colour: Colour) -> String {
    let mut text = summary(tally, load);
    section(&mut text, colour, backends(tally));
    if let Some(name) = &load.by_header {
        section(&mut text, colour, headers(tally, name.as_str()));
    }
    section(&mut text, colour, statuses(tally, colour));
    section(&mut text, colour, failures(tally, colour));
    section(&mut text, colour, latencies(tally));
    text
}

fn summary(tally: &Tally, load: &Load) -> String {
    let mut line = format!(
        "{} requests to {} in {:.2} s ({:.0}/s), {} connections",
        tally.requests,
        load.request.target,
        tally.elapsed.as_secs_f64(),
        tally.rate(),
        tally.connections,
    );
    if tally.resent > 0 {
        let _ = write!(line, ", {} sent again as the peer had not processed them", tally.resent);
    }
    line + "\n"
}

fn backends(tally: &Tally) -> Vec<Vec<String>> {
    let mut rows = vec![row(["POD", "SERVICE", "NAMESPACE", "COUNT", "SHARE"])];
    for (backend, count) in &tally.backends {
        let share = share(*count, tally.answers);
        rows.push(row([&backend.pod, &backend.service, &backend.namespace, &count.to_string(), &share]));
    }
    rows
}

fn headers(tally: &Tally, name: &str) -> Vec<Vec<String>> {
    let mut rows = vec![row([name, "COUNT", "SHARE"])];
    for (value, count) in &tally.headers {
        let value = value.as_deref().unwrap_or("(absent)");
        rows.push(row([value, &count.to_string(), &share(*count, tally.answers)]));
    }
    rows
}

fn statuses(tally: &Tally, colour: Colour) -> Vec<Vec<String>> {
    let mut rows = vec![row(["STATUS", "COUNT", "SHARE"])];
    for (status, count) in &tally.statuses {
        let tone = match status.as_bytes() {
            [b'1' | b'2', ..] | b"bytes" | b"grpc 0 OK" => Tone::Good,
            [b'3', ..] => Tone::Warning,
            _ => Tone::Bad,
        };
        // The last column may be coloured: nothing is aligned after it.
        rows.push(row([status, &count.to_string(), &colour.paint(tone, &share(*count, tally.answers))]));
    }
    rows
}

fn failures(tally: &Tally, colour: Colour) -> Vec<Vec<String>> {
    let mut rows = vec![row(["NO ANSWER", "COUNT", "FIRST"])];
    for (kind, count) in &tally.failures {
        let first = tally.examples.get(kind).map(ToString::to_string).unwrap_or_default();
        rows.push(row([kind.name(), &count.to_string(), &colour.paint(Tone::Bad, &first)]));
    }
    rows
}

fn latencies(tally: &Tally) -> Vec<Vec<String>> {
    let mut rows = vec![row(["LATENCY", "p50", "p99", "max"])];
    if tally.answers > 0 {
        let times = [tally.latencies.quantile(0.5), tally.latencies.quantile(0.99), tally.latencies.max()];
        let [p50, p99, max] = times.map(millis);
        rows.push(row(["", &p50, &p99, &max]));
    }
    rows
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

/// Adds a table after an empty line; one that has a heading alone is left out.
fn section(text: &mut String, colour: Colour, rows: Vec<Vec<String>>) {
    let [heading, body @ ..] = rows.as_slice() else { return };
    if body.is_empty() {
        return;
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..heading.len()).map(width).collect();
    let line = |row: &[String]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let _ = writeln!(text, "\n{}", colour.paint(Tone::Heading, &line(heading)));
    for row in body {
        let _ = writeln!(text, "{}", line(row));
    }
}

fn share(count: u64, all: u64) -> String {
    let share = count as f64 / all.max(1) as f64;
    let bar = "█".repeat((share * BAR as f64).round() as usize);
    format!("{:5.1}%  {bar}", share * 100.0)
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_micros() as f64 / 1000.0)
}
