//! That what `ops/` watches is told: a metric that has another name there than here
//! would never raise an alarm. The edge's are looked up in `mypay-producers`.

use std::collections::BTreeSet;
use std::path::Path;

use mypay_schemas::Flow;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::metrics::Families;
use crate::worker::BankMetrics;

/// Names of metrics in the alerts and dashboards, as they stand there.
fn watched() -> BTreeSet<String> {
    let ops = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops");
    let mut names = BTreeSet::new();
    for (folder, extension) in [("prometheus", "yml"), ("grafana/dashboards", "json")] {
        let files = std::fs::read_dir(ops.join(folder)).expect("a folder of ops");
        for file in files {
            let path = file.expect("a file").path();
            if path.extension().is_some_and(|it| it == extension) {
                let text = std::fs::read_to_string(path).expect("text");
                let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let ours = words.filter(|word| word.starts_with("mypay_"));
                names.extend(ours.map(str::to_owned));
            }
        }
    }
    names
}

/// Names of what a consumer process tells once it has told everything, with the
/// endings that Prometheus sees (a counter's is `_total`).
fn told() -> BTreeSet<String> {
    let mut registry = Registry::default();
    let families = Families::register(&mut registry);
    for flow in Flow::ALL {
        families.of(flow).tell_all();
    }
    BankMetrics::register(&mut registry).tell_all();
    let mut text = String::new();
    encode(&mut text, &registry).expect("text");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let names = samples.filter_map(|line| line.split(['{', ' ']).next());
    names.map(str::to_owned).collect()
}

#[test]
fn every_metric_that_alerts_and_dashboards_name_is_told() {
    let (watched, told) = (watched(), told());
    for name in ["mypay_consumer_messages_total", "mypay_bank_cases_open"] {
        assert!(watched.contains(name), "{name} is not watched: {watched:?}");
        assert!(told.contains(name), "{name} is not told: {told:?}");
    }
    let untold = watched.difference(&told);
    let untold: Vec<_> = untold.filter(|it| !it.starts_with("mypay_edge_")).collect();
    assert!(untold.is_empty(), "watched and never told: {untold:?}");
}
