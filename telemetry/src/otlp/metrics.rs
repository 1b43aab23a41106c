//! Metrics as OTLP requests: cumulative, with explicit boundaries, in messages that a collector's default limit takes.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::encode;
use crate::metrics::{Distribution, Family, Reading, Series, Snapshot, Unit};

/// Points a request, about 1 MiB of a collector's default 4 MiB.
const POINTS_MAX: usize = 2000;
const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// The requests that carry a snapshot.
pub(super) fn requests(snapshot: &Snapshot, resource: &Resource) -> Vec<ExportMetricsServiceRequest> {
    let mut requests = Vec::new();
    let mut metrics = Vec::new();
    let mut room = POINTS_MAX;
    for family in &snapshot.families {
        let mut series = &family.series[..];
        while !series.is_empty() {
            let (fitting, rest) = series.split_at(series.len().min(room));
            metrics.push(metric(family, fitting, encode::unix_nanos(snapshot.taken)));
            room -= fitting.len();
            series = rest;
            if room == 0 {
                requests.push(request(std::mem::take(&mut metrics), resource));
                room = POINTS_MAX;
            }
        }
    }
    if !metrics.is_empty() {
        requests.push(request(metrics, resource));
    }
    requests
}

fn request(metrics: Vec<Metric>, resource: &Resource) -> ExportMetricsServiceRequest {
    let scope = ScopeMetrics { scope: Some(encode::scope()), metrics, ..ScopeMetrics::default() };
    let resource =
        ResourceMetrics { resource: Some(resource.clone()), scope_metrics: vec![scope], ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }
}

fn metric(family: &Family, series: &[Series], now: u64) -> Metric {
    let unit = match family.unit {
        Unit::Seconds => "s",
        Unit::Bytes => "By",
        Unit::Count(annotation) => annotation,
    };
    Metric {
        name: family.name.to_owned(),
        description: family.help.to_owned(),
        unit: unit.to_owned(),
        data: series.first().map(|first| data(&first.reading, series, now)),
        ..Metric::default()
    }
}

/// A metric's series are all of the kind of its first: the registry keeps kinds apart by type.
fn data(kind: &Reading, series: &[Series], now: u64) -> Data {
    match kind {
        Reading::Gauge(_) => Data::Gauge(Gauge { data_points: numbers(series, now) }),
        Reading::Counter(_) | Reading::UpDown(_) => Data::Sum(Sum {
            data_points: numbers(series, now),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: matches!(kind, Reading::Counter(_)),
        }),
        Reading::Histogram(_) => {
            Data::Histogram(Histogram { data_points: histograms(series, now), aggregation_temporality: CUMULATIVE })
        }
    }
}

fn numbers(series: &[Series], now: u64) -> Vec<NumberDataPoint> {
    let point = |series: &Series, value: i64| NumberDataPoint {
        attributes: encode::labels(&series.labels),
        start_time_unix_nano: encode::unix_nanos(series.start),
        time_unix_nano: now,
        value: Some(Number::AsInt(value)),
        ..NumberDataPoint::default()
    };
    series
        .iter()
        .filter_map(|series| match &series.reading {
            Reading::Counter(value) => Some(point(series, i64::try_from(*value).unwrap_or(i64::MAX))),
            Reading::UpDown(value) | Reading::Gauge(value) => Some(point(series, *value)),
            Reading::Histogram(_) => None,
        })
        .collect()
}

fn histograms(series: &[Series], now: u64) -> Vec<HistogramDataPoint> {
    series
        .iter()
        .filter_map(|series| match &series.reading {
            Reading::Histogram(values) => Some(histogram(series, values, now)),
            Reading::Counter(_) | Reading::UpDown(_) | Reading::Gauge(_) => None,
        })
        .collect()
}

fn histogram(series: &Series, values: &Distribution, now: u64) -> HistogramDataPoint {
    let (explicit_bounds, cumulative): (Vec<f64>, Vec<u64>) = values.cumulative().unzip();
    let up_to = cumulative.iter().copied().chain([values.count()]);
    let below = [0].into_iter().chain(cumulative.iter().copied());
    let bucket_counts = up_to.zip(below).map(|(up_to, below)| up_to - below).collect();
    HistogramDataPoint {
        attributes: encode::labels(&series.labels),
        start_time_unix_nano: encode::unix_nanos(series.start),
        time_unix_nano: now,
        count: values.count(),
        sum: Some(values.sum()),
        bucket_counts,
        explicit_bounds,
        ..HistogramDataPoint::default()
    }
}
