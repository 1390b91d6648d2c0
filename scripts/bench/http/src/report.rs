//! The figures as one Markdown table, with what was aimed at.

use crate::histogram::Histogram;
use crate::load::Outcome;
use crate::server::{Transport, Who};
use crate::{CONNECTIONS, FEW, Hostile, Kind, Loads, MANY, Memories, Strangers};

/// Prints it, and how many aims were missed.
pub fn print(
    loads: &Loads,
    memories: &Memories,
    strangers: &[(&str, Strangers)],
    hostile: &Hostile,
) {
    let mut table = Table::default();
    println!(
        "| | mcpmqtt | minimal hyper | original | mcpmqtt to hyper | original to mcpmqtt | aim |"
    );
    println!("|---|---|---|---|---|---|---|");
    for transport in [Transport::Tcp, Transport::Unix] {
        for connections in CONNECTIONS {
            table.loads(loads, transport, connections);
        }
    }
    table.memory(memories);
    table.strangers(strangers);
    let (quiet, loud) = (&hostile.quiet, &hostile.loud);
    let aim = Some((loud.micros(0.99) < 50_000.0, "p99 less than 50 ms"));
    let name = "`/status` among mutated requests, p50 / p99";
    table.row(
        name,
        [trip(loud), String::new(), String::new()],
        [None; 2],
        aim,
    );
    table.row(
        "`/status` without them, p50 / p99",
        [trip(quiet), String::new(), String::new()],
        [None; 2],
        None,
    );
    println!("\naims missed: {}", table.missed);
}

#[derive(Default)]
struct Table {
    missed: usize,
}

impl Table {
    fn row(
        &mut self,
        name: &str,
        cells: [String; 3],
        ratios: [Option<f64>; 2],
        aim: Option<(bool, &str)>,
    ) {
        let aim = aim.map_or(String::new(), |(met, aim)| {
            self.missed += usize::from(!met);
            format!("{aim}: {}", if met { "met" } else { "MISSED" })
        });
        let [ours, hyper, original] = cells;
        let [to_hyper, to_ours] = ratios.map(|ratio| ratio.map_or(String::new(), number));
        println!("| {name} | {ours} | {hyper} | {original} | {to_hyper} | {to_ours} | {aim} |");
    }

    fn loads(&mut self, loads: &Loads, transport: Transport, connections: usize) {
        let place = match transport {
            Transport::Tcp => "TCP",
            Transport::Unix => "socket file",
        };
        let place = format!("{place}, {connections}: ");
        let of = |who, kind| {
            loads
                .get(&(transport, connections, who, kind))
                .map_or(&[][..], Vec::as_slice)
        };
        let rate = |who| median(of(who, Kind::Publish), |outcome| outcome.rate);
        let [ours, hyper, original] = ALL.map(rate);
        let aim =
            (!original.is_nan()).then_some((ours >= 1000.0 * original, "1,000 times the original"));
        let cells = [ours, hyper, original].map(number);
        self.row(
            &format!("{place}publishes a second"),
            cells,
            [Some(ours / hyper), Some(ours / original)],
            aim,
        );

        let latencies = ALL.map(|who| merged(of(who, Kind::Publish)));
        let p50 = latencies.each_ref().map(|it| it.micros(0.5));
        let cells = latencies.each_ref().map(trip);
        let ratios = [Some(p50[0] / p50[1]), Some(p50[2] / p50[0])];
        self.row(
            &format!("{place}p50 / p99 of a publish"),
            cells,
            ratios,
            None,
        );

        for (kind, name) in [
            (Kind::Publish, "CPU for each publish"),
            (Kind::Refused, "CPU for each refused publish"),
            (Kind::Stateless, "the same in 2026-07-28"),
        ] {
            let [ours, hyper, original] =
                ALL.map(|who| median(of(who, kind), |outcome| outcome.cpu));
            let cells = [ours, hyper, original].map(time);
            let to_ours = Some(original / ours).filter(|ratio| ratio.is_finite());
            // A publish makes a packet and hands it to the broker, which hyper does not.
            let aim = (kind != Kind::Publish).then_some((ours <= 2.0 * hyper, "2 times hyper"));
            self.row(
                &format!("{place}{name}"),
                cells,
                [Some(ours / hyper), to_ours],
                aim,
            );
        }
    }

