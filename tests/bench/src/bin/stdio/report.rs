//! The figures as rows, with the aims.

use mcpmqtt_bench::median;
use mcpmqtt_bench::row::Row;
use mcpmqtt_bench::row::Unit::{self, Bytes, Micros, PerSecond, Times};

use crate::{Floor, Measured};

pub fn print(we: &Measured, they: &Measured, floor: &Floor) {
    print_floor(floor);
    let echo = floor.echo.median();
    let acknowledgement = floor.acknowledgement.median();
    let round_trip = floor.round_trip.median();
    let row = |name: &str, unit: Unit, figure: fn(&Measured) -> f64| {
        Row::new(name, unit, figure(we)).beside(ORIGINAL, figure(they))
    };
    let pair = |name: &str, figure: fn(&Measured) -> [f64; 2]| {
        Row::new(name, Micros, figure(we)).beside(ORIGINAL, figure(they))
    };
    let rows = [
        row("start to first answer", Micros, |it| {
            it.first_answer.median()
        })
        .at_most(
            they.first_answer.median() / 100.0,
            "a 100th of the original",
        ),
        row("resident memory after `tools/list`", Bytes, |it| {
            median(&it.resident_listed)
        })
        .at_most(median(&they.resident_listed) / 12.0, TWELFTH)
        .at_most(FOUR_MIB, "4 MiB"),
        row("resident memory after 10,000 publishes", Bytes, |it| {
            median(&it.resident_worked)
        })
        .at_most(median(&they.resident_worked) / 12.0, TWELFTH)
        .at_most(FOUR_MIB, "4 MiB"),
        row("peak of resident memory, all calls", Bytes, |it| {
            median(&it.peak)
        }),
        pair("publish at QoS 0, p50 / p99", |it| it.publish_qos0.both())
            .at_most(2.0 * echo, "2 × `cat`"),
        pair(
            "publish at QoS 1, p50 / p99 (the original does not wait for the broker)",
            |it| it.publish_qos1.both(),
        )
        .at_most(
            2.0 * echo + 1.5 * acknowledgement,
            "2 × `cat` + 1.5 × QoS 1 on a bare socket",
        ),
        pair("query answered by a device, p50 / p99", |it| {
            it.query.both()
        })
        .at_most(
            2.0 * echo + 3.0 * round_trip,
            "2 × `cat` + 3 × there and back on a bare socket",
        ),
        row(
            "read of a retained value (the original loses some)",
            Micros,
            |it| it.read.median(),
        ),
        row("publishes, pipelined", PerSecond, |it| {
            median(&it.pipelined)
        })
        .at_least(20_000.0, "")
        .at_least(40.0 * median(&they.pipelined), "40 × the original"),
        row("processor time per publish", Micros, |it| {
            median(&it.cpu_per_call)
        })
        .at_most(median(&they.cpu_per_call) / 30.0, "a 30th of the original"),
        row("waits per publish, each with a wake-up", Times, |it| {
            median(&it.waits_per_call)
        }),
    ];
    for row in rows {
        row.print("Over stdio, one call at a time unless pipelined");
    }
}

/// What nothing in between would cost: the limit of what is possible, so that there is no figure of ours.
fn print_floor(floor: &Floor) {
    let row = |name, unit| Row::new(name, unit, f64::NAN);
    let rows = [
        row("a line through a process and back, p50 / p99", Micros)
            .beside("`cat`", floor.echo.both()),
        row("a publish at QoS 1 until acknowledged, p50 / p99", Micros)
            .beside("bare socket", floor.acknowledgement.both())
            .beside("rumqttc", floor.rumqttc_acknowledgement.both()),
        row("a publish at QoS 0 there and back, p50 / p99", Micros)
            .beside("bare socket", floor.round_trip.both()),
        row("publishes at QoS 0, pipelined", PerSecond)
            .beside("rumqttc", median(&floor.rumqttc_throughput)),
    ];
    for row in rows {
        row.print("The floor: the same bytes with no MCP server in between");
    }
}

const ORIGINAL: &str = "original";
const TWELFTH: &str = "a 12th of the original";
const FOUR_MIB: f64 = 4.0 * 1024.0 * 1024.0;
