//! Counts and times requests. Labels are method, path template and status class: all from our own lists, so that no
//! client can make the number of series grow, and no personal data gets into one.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};

const REQUESTS: &str = "http_requests_total";
const DURATION: &str = "http_request_duration_seconds";

/// The series met so far. Make it after the recorder is installed
/// ([`start_metrics`](crate::observability::start_metrics)); before, everything it counts is lost.
///
/// A request costs one read lock and one look-up; labels are built once per series.
#[derive(Clone, Default)]
pub struct HttpMetrics(Arc<RwLock<HashMap<Box<str>, Vec<Series>>>>);

struct Series {
    method: &'static str,
    class: &'static str,
    count: Counter,
    duration: Histogram,
}

impl Series {
    fn record(&self, elapsed: Duration) {
        self.count.increment(1);
        self.duration.record(elapsed);
    }
}

impl HttpMetrics {
    /// No series yet; describes the two metrics to the recorder.
    #[must_use]
    pub fn new() -> Self {
        describe_counter!(
            REQUESTS,
            "Requests answered, by method, path template and status class."
        );
        describe_histogram!(
            DURATION,
            metrics::Unit::Seconds,
            "Time from the request's head to the answer's head."
        );
        Self::default()
    }

    /// Records one answered request. `template` is the route's path as declared, never the one that was asked for.
    pub fn record(&self, method: &Method, template: &str, status: StatusCode, elapsed: Duration) {
        let (method, class) = (method_label(method), class_label(status));
        let is_it = |series: &&Series| series.method == method && series.class == class;
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known.get(template).and_then(|all| all.iter().find(is_it)) {
            return series.record(elapsed);
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let all = known.entry(template.into()).or_default();
        if let Some(series) = all.iter().find(is_it) {
            return series.record(elapsed);
        }
        let path = template.to_owned();
        let series = Series {
            method,
            class,
            count: counter!(REQUESTS, "method" => method, "path" => path.clone(), "status" => class),
            duration: histogram!(DURATION, "method" => method, "path" => path, "status" => class),
        };
        series.record(elapsed);
        all.push(series);
    }
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn class_label(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_template_and_timed_in_buckets() {
        let recorder = crate::observability::recorder().unwrap();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let metrics = HttpMetrics::new();
            let odd = Method::from_bytes(b"BREW").unwrap();
            for method in [Method::GET, Method::GET, odd] {
                let took = Duration::from_millis(3);
                metrics.record(&method, "/leads/{lead_id}", StatusCode::OK, took);
            }
        });
        let text = handle.render();
        let labels = r#"method="GET",path="/leads/{lead_id}",status="2xx""#;
        for line in [
            format!("http_requests_total{{{labels}}} 2"),
            format!("http_request_duration_seconds_bucket{{{labels},le=\"0.005\"}} 2"),
            format!("http_request_duration_seconds_bucket{{{labels},le=\"0.0025\"}} 0"),
            format!("http_request_duration_seconds_count{{{labels}}} 2"),
        ] {
            assert!(text.contains(&line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("BREW"), "a client must not name a series");
    }
}
