//! The figures as rows, with the aims.

use mcpmqtt_bench::histogram::Histogram;
use mcpmqtt_bench::row::Row;
use mcpmqtt_bench::row::Unit::{Bytes, Micros, PerSecond};
use mcpmqtt_bench::{median, micros};

use crate::load::Outcome;
use crate::server::{Transport, Who};
use crate::{CONNECTIONS, FEW, Hostile, Kind, Loads, MANY, Memories, Strangers};

pub fn print(
    loads: &Loads,
    memories: &Memories,
    strangers: &[(&str, Strangers)],
    hostile: &Hostile,
) {
    for transport in [Transport::Tcp, Transport::Unix] {
        for connections in CONNECTIONS {
            print_loads(loads, transport, connections);
        }
    }
    print_memory(memories);
    for (whence, found) in strangers {
        print_strangers(whence, found);
    }
    print_hostile(hostile);
}

fn print_loads(loads: &Loads, transport: Transport, connections: usize) {
    let outcomes = |who, kind| {
        loads
            .get(&(transport, connections, who, kind))
            .map_or(&[][..], Vec::as_slice)
    };
    let of = |kind, figure: fn(&Outcome) -> f64| {
        ALL.map(|who| median(&outcomes(who, kind).iter().map(figure).collect::<Vec<_>>()))
    };
    let place = match transport {
        Transport::Tcp => "TCP",
        Transport::Unix => "Unix socket",
    };
    let plural = if connections == 1 { "" } else { "s" };
    let part = format!("HTTP over {place}, {connections} connection{plural}");

    let [ours, hyper, original] = of(Kind::Publish, |it| it.rate);
    Row::new("publishes", PerSecond, ours)
        .beside(HYPER, hyper)
        .beside(ORIGINAL, original)
        .at_least(1000.0 * original, "1,000 × the original")
        .print(&part);

    let [ours, hyper, original] = ALL.map(|who| merged(outcomes(who, Kind::Publish)).both());
    Row::new("publish, p50 / p99", Micros, ours)
        .beside(HYPER, hyper)
        .beside(ORIGINAL, original)
        .print(&part);

    for (kind, name) in [
        (Kind::Publish, "processor time per publish"),
        (Kind::Refused, "processor time per publish that is refused"),
        (Kind::Stateless, "the same without sessions (2026-07-28)"),
    ] {
        let [ours, hyper, original] = of(kind, |it| it.cpu);
        let row = Row::new(name, Micros, ours)
            .beside(HYPER, hyper)
            .beside(ORIGINAL, original);
        // A publish makes a packet and hands it to the broker, which hyper does not.
        let row = match kind {
            Kind::Publish => row,
            Kind::Refused | Kind::Stateless => row.at_most(2.0 * hyper, "2 × hyper"),
        };
        row.print(&part);
    }
}

fn print_memory(memories: &Memories) {
    let part = format!(
        "HTTP, resident memory: at rest, and what each of {MANY} idle ones adds (of the original: of {FEW} sessions)"
    );
    Row::new("at rest", Bytes, memories.rest)
        .at_most(5e6, "")
        .print(&part);
    Row::new("at rest, not shared", Bytes, memories.private).print(&part);
    for (name, costs, aim) in [
        ("an idle connection", &memories.connection, 4e3),
        (
            "an idle session before 2026-07-28",
            &memories.session,
            f64::NAN,
        ),
        ("a GET stream of such a session", &memories.stream, 12e3),
    ] {
        let [ours, hyper, original] = ALL.map(|who| costs.get(&who).copied());
        Row::new(name, Bytes, ours)
            .beside(HYPER, hyper)
            .beside(ORIGINAL, original)
            .at_most(aim, "")
            .print(&part);
    }
    Row::new("a `subscriptions/listen` stream", Bytes, memories.listen)
        .at_most(12e3, "")
        .print(&part);
}

fn print_strangers(whence: &str, found: &Strangers) {
    let part = format!("HTTP, while 50 clients {whence} try wrong keys");
    let undisturbed = found.undisturbed.median();
    Row::new(
        "a call with the right key",
        Micros,
        found.disturbed.median(),
    )
    .beside(UNDISTURBED, undisturbed)
    .at_most(2.0 * undisturbed, "2 × undisturbed")
    .print(&part);
    // One hash of 64 MiB, and what the program has besides.
    Row::new("peak of resident memory", Bytes, found.peak)
        .at_most(2.0 * 64.0 * 1024.0 * 1024.0, "less than two key hashes")
        .print(&part);
    Row::new(
        "until the right key is let in for the first time",
        Micros,
        micros(found.let_in),
    )
    .print(&part);
}

fn print_hostile(hostile: &Hostile) {
    for (name, share, aim) in [
        ("`GET /status`, p50", 0.5, f64::NAN),
        ("`GET /status`, p99", 0.99, 50e3),
    ] {
        Row::new(name, Micros, hostile.loud.micros(share))
            .beside(UNDISTURBED, hostile.quiet.micros(share))
            .at_most(aim, "")
            .print("HTTP, while two clients send requests with wrong bytes");
    }
}

fn merged(outcomes: &[Outcome]) -> Histogram {
    let mut all = Histogram::default();
    for outcome in outcomes {
        all.merge(&outcome.latencies);
    }
    all
}

const ALL: [Who; 3] = [Who::Ours, Who::Hyper, Who::Original];
const HYPER: &str = "hyper";
const ORIGINAL: &str = "original";
const UNDISTURBED: &str = "undisturbed";