    fn memory(&mut self, memories: &Memories) {
        let rest = memories.rest;
        let aim = Some((rest.rss <= 5000.0, "5 MB"));
        let cell = format!(
            "{} (private {})",
            kilobytes(rest.rss),
            kilobytes(rest.private_dirty)
        );
        self.row(
            "RSS at rest",
            [cell, String::new(), String::new()],
            [None; 2],
            aim,
        );
        let streams = [
            (
                format!("RSS for each of {MANY} idle connections"),
                &memories.connection,
                Some((4.0, "4 kB")),
            ),
            (
                format!("the same, legacy sessions (original: {FEW})"),
                &memories.session,
                None,
            ),
            (
                format!("the same, GET streams of those (original: {FEW})"),
                &memories.stream,
                Some((12.0, "12 kB")),
            ),
        ];
        for (name, costs, aim) in streams {
            let [ours, hyper, original] = ALL.map(|who| costs.get(&who).map(|cost| cost.rss));
            let aim = aim.and_then(|(most, text)| Some((ours? * 1.024 <= most, text)));
            let cells = [ours, hyper, original].map(|cost| cost.map_or(String::new(), kilobytes));
            let ratio = |a: Option<f64>, b: Option<f64>| Some(a? / b?);
            self.row(
                &name,
                cells,
                [ratio(ours, hyper), ratio(original, ours)],
                aim,
            );
        }
        let listen = memories.listen.rss;
        let aim = Some((listen * 1.024 <= 12.0, "12 kB"));
        let cells = [kilobytes(listen), String::new(), String::new()];
        self.row(
            "the same, `subscriptions/listen` streams",
            cells,
            [None; 2],
            aim,
        );
    }

    fn strangers(&mut self, strangers: &[(&str, Strangers)]) {
        for (whence, found) in strangers {
            let (before, amid) = (found.undisturbed.micros(0.5), found.disturbed.micros(0.5));
            let name =
                format!("50 clients at {whence} try keys: p50 of the right one, disturbed / not");
            let cell = format!("{} / {} = {:.2}", time(amid), time(before), amid / before);
            let aim = Some((amid <= 2.0 * before, "2 times"));
            self.row(&name, [cell, String::new(), String::new()], [None; 2], aim);
            // One hash of 64 MiB, and what the program has besides.
            let aim = Some((found.peak < 2.0 * 64.0 * 1024.0, "one argon2"));
            let cell = format!("{}; {:.1} s", kilobytes(found.peak), found.let_in);
            let name = "the same: peak RSS; until the right key is let in for the first time";
            self.row(name, [cell, String::new(), String::new()], [None; 2], aim);
        }
    }
}

fn merged(outcomes: &[Outcome]) -> Histogram {
    let mut all = Histogram::default();
    for outcome in outcomes {
        all.merge(&outcome.latencies);
    }
    all
}

fn median(outcomes: &[Outcome], figure: fn(&Outcome) -> f64) -> f64 {
    let mut figures: Vec<_> = outcomes.iter().map(figure).collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn trip(latencies: &Histogram) -> String {
    if latencies.count() == 0 {
        return String::new();
    }
    format!(
        "{} / {}",
        time(latencies.micros(0.5)),
        time(latencies.micros(0.99))
    )
}

fn time(micros: f64) -> String {
    match micros {
        _ if micros.is_nan() => String::new(),
        _ if micros >= 10_000.0 => format!("{:.0} ms", micros / 1000.0),
        _ if micros >= 100.0 => format!("{micros:.0} µs"),
        _ => format!("{micros:.1} µs"),
    }
}

/// From KiB, in units of 1000 bytes as the aims are.
fn kilobytes(kib: f64) -> String {
    match kib * 1.024 {
        kb if kb >= 1000.0 => format!("{:.1} MB", kb / 1000.0),
        kb => format!("{kb:.1} kB"),
    }
}

fn number(value: f64) -> String {
    match value {
        _ if value.is_nan() => String::new(),
        _ if value >= 100.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

const ALL: [Who; 3] = [Who::Ours, Who::Hyper, Who::Original];
