//! Metrics that Wasm filters define themselves, and the limits that they reached, as Prometheus text. Names are a guest's
//! own text, so they are labels, never metric names.

use portolan_wasm::{MetricValue, Shared};
use std::fmt::Write;

/// Reads the number of one kind of line.
type Read = fn(&MetricValue) -> Option<i128>;

/// What follows the engine's own metrics.
pub fn prometheus(shared: &Shared) -> String {
    let mut out = String::new();
    let metrics = shared.metrics();
    let kinds: [(&str, &str, Read); 4] = [
        ("portolan_filter_user_counter_total", "counter", counter),
        ("portolan_filter_user_gauge", "gauge", gauge),
        ("portolan_filter_user_histogram_count", "counter", histogram_count),
        ("portolan_filter_user_histogram_sum", "counter", histogram_sum),
    ];
    for (name, kind, read) in kinds {
        let lines = metrics.iter().filter_map(|metric| {
            let labels = format!("filter=\"{}\",name=\"{}\"", escaped(&metric.filter), escaped(&metric.name));
            Some(format!("{name}{{{labels}}} {}\n", read(&metric.value)?))
        });
        family(&mut out, name, kind, "Defined by a Wasm filter.", lines);
    }
    let stats = shared.stats();
    let limits = stats.iter().flat_map(|(filter, stats)| {
        stats.limits_reached.iter().map(move |(limit, count)| {
            let labels = format!("filter=\"{}\",limit=\"{}\"", escaped(filter), limit.name());
            format!("portolan_filter_limit_reached_total{{{labels}}} {count}\n")
        })
    });
    family(&mut out, "portolan_filter_limit_reached_total", "counter", "A filter reached a limit.", limits);
    out
}

fn family(out: &mut String, name: &str, kind: &str, help: &str, lines: impl Iterator<Item = String>) {
    let lines: String = lines.collect();
    if !lines.is_empty() {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}");
    }
}

fn counter(value: &MetricValue) -> Option<i128> {
    match value {
        MetricValue::Counter(count) => Some((*count).into()),
        _ => None,
    }
}

fn gauge(value: &MetricValue) -> Option<i128> {
    match value {
        MetricValue::Gauge(value) => Some((*value).into()),
        _ => None,
    }
}

fn histogram_count(value: &MetricValue) -> Option<i128> {
    match value {
        MetricValue::Histogram { count, .. } => Some((*count).into()),
        _ => None,
    }
}

fn histogram_sum(value: &MetricValue) -> Option<i128> {
    match value {
        MetricValue::Histogram { sum, .. } => Some((*sum).into()),
        _ => None,
    }
}

/// A label's value: backslash, quote and line feed are escaped.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_text_cannot_break_a_line() {
        assert_eq!(escaped("a\"} 1\nb\\"), "a\\\"} 1\\nb\\\\");
    }

    #[test]
    fn without_filters_there_is_nothing_to_say() {
        assert_eq!(prometheus(&Shared::default()), "");
    }
}
