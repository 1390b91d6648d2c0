//! The figures side by side, with the aims.

use crate::stats::Samples;
use crate::{Floor, Measured, median};

pub fn print(we: &Measured, they: &Measured, floor: &Floor) {
    let echo = floor.echo.median();
    let acknowledgement = floor.acknowledgement.median();
    let round_trip = floor.round_trip.median();

    println!("The floor of this run (microseconds: p50, p99)");
    floor_row("a line through cat and back", &floor.echo);
    floor_row("QoS 1 acknowledged, bare socket", &floor.acknowledgement);
    floor_row("QoS 0 to oneself, bare socket", &floor.round_trip);
    floor_row(
        "QoS 1 acknowledged, rumqttc",
        &floor.rumqttc_acknowledgement,
    );
    let throughput = median(&floor.rumqttc_throughput);
    println!("  {:<34} {throughput:>10.0}/s", "QoS 0 publishes, rumqttc");

    println!(
        "\n{:<34} {:>10} {:>10} {:>8}   aim",
        "", "mcpmqtt", "original", "ratio"
    );
    smaller(
        "first answer, p50 (ms)",
        milli(&we.first_answer),
        milli(&they.first_answer),
        100.0,
        f64::INFINITY,
    );
    smaller(
        "RSS after tools/list (KiB)",
        median(&we.rss_listed),
        median(&they.rss_listed),
        12.0,
        4096.0,
    );
    smaller(
        "RSS after 10,000 calls (KiB)",
        median(&we.rss_worked),
        median(&they.rss_worked),
        12.0,
        4096.0,
    );
    smaller(
        "peak RSS, all calls (KiB)",
        median(&we.peak),
        median(&they.peak),
        0.0,
        f64::INFINITY,
    );
    smaller(
        "publish QoS 0, p50 (us)",
        we.publish_qos0.median(),
        they.publish_qos0.median(),
        0.0,
        2.0 * echo,
    );
    smaller(
        "publish QoS 0, p99 (us)",
        we.publish_qos0.percentile(99),
        they.publish_qos0.percentile(99),
        0.0,
        f64::INFINITY,
    );
    let aim = 2.0 * echo + 1.5 * acknowledgement;
    smaller(
        "publish QoS 1, p50 (us)",
        we.publish_qos1.median(),
        they.publish_qos1.median(),
        0.0,
        aim,
    );
    smaller(
        "publish QoS 1, p99 (us)",
        we.publish_qos1.percentile(99),
        they.publish_qos1.percentile(99),
        0.0,
        f64::INFINITY,
    );
    let aim = 2.0 * echo + 3.0 * round_trip;
    smaller(
        "query, p50 (us)",
        we.query.median(),
        they.query.median(),
        0.0,
        aim,
    );
    smaller(
        "query, p99 (us)",
        we.query.percentile(99),
        they.query.percentile(99),
        0.0,
        f64::INFINITY,
    );
    smaller(
        "read of a retained value, p50 (us)",
        we.read.median(),
        they.read.median(),
        0.0,
        f64::INFINITY,
    );
    larger(
        "pipelined publishes a second",
        median(&we.pipelined),
        median(&they.pipelined),
        40.0,
        20_000.0,
    );
    smaller(
        "CPU per publish (us)",
        median(&we.cpu_per_call),
        median(&they.cpu_per_call),
        30.0,
        f64::INFINITY,
    );
    smaller(
        "waits per publish",
        median(&we.waits_per_call),
        median(&they.waits_per_call),
        0.0,
        f64::INFINITY,
    );

    println!(
        "\nThe original answers a QoS 1 publish without waiting for the broker's acknowledgement,"
    );
    println!("and does not wait for the broker's answer to a subscription.");
}

fn floor_row(name: &str, samples: &Samples) {
    println!(
        "  {name:<34} {:>10.1} {:>10.1}",
        samples.median(),
        samples.percentile(99)
    );
}

fn milli(samples: &Samples) -> f64 {
    samples.median() / 1000.0
}

fn smaller(name: &str, we: f64, they: f64, at_least_ratio: f64, at_most: f64) {
    let ratio = they / we;
    let mut aims = Vec::new();
    if at_least_ratio > 0.0 {
        aims.push(verdict(
            format!("at least {at_least_ratio:.0} times less"),
            ratio >= at_least_ratio,
        ));
    }
    if at_most.is_finite() {
        aims.push(verdict(format!("at most {at_most:.0}"), we <= at_most));
    }
    row(name, we, they, ratio, &aims);
}

fn larger(name: &str, we: f64, they: f64, at_least_ratio: f64, at_least: f64) {
    let ratio = we / they;
    let aims = [
        verdict(format!("at least {at_least:.0}"), we >= at_least),
        verdict(
            format!("{at_least_ratio:.0} times the original's"),
            ratio >= at_least_ratio,
        ),
    ];
    row(name, we, they, ratio, &aims);
}

fn verdict(aim: String, met: bool) -> String {
    format!("{aim}: {}", if met { "met" } else { "MISSED" })
}

fn row(name: &str, we: f64, they: f64, ratio: f64, aims: &[String]) {
    println!(
        "{name:<34} {:>10} {:>10} {:>8}   {}",
        figure(we),
        figure(they),
        figure(ratio),
        aims.join("; ")
    );
}

fn figure(value: f64) -> String {
    match value {
        value if value.is_nan() => "-".into(),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}
