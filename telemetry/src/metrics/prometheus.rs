//! The Prometheus text exposition, format 0.0.4, with names by OpenTelemetry's mapping
//! (<https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>). Never fails.

use std::fmt::{self, Write as _};

use super::instrument::Unit;
use super::snapshot::{Distribution, Family, Reading, Snapshot};
use crate::attributes::Labels;

/// What a series takes up in the text, roughly.
const SERIES_BYTES_GUESS: usize = 512;

/// Text whose backslashes, quotes and line feeds are escaped as a label's value requires.
struct Escaped<'a>(&'a str);

/// A dotted name as Prometheus spells it.
struct Name<'a>(&'a str);

/// The text of a snapshot.
pub(super) fn render(snapshot: &Snapshot) -> String {
    let series: usize = snapshot.families.iter().map(|family| family.series.len()).sum();
    let mut text = String::with_capacity(series * SERIES_BYTES_GUESS);
    for family in &snapshot.families {
        // Writing to a String cannot fail.
        let _ = render_family(&mut text, family);
    }
    text
}

/// The name under which Prometheus sees a metric.
#[must_use]
pub fn prometheus_name(family: &Family) -> String {
    let suffix = match family.unit {
        Unit::Seconds => "_seconds",
        Unit::Bytes => "_bytes",
        Unit::Count(_) => "",
    };
    let total = if prometheus_type(family) == "counter" { "_total" } else { "" };
    format!("{}{suffix}{total}", Name(family.name))
}

fn prometheus_type(family: &Family) -> &'static str {
    match family.series.first().map(|series| &series.reading) {
        Some(Reading::Counter(_)) => "counter",
        Some(Reading::UpDown(_) | Reading::Gauge(_)) => "gauge",
        Some(Reading::Histogram(_)) => "histogram",
        None => "untyped",
    }
}

fn render_family(text: &mut String, family: &Family) -> fmt::Result {
    let name = prometheus_name(family);
    writeln!(text, "# HELP {name} {}", family.help.replace('\\', "\\\\").replace('\n', "\\n"))?;
    writeln!(text, "# TYPE {name} {}", prometheus_type(family))?;
    for series in &family.series {
        match &series.reading {
            Reading::Counter(value) => sample(text, &name, &series.labels, &value)?,
            Reading::UpDown(value) | Reading::Gauge(value) => sample(text, &name, &series.labels, &value)?,
            Reading::Histogram(values) => render_histogram(text, &name, &series.labels, values)?,
        }
    }
    Ok(())
}

fn render_histogram(text: &mut String, name: &str, labels: &Labels, values: &Distribution) -> fmt::Result {
    let mut shared = String::new();
    write_labels(&mut shared, labels)?;
    let comma = if shared.is_empty() { "" } else { "," };
    for (bound, count) in values.cumulative() {
        writeln!(text, "{name}_bucket{{{shared}{comma}le=\"{bound}\"}} {count}")?;
    }
    writeln!(text, "{name}_bucket{{{shared}{comma}le=\"+Inf\"}} {}", values.count())?;
    sample(text, &format!("{name}_sum"), labels, &values.sum())?;
    sample(text, &format!("{name}_count"), labels, &values.count())
}

fn sample(text: &mut String, name: &str, labels: &Labels, value: &dyn fmt::Display) -> fmt::Result {
    text.write_str(name)?;
    if !labels.is_empty() {
        text.write_char('{')?;
        write_labels(text, labels)?;
        text.write_char('}')?;
    }
    writeln!(text, " {value}")
}

fn write_labels(text: &mut String, labels: &Labels) -> fmt::Result {
    for (index, (key, value)) in labels.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(text, "{comma}{}=\"", Name(key))?;
        match value.as_str() {
            Some(value) => write!(text, "{}\"", Escaped(value))?,
            None => write!(text, "{value}\"")?,
        }
    }
    Ok(())
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| f.write_char(if c.is_ascii_alphanumeric() { c } else { '_' }))
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            other => f.write_char(other),
        })
    }
}
