use super::*;

/// Topics of realistic plants, with the kinds of their payloads.
fn plant(name: &str) -> Vec<(String, &'static str)> {
    let mut topics = Vec::new();
    let mut add = |topic: String, kind| topics.push((topic, kind));
    let rooms = [
        "attic", "bath", "cellar", "hall", "kitchen", "lab", "office", "store",
    ];
    match name {
        "rooms" => {
            for (n, room) in rooms.iter().enumerate() {
                add(format!("site/{room}/temperature"), "number");
                if n != 3 {
                    add(format!("site/{room}/humidity"), "number");
                }
                if n % 3 == 0 {
                    add(format!("site/{room}/light/set"), "word");
                    add(format!("site/{room}/light/state"), "word");
                }
            }
            add("site/kitchen/co2".into(), "number");
            add("site/boiler/pressure".into(), "number");
            add("site/boiler/flow".into(), "number");
            add("site/boiler/state".into(), "word");
        }
        "zigbee2mqtt" => {
            for topic in ["state", "info", "devices", "groups", "logging"] {
                add(format!("zigbee2mqtt/bridge/{topic}"), "json");
            }
            for room in rooms {
                add(format!("zigbee2mqtt/lamp_{room}"), "json");
                add(format!("zigbee2mqtt/lamp_{room}/availability"), "word");
                add(format!("zigbee2mqtt/lamp_{room}/set"), "json");
                add(format!("zigbee2mqtt/climate_{room}"), "json");
                if room != "lab" {
                    add(format!("zigbee2mqtt/climate_{room}/availability"), "word");
                }
            }
            add("zigbee2mqtt/0x00158d0001a2b3c4".into(), "json");
            add("zigbee2mqtt/0x00158d0001a2b3c4/availability".into(), "word");
        }
        "tasmota" => {
            for plug in [
                "plug_fridge",
                "plug_tv",
                "plug_pc",
                "plug_heater",
                "sonoff_4F21A0",
            ] {
                add(format!("tele/{plug}/STATE"), "json");
                add(format!("tele/{plug}/SENSOR"), "json");
                add(format!("tele/{plug}/LWT"), "word");
                add(format!("stat/{plug}/POWER"), "word");
                add(format!("stat/{plug}/RESULT"), "json");
                add(format!("cmnd/{plug}/POWER"), "word");
            }
        }
        "homeassistant" => {
            for room in rooms {
                add(
                    format!("homeassistant/sensor/{room}_temperature/config"),
                    "json",
                );
                add(
                    format!("homeassistant/sensor/{room}_humidity/config"),
                    "json",
                );
                add(format!("homeassistant/light/lamp_{room}/config"), "json");
            }
            for n in 1..=12 {
                add(
                    format!("homeassistant/binary_sensor/0x00158d0001a2b3{n:02x}/contact/config"),
                    "json",
                );
            }
            add("homeassistant/status".into(), "word");
        }
        "sparkplug" => {
            for line in ["Press", "Weld", "Paint"] {
                add(format!("spBv1.0/Plant1/NBIRTH/{line}"), "binary");
                add(format!("spBv1.0/Plant1/NDATA/{line}"), "binary");
                for n in 1..=4 {
                    add(format!("spBv1.0/Plant1/DBIRTH/{line}/PLC{n}"), "binary");
                    add(format!("spBv1.0/Plant1/DDATA/{line}/PLC{n}"), "binary");
                }
            }
            add("spBv1.0/STATE/scada".into(), "json");
        }
        "gateways" => {
            for n in 0..200u32 {
                let id = format!("{:06x}", n.wrapping_mul(2_654_435_761) >> 8);
                for (topic, kind) in [("status", "word"), ("uptime", "number"), ("rx", "number")] {
                    add(format!("gateways/{id}/{topic}"), kind);
                }
            }
        }
        "line" => {
            for line in 1..=4 {
                for motor in 1..=(if line == 3 { 5 } else { 6 }) {
                    for part in ["rpm", "current", "temperature", "setpoint", "setpoint/set"] {
                        add(format!("plant/line{line}/motor{motor}/{part}"), "number");
                    }
                }
                add(format!("plant/line{line}/state"), "word");
                add(format!("plant/line{line}/counter"), "number");
            }
            for tank in ["T01", "T02", "T03", "T07"] {
                add(format!("plant/tank/{tank}/level"), "number");
                add(format!("plant/tank/{tank}/valve/set"), "word");
                add(format!("plant/tank/{tank}/valve/state"), "word");
            }
            for alarm in ["overheat", "leak", "estop", "pressure_low"] {
                add(format!("plant/alarms/{alarm}"), "json");
            }
            add("plant/notice".into(), "text");
        }
        "sys" => {
            for word in ["messages", "bytes", "publish"] {
                for way in ["received", "sent", "dropped"] {
                    for span in ["1min", "5min", "15min"] {
                        add(format!("$SYS/broker/load/{word}/{way}/{span}"), "number");
                    }
                    add(format!("$SYS/broker/{word}/{way}"), "number");
                }
            }
            for topic in [
                "version",
                "uptime",
                "clients/total",
                "clients/connected",
                "heap/current",
            ] {
                add(format!("$SYS/broker/{topic}"), "number");
            }
        }
        "flat" => {
            for room in rooms {
                add(format!("temperature_{room}"), "number");
                add(format!("{room}Humidity"), "number");
                add(format!("fenster_{room}"), "word");
            }
            add("status".into(), "word");
            add("version".into(), "text");
        }
        "measurand first" => {
            for room in rooms {
                add(format!("temperature/{room}"), "number");
                add(format!("humidity/{room}"), "number");
            }
        }
        "tags" => {
            for n in 1..=60 {
                add(
                    format!("plc/DB{}.{}", n % 4 + 1, n),
                    if n < 40 { "number" } else { "word" },
                );
            }
        }
        "words" => {
            for n in 0..500u32 {
                let name: String = (0..6)
                    .map(|k| {
                        char::from(b'g' + ((n.wrapping_mul(2_654_435_761) >> (k * 4)) & 15) as u8)
                    })
                    .collect();
                let kind = ["number", "word", "json"][n as usize % 3];
                add(format!("data/{name}"), kind);
            }
        }
        "departments" => {
            for n in 0..30u8 {
                let dept =
                    format!("{}works", char::from(b'a' + n % 26)).repeat(1 + usize::from(n) / 26);
                for k in 0..(3 + n) {
                    let leaf = format!(
                        "{}{}x",
                        char::from(b'a' + k % 26),
                        char::from(b'a' + n % 26)
                    );
                    add(
                        format!("corp/{dept}/unit{}/{leaf}", char::from(b'a' + k % 3)),
                        "number",
                    );
                }
            }
        }
        "shelly" => {
            for id in ["7A1F33", "C45BBE", "98CDAC", "B929CC"] {
                for leaf in [
                    "online",
                    "announce",
                    "relay/0",
                    "relay/0/power",
                    "relay/0/energy",
                    "relay/0/command",
                ] {
                    add(format!("shellies/shellyplug-s-{id}/{leaf}"), "word");
                }
            }
            for leaf in [
                "online",
                "announce",
                "sensor/temperature",
                "sensor/humidity",
                "sensor/battery",
            ] {
                add(format!("shellies/shellyht-6A21BC/{leaf}"), "number");
                add(format!("shellies/shellyht-6A2EEF/{leaf}"), "number");
            }
            add("shellies/command".into(), "word");
        }
        "homie" => {
            for device in ["kitchen-light", "porch-light", "boiler"] {
                for leaf in [
                    "$homie",
                    "$name",
                    "$state",
                    "$nodes",
                    "power/$name",
                    "power/value",
                    "power/value/$unit",
                ] {
                    add(format!("homie/{device}/{leaf}"), "text");
                }
            }
        }
        "buildings" => {
            for (b, floors) in [("north", 3), ("south", 2), ("annex", 1)] {
                for floor in 1..=floors {
                    for room in 0..(4 + floor) {
                        for leaf in ["temp", "co2", "occupancy"] {
                            add(
                                format!("campus/{b}/floor{floor}/r{floor}{room:02}/{leaf}"),
                                "number",
                            );
                        }
                        if room % 2 == 0 {
                            add(
                                format!("campus/{b}/floor{floor}/r{floor}{room:02}/blind/position"),
                                "number",
                            );
                        }
                    }
                    add(format!("campus/{b}/floor{floor}/power"), "number");
                }
                add(
                    format!("campus/{b}/meter/{}/kwh", 1000 + floors * 77),
                    "number",
                );
            }
        }
        "german" => {
            for r in ["kueche", "bad", "flur", "keller"] {
                for m in ["temperatur", "feuchte", "licht/ist", "licht/soll"] {
                    add(format!("haus/{r}/{m}"), "number");
                }
                add(format!("haus/{r}/fenster"), "word");
            }
            for m in [
                "vorlauf",
                "ruecklauf",
                "kessel",
                "druck",
                "pumpe",
                "brenner",
            ] {
                add(format!("haus/heizung/{m}"), "number");
            }
            add("haus/pv/leistung".into(), "number");
            add("haus/pv/ertrag".into(), "number");
            for n in 1..=12 {
                add(format!("haus/pv/string{n}/spannung"), "number");
                add(format!("haus/pv/string{n}/strom"), "number");
            }
        }
        "uns" => {
            for c in ["Mixer", "Filler", "Capper", "Labeler", "Packer"] {
                for t in [
                    "Speed",
                    "State",
                    "Mode",
                    "Count_Good",
                    "Count_Bad",
                    "Temperature_Bearing",
                    "Temperature_Motor",
                ] {
                    add(
                        format!("Enterprise/Dallas/Packaging/Line1/{c}/Edge/{t}"),
                        "number",
                    );
                }
                for t in ["OEE", "Availability", "Performance"] {
                    add(
                        format!("Enterprise/Dallas/Packaging/Line1/{c}/KPI/{t}"),
                        "number",
                    );
                    add(
                        format!("Enterprise/Austin/Packaging/Line2/{c}/KPI/{t}"),
                        "number",
                    );
                }
            }
            for o in 0..6 {
                add(
                    format!("Enterprise/Dallas/ERP/WorkOrder/WO-{}", 10023 + o * 17),
                    "json",
                );
            }
        }
        "lorawan" => {
            for d in 0..30u32 {
                let e = format!(
                    "eui-{:016x}",
                    0x70b3d57ed0000000u64 + u64::from(d.wrapping_mul(2_654_435_761))
                );
                for t in ["up", "join", "down/push", "down/queued"] {
                    if d % 7 != 3 || t == "up" {
                        add(format!("v3/app@ttn/devices/{e}/{t}"), "json");
                    }
                }
            }
        }
        "shadows" => {
            for d in ["press-01", "press-02", "oven-a", "oven-b", "robot"] {
                for t in ["update", "update/accepted", "update/delta", "get"] {
                    add(format!("$aws/things/{d}/shadow/{t}"), "json");
                }
                add(format!("dt/acme/{d}/telemetry"), "json");
            }
        }
        "cameras" => {
            for c in ["front_door", "garage", "yard"] {
                for t in [
                    "person",
                    "car",
                    "dog",
                    "person/snapshot",
                    "car/snapshot",
                    "motion",
                    "detect/state",
                    "detect/set",
                    "recordings/state",
                    "recordings/set",
                ] {
                    add(format!("cameras/{c}/{t}"), "word");
                }
            }
            for t in ["events", "stats", "available"] {
                add(format!("cameras/{t}"), "json");
            }
        }
        "mess" => {
            for t in [
                "test",
                "test/1",
                "hello",
                "Test/foo",
                "esp32/led",
                "esp32/temp",
                "esp8266/temp",
                "sensor1",
                "sensor2/data",
                "my/topic",
                "a/b/c/d/e",
                "/leading/slash",
                "home//double",
                "foo bar/baz",
            ] {
                add(t.into(), "text");
            }
        }
        "one" => add("site/hall/temperature".into(), "number"),
        "all" => {
            for name in [
                "rooms",
                "zigbee2mqtt",
                "tasmota",
                "gateways",
                "line",
                "sys",
                "homeassistant",
            ] {
                topics.extend(plant(name));
            }
        }
        _ => {}
    }
    topics
}

fn grouped(topics: &[(String, &str)], most: usize) -> Grouped {
    let topics: Vec<(&str, &str)> = topics.iter().map(|(t, k)| (t.as_str(), *k)).collect();
    group(&topics, most)
}

/// Each group as `count pattern`, with `merged` where it is.
fn lines(grouped: &Grouped) -> Vec<String> {
    let line = |g: &Group| {
        let merged = if g.merged { " merged" } else { "" };
        format!("{} {}{merged}", g.members.len(), g.pattern)
    };
    grouped.groups.iter().map(line).collect()
}

#[test]
#[expect(clippy::print_stdout)]
#[ignore = "prints what an agent would read"]
fn show() {
    for (name, most) in [
        ("rooms", 40),
        ("german", 40),
        ("uns", 40),
        ("uns", 8),
        ("lorawan", 40),
        ("shadows", 40),
        ("cameras", 40),
        ("mess", 40),
        ("zigbee2mqtt", 40),
        ("tasmota", 40),
        ("homeassistant", 40),
        ("sparkplug", 40),
        ("gateways", 40),
        ("line", 40),
        ("line", 8),
        ("sys", 40),
        ("flat", 40),
        ("measurand first", 40),
        ("tags", 40),
        ("words", 40),
        ("departments", 40),
        ("one", 40),
        ("shelly", 40),
        ("homie", 40),
        ("buildings", 40),
        ("all", 60),
        ("all", 25),
        ("all", 5),
        ("all", 1),
    ] {
        let topics = plant(name);
        let result = grouped(&topics, most);
        let text: usize = lines(&result).iter().map(|line| line.len() + 1).sum();
        println!(
            "\n== {name}: {} topics, {} of {most} groups, {text} bytes, left out {}",
            topics.len(),
            result.groups.len(),
            result.left_out
        );
        for (line, g) in lines(&result).iter().zip(&result.groups) {
            println!("{line}    [{}]", g.filter);
        }
    }
}

#[test]
#[expect(clippy::print_stdout)]
#[ignore = "measures"]
fn time() {
    let mut sets: Vec<(&str, Vec<(String, &str)>)> = Vec::new();
    let many =
        |f: &dyn Fn(usize) -> String| (0..10_000).map(|n| (f(n), "number")).collect::<Vec<_>>();
    sets.push((
        "site/line/motor/x",
        many(&|n| {
            format!(
                "site/line{}/motor{}/{}",
                n / 500,
                n / 4 % 125,
                ["rpm", "current", "temperature", "set"][n % 4]
            )
        }),
    ));
    sets.push((
        "gateways",
        many(&|n| {
            format!(
                "gateways/{:08x}/{}",
                (n as u32 / 5).wrapping_mul(2_654_435_761),
                ["a", "b", "c", "d", "e"][n % 5]
            )
        }),
    ));
    sets.push((
        "flat words",
        many(&|n| {
            format!(
                "t/{}",
                (0..8)
                    .map(|k| char::from(b'a' + ((n * 31) >> k) as u8 % 26))
                    .collect::<String>()
            )
        }),
    ));
    sets.push((
        "unlike",
        many(&|n| {
            format!(
                "x/w{}q/{}",
                char::from(b'a' + (n % 26) as u8)
                    .to_string()
                    .repeat(n / 26 % 40 + 1),
                (0..6)
                    .map(|k| char::from(b'a' + ((n * 37) >> (k * 2)) as u8 % 26))
                    .collect::<String>()
            )
        }),
    ));
    for (name, topics) in &sets {
        let topics: Vec<(&str, &str)> = topics.iter().map(|(t, k)| (t.as_str(), *k)).collect();
        let mut best = u64::MAX;
        let mut groups = 0;
        for _ in 0..20 {
            let start = processor_time();
            groups = group(&topics, 40).groups.len();
            best = best.min(processor_time() - start);
        }
        println!(
            "{name}: {} topics, {} µs, {groups} groups",
            topics.len(),
            best / 1000
        );
    }
}

/// The nanoseconds that this thread had a processor: other programs do not count.
fn processor_time() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let first = text
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok());
    first.expect("a number")
}

/// What an agent reads of each plant, at most 40 groups of each.
#[test]
fn plants_as_an_agent_reads_them() {
    let cases: [(&str, &[&str]); 18] = [
        ("one", &["1 site/hall/temperature"]),
        (
            "rooms",
            &[
                "1 site/kitchen/co2",
                "7 site/{attic,bath,cellar,kitchen,lab,office,store}/humidity",
                "3 site/{attic,hall,office}/light/set",
                "3 site/{attic,hall,office}/light/state",
                "8 site/{attic,bath,cellar,hall,kitchen,lab,office,store}/temperature",
                "1 site/boiler/flow",
                "1 site/boiler/pressure",
                "1 site/boiler/state",
            ],
        ),
        (
            "zigbee2mqtt",
            &[
                "17 zigbee2mqtt/{17 names: climate_*,lamp_*}",
                "16 zigbee2mqtt/{16 names: lamp_*,climate_*}/availability",
                "8 zigbee2mqtt/lamp_{attic,bath,cellar,hall,kitchen,lab,office,store}/set",
                "1 zigbee2mqtt/bridge/devices",
                "1 zigbee2mqtt/bridge/groups",
                "1 zigbee2mqtt/bridge/info",
                "1 zigbee2mqtt/bridge/logging",
                "1 zigbee2mqtt/bridge/state",
            ],
        ),
        (
            "tasmota",
            &[
                "5 cmnd/{plug_fridge,plug_heater,plug_pc,plug_tv,sonoff_4F21A0}/POWER",
                "5 stat/{plug_fridge,plug_heater,plug_pc,plug_tv,sonoff_4F21A0}/POWER",
                "5 stat/{plug_fridge,plug_heater,plug_pc,plug_tv,sonoff_4F21A0}/RESULT",
                "5 tele/{plug_fridge,plug_heater,plug_pc,plug_tv,sonoff_4F21A0}/LWT",
                "5 tele/{plug_fridge,plug_heater,plug_pc,plug_tv,sonoff_4F21A0}/SENSOR",
                "5 tele/{plug_fridge,plug_heater,plug_pc,plug_tv,sonoff_4F21A0}/STATE",
            ],
        ),
        (
            "homeassistant",
            &[
                "12 homeassistant/binary_sensor/{12 ids}/contact/config",
                "8 homeassistant/light/lamp_{attic,bath,cellar,hall,kitchen,lab,office,store}/config",
                "16 homeassistant/sensor/{16 names: *_humidity,*_temperature}/config",
                "1 homeassistant/status",
            ],
        ),
        (
            "sparkplug",
            &[
                "12 spBv1.0/Plant1/DBIRTH/{Paint,Press,Weld}/PLC{1..4}",
                "12 spBv1.0/Plant1/DDATA/{Paint,Press,Weld}/PLC{1..4}",
                "3 spBv1.0/Plant1/NBIRTH/{Paint,Press,Weld}",
                "3 spBv1.0/Plant1/NDATA/{Paint,Press,Weld}",
                "1 spBv1.0/STATE/scada",
            ],
        ),
        (
            "gateways",
            &[
                "200 gateways/{200 ids}/rx",
                "200 gateways/{200 ids}/status",
                "200 gateways/{200 ids}/uptime",
            ],
        ),
        (
            "line",
            &[
                "4 plant/alarms/{estop,leak,overheat,pressure_low}",
                "4 plant/line{1..4}/counter",
                "23 plant/line{1..4}/motor{1..6}/current",
                "23 plant/line{1..4}/motor{1..6}/rpm",
                "23 plant/line{1..4}/motor{1..6}/setpoint",
                "23 plant/line{1..4}/motor{1..6}/setpoint/set",
                "23 plant/line{1..4}/motor{1..6}/temperature",
                "4 plant/line{1..4}/state",
                "1 plant/notice",
                "4 plant/tank/T{01..03,07}/level",
                "4 plant/tank/T{01..03,07}/valve/set",
                "4 plant/tank/T{01..03,07}/valve/state",
            ],
        ),
        (
            "flat",
            &[
                "8 {attic,bath,cellar,hall,kitchen,lab,office,store}Humidity",
                "8 fenster_{attic,bath,cellar,hall,kitchen,lab,office,store}",
                "1 status",
                "8 temperature_{attic,bath,cellar,hall,kitchen,lab,office,store}",
                "1 version",
            ],
        ),
        (
            "measurand first",
            &[
                "8 humidity/{attic,bath,cellar,hall,kitchen,lab,office,store}",
                "8 temperature/{attic,bath,cellar,hall,kitchen,lab,office,store}",
            ],
        ),
        (
            "tags",
            &["39 plc/DB{1..4}.{1..39}", "21 plc/DB{1..4}.{40..60}"],
        ),
        (
            "words",
            &[
                "167 data/{167 names: gggggg,ginuom,…}",
                "167 data/{167 names: gghrpn,ghrpnn,…}",
                "166 data/{166 names: ghskhv,gimjvu,…}",
            ],
        ),
        (
            "homie",
            &[
                "3 homie/{boiler,kitchen-light,porch-light}/$homie",
                "3 homie/{boiler,kitchen-light,porch-light}/$name",
                "3 homie/{boiler,kitchen-light,porch-light}/$nodes",
                "3 homie/{boiler,kitchen-light,porch-light}/$state",
                "3 homie/{boiler,kitchen-light,porch-light}/power/$name",
                "3 homie/{boiler,kitchen-light,porch-light}/power/value",
                "3 homie/{boiler,kitchen-light,porch-light}/power/value/$unit",
            ],
        ),
        (
            "buildings",
            &[
                "6 campus/{annex,north,south}/floor{1..3}/power",
                "19 campus/{annex,north,south}/floor{1..3}/r{10 of 100..306}/blind/position",
                "34 campus/{annex,north,south}/floor{1..3}/r{100..104,200..205,300..306}/co2",
                "34 campus/{annex,north,south}/floor{1..3}/r{100..104,200..205,300..306}/occupancy",
                "34 campus/{annex,north,south}/floor{1..3}/r{100..104,200..205,300..306}/temp",
                "3 campus/{annex,north,south}/meter/{1077,1154,1231}/kwh",
            ],
        ),
        (
            "german",
            &[
                "4 haus/{bad,flur,keller,kueche}/fenster",
                "4 haus/{bad,flur,keller,kueche}/feuchte",
                "4 haus/{bad,flur,keller,kueche}/licht/ist",
                "4 haus/{bad,flur,keller,kueche}/licht/soll",
                "4 haus/{bad,flur,keller,kueche}/temperatur",
                "1 haus/heizung/brenner",
                "1 haus/heizung/druck",
                "1 haus/heizung/kessel",
                "1 haus/heizung/pumpe",
                "1 haus/heizung/ruecklauf",
                "1 haus/heizung/vorlauf",
                "1 haus/pv/ertrag",
                "1 haus/pv/leistung",
                "12 haus/pv/string{1..12}/spannung",
                "12 haus/pv/string{1..12}/strom",
            ],
        ),
        (
            "lorawan",
            &[
                "26 v3/app@ttn/devices/eui-{26 ids}/down/push",
                "26 v3/app@ttn/devices/eui-{26 ids}/down/queued",
                "26 v3/app@ttn/devices/eui-{26 ids}/join",
                "30 v3/app@ttn/devices/eui-{30 ids}/up",
            ],
        ),
        (
            "shadows",
            &[
                "5 dt/acme/{oven-a,oven-b,press-{01,02},robot}/telemetry",
                "5 $aws/things/{oven-a,oven-b,press-{01,02},robot}/shadow/get",
                "5 $aws/things/{oven-a,oven-b,press-{01,02},robot}/shadow/update",
                "5 $aws/things/{oven-a,oven-b,press-{01,02},robot}/shadow/update/accepted",
                "5 $aws/things/{oven-a,oven-b,press-{01,02},robot}/shadow/update/delta",
            ],
        ),
        (
            "cameras",
            &[
                "1 cameras/available",
                "1 cameras/events",
                "3 cameras/{front_door,garage,yard}/car",
                "3 cameras/{front_door,garage,yard}/car/snapshot",
                "6 cameras/{front_door,garage,yard}/{detect,recordings}/set",
                "6 cameras/{front_door,garage,yard}/{detect,recordings}/state",
                "3 cameras/{front_door,garage,yard}/dog",
                "3 cameras/{front_door,garage,yard}/motion",
                "3 cameras/{front_door,garage,yard}/person",
                "3 cameras/{front_door,garage,yard}/person/snapshot",
                "1 cameras/stats",
            ],
        ),
    ];
    for (name, want) in cases {
        assert_eq!(lines(&grouped(&plant(name), 40)), want, "{name}");
    }
}

/// Little room: what is cut back says so, and small parts of the tree stay whole.
#[test]
fn little_room() {
    let line = lines(&grouped(&plant("line"), 8));
    assert_eq!(
        line,
        [
            "1 plant/notice",
            "4 plant/alarms/{estop,leak,overheat,pressure_low}",
            "4 plant/line{1..4}/counter",
            "4 plant/line{1..4}/state",
            "115 plant/line{1..4}/motor{1..6}/{current,rpm,setpoint,temperature}/# merged",
            "4 plant/tank/T{01..03,07}/level",
            "4 plant/tank/T{01..03,07}/valve/set",
            "4 plant/tank/T{01..03,07}/valve/state",
        ]
    );
    // No filter matches `$SYS/…` and others: one group cannot hold all.
    let all = grouped(&plant("all"), 1);
    assert_eq!((all.groups.len(), all.left_out), (1, 41));
    assert_eq!(all.groups[0].filter.as_str(), "+/+/#");
    let all = grouped(&plant("all"), 25);
    let special = all.groups.iter().filter(|g| g.pattern.starts_with('$'));
    assert!(
        (1..=4).contains(&special.count()),
        "the broker's own topics take little room"
    );
}

#[test]
fn cases() {
    // Topics with their kinds, and what is to be read.
    type Case = (
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
    );
    let cases: [Case; 18] = [
        ("no topic", &[], &[]),
        ("empty levels", &["/", "//", "/a"], &["1 /", "1 //", "1 /a"]),
        (
            "a parent that is a leaf",
            &["a", "a/b", "a/b/c"],
            &["1 a", "1 a/b", "1 a/b/c"],
        ),
        ("the same topic twice", &["a/b", "a/b"], &["2 a/b"]),
        (
            "an equal missing and an additional one",
            &[
                "h/ada/temp",
                "h/ada/co2",
                "h/bob/temp",
                "h/bob/co2",
                "h/cid/temp",
                "h/dan/temp",
                "h/dan/co2",
                "h/dan/tv",
            ],
            &[
                "3 h/{ada,bob,dan}/co2",
                "4 h/{ada,bob,cid,dan}/temp",
                "1 h/dan/tv",
            ],
        ),
        (
            "properties of one machine",
            &["m/rpm", "m/temperature", "m/torque", "m/power"],
            &["1 m/power", "1 m/rpm", "1 m/temperature", "1 m/torque"],
        ),
        (
            "unknown properties of several machines",
            &[
                "m/x1/drehzahl",
                "m/x1/strom",
                "m/x2/drehzahl",
                "m/x2/strom",
                "m/x3/drehzahl",
                "m/x3/strom",
            ],
            &["3 m/x{1..3}/drehzahl", "3 m/x{1..3}/strom"],
        ),
        (
            "roles are no names",
            &["p/set/a1", "p/set/a2", "p/get/a1", "p/get/a2"],
            &["2 p/get/a{1,2}", "2 p/set/a{1,2}"],
        ),
        (
            "unlike siblings",
            &[
                "p/oven/door",
                "p/oven/heat",
                "p/crane/hook",
                "p/crane/swing",
            ],
            &[
                "1 p/crane/hook",
                "1 p/crane/swing",
                "1 p/oven/door",
                "1 p/oven/heat",
            ],
        ),
        (
            "numbered families stay apart",
            &[
                "p/fan1/on",
                "p/fan2/on",
                "p/fan3/on",
                "p/pump1/on",
                "p/pump2/on",
                "p/pump3/on",
            ],
            &["3 p/fan{1..3}/on", "3 p/pump{1..3}/on"],
        ),
        (
            "holders of one topic each",
            &[
                "own/ada/phone",
                "own/bob/pixel",
                "own/cid/nokia",
                "own/dan/mi",
                "own/eve/moto",
                "own/fay/asus",
                "own/gus/honor",
                "own/hal/oppo",
                "own/ian/zte",
            ],
            &["9 own/{9 names: ada,bob,…}/{9 names: asus,honor,…}"],
        ),
        (
            "settings are no names",
            &["p/settings/gain", "p/settings/bias", "p/settings/mute"],
            &[
                "1 p/settings/bias",
                "1 p/settings/gain",
                "1 p/settings/mute",
            ],
        ),
        (
            "unknown sensors",
            &["sensors/temperature", "sensors/druck", "sensors/feuchte"],
            &[
                "1 sensors/druck",
                "1 sensors/feuchte",
                "1 sensors/temperature",
            ],
        ),
        (
            "unknown properties of two machines, one missing",
            &[
                "m/x1/p", "m/x1/q", "m/x1/r", "m/x1/s", "m/x1/t", "m/x1/u", "m/x1/v", "m/x1/w",
                "m/x2/p", "m/x2/q", "m/x2/r", "m/x2/s", "m/x2/t", "m/x2/u", "m/x2/v",
            ],
            &[
                "2 m/x{1,2}/p",
                "2 m/x{1,2}/q",
                "2 m/x{1,2}/r",
                "2 m/x{1,2}/s",
                "2 m/x{1,2}/t",
                "2 m/x{1,2}/u",
                "2 m/x{1,2}/v",
                "1 m/x1/w",
            ],
        ),
        (
            "many names",
            &[
                "m/x1/p", "m/x1/q", "m/x1/r", "m/x1/s", "m/x2/t", "m/x2/u", "m/x2/v", "m/x2/w",
                "m/x2/x",
            ],
            &["9 m/x{1,2}/{9 names: p,q,…}"],
        ),
        (
            "names in other scripts",
            &["дом/кухня/свет", "дом/зал/свет"],
            &["2 дом/{зал,кухня}/свет"],
        ),
        (
            "characters that disturb",
            &["a/\u{202e}b/c"],
            &["1 a/\\u{202e}b/c"],
        ),
        (
            "letters among hexadecimal ids",
            &[
                "gw-a1b2c3",
                "gw-abcdef",
                "gw-123456",
                "gw-a1b2c4",
                "gw-a1b2c5",
                "gw-a1b2c6",
                "gw-a1b2c7",
                "gw-a1b2c8",
                "gw-a1b2c9",
            ],
            &["9 gw-{9 ids}"],
        ),
    ];
    for (name, topics, want) in cases {
        let topics: Vec<(String, &str)> =
            topics.iter().map(|t| ((*t).to_owned(), "number")).collect();
        assert_eq!(lines(&grouped(&topics, 40)), want, "{name}");
    }
}

/// A filter is as narrow as it can be.
#[test]
fn filters() {
    let cases: [(&[&str], usize, &str); 6] = [
        (&["a/b1/c", "a/b2/c"], 40, "a/+/c"),
        (&["a/b", "a/c/d"], 1, "a/+/#"),
        (&["a", "a/b"], 1, "a/#"),
        (&["a", "b/c"], 1, "#"),
        (&["$SYS/a", "$SYS/b"], 1, "$SYS/+"),
        (&["a/\u{1}/c"], 1, "a/+/c"),
    ];
    for (topics, most, want) in cases {
        let topics: Vec<(&str, &str)> = topics.iter().map(|&t| (t, "number")).collect();
        let result = check(&topics, most);
        assert_eq!(result.groups[0].filter.as_str(), want);
    }
}

/// What must hold for any input.
fn check(topics: &[(&str, &str)], most: usize) -> Grouped {
    let result = group(topics, most);
    assert!(result.groups.len() <= most);
    let mut times = vec![0; topics.len()];
    for group in &result.groups {
        assert!(!group.members.is_empty() && group.members.is_sorted());
        assert!(group.pattern.chars().count() <= 513 && group.filter.as_str().len() <= 516);
        assert!(!group.pattern.chars().any(mcpmqtt_protocol::topic::disturbs));
        for &member in &group.members {
            times[member] += 1;
            let topic = topics[member].0;
            assert!(group.filter.matches(topic), "{} of {topic:?}", group.filter);
        }
    }
    assert!(times.iter().all(|&n| n <= 1), "a topic is in two groups");
    assert_eq!(times.iter().filter(|&&n| n == 0).count(), result.left_out);
    result
}

/// Groups with their topics in place of indexes, to compare results of different orders.
fn by_name<'a>(
    topics: &[(&'a str, &str)],
    result: &Grouped,
) -> Vec<(String, String, bool, Vec<&'a str>)> {
    let of = |group: &Group| {
        let mut members: Vec<&str> = group.members.iter().map(|&at| topics[at].0).collect();
        members.sort_unstable();
        (
            group.pattern.clone(),
            group.filter.to_string(),
            group.merged,
            members,
        )
    };
    result.groups.iter().map(of).collect()
}

const PLANTS: [&str; 24] = [
    "german",
    "uns",
    "lorawan",
    "shadows",
    "cameras",
    "mess",
    "rooms",
    "zigbee2mqtt",
    "tasmota",
    "homeassistant",
    "sparkplug",
    "gateways",
    "line",
    "sys",
    "flat",
    "measurand first",
    "tags",
    "words",
    "departments",
    "one",
    "shelly",
    "homie",
    "buildings",
    "all",
];

#[test]
fn every_topic_is_in_one_group_in_any_order() {
    let mut random = fastrand::Rng::with_seed(13);
    for name in PLANTS {
        let topics = plant(name);
        let mut topics: Vec<(&str, &str)> = topics.iter().map(|(t, k)| (t.as_str(), *k)).collect();
        assert!(!topics.is_empty(), "{name}");
        for most in [0, 1, 2, 7, 25, 1000] {
            let first = check(&topics, most);
            if most > 1 {
                assert_eq!(first.left_out, 0, "{name} {most}");
            }
            let first = by_name(&topics, &first);
            random.shuffle(&mut topics);
            let again = check(&topics, most);
            assert_eq!(by_name(&topics, &again), first, "{name} {most}");
        }
    }
}

#[test]
fn any_topics_hold_what_is_promised() {
    let mut random = fastrand::Rng::with_seed(7);
    let labels = [
        "",
        "a",
        "b",
        "temperature",
        "state",
        "1",
        "2",
        "03",
        "m1",
        "m2",
        "$x",
        "$SYS",
        "+",
        "#",
        "a+b",
        "\u{1}",
        "ü",
        "\u{202e}",
        "a1b2c3",
        "d4e5f6",
        "room_1",
        "{a,b}",
        "0x12ab",
        "set",
        "\u{fffe}",
        "00:11:22:33:44:55",
    ];
    let kinds = ["", "number", "word"];
    for _ in 0..400 {
        let mut topics = Vec::new();
        let variety = random.usize(1..=labels.len());
        for _ in 0..random.usize(0..40) {
            let levels = (0..random.usize(1..6)).map(|_| labels[random.usize(..variety)]);
            topics.push((
                levels.collect::<Vec<_>>().join("/"),
                kinds[random.usize(..3)],
            ));
        }
        let mut topics: Vec<(&str, &str)> = topics.iter().map(|(t, k)| (t.as_str(), *k)).collect();
        let most = random.usize(0..12);
        let first = by_name(&topics, &check(&topics, most));
        random.shuffle(&mut topics);
        assert_eq!(
            by_name(&topics, &check(&topics, most)),
            first,
            "{topics:?} {most}"
        );
    }
}

#[test]
fn very_long_and_very_deep_topics() {
    let long = "x".repeat(65_000);
    let deep = ["d"; 30_000].join("/");
    let deep_other = format!("{}/e", ["d"; 30_000].join("/"));
    let long_first = format!("{long}/a");
    let hundred = ["l"; 100].join("/");
    let long_special = format!("${long}");
    let topics = [
        (long.as_str(), "number"),
        (&deep, "number"),
        (&deep_other, "number"),
        (&long_first, "number"),
        (&hundred, "number"),
        (&long_special, "number"),
        ("d/d", "number"),
    ];
    for most in [1, 2, 3, 40] {
        let result = check(&topics, most);
        assert_eq!(
            result.left_out, 1,
            "only the one whose first level no short filter can name"
        );
    }
}

/// Labels and kinds that would cost the square of their number or length if the work on them had no bound.
#[test]
fn hostile_topics() {
    let long = format!("a/{}", "ab-".repeat(21_000));
    let numbers = format!("a/{}", "1x".repeat(32_000));
    let mut topics = vec![(long, "number".to_owned()), (numbers, "number".to_owned())];
    topics.extend((0..6000u32).map(|n| {
        let name: String = (0..6)
            .map(|k| char::from(b'a' + ((n >> (k * 4)) & 15) as u8))
            .collect();
        (format!("kinds/{name}"), format!("kind {}", n / 2))
    }));
    let topics: Vec<(&str, &str)> = topics
        .iter()
        .map(|(t, k)| (t.as_str(), k.as_str()))
        .collect();
    let result = check(&topics, 40);
    assert_eq!(result.left_out, 0);
}

#[test]
fn a_group_counts_what_there_is_up_to_each_level_that_varies() {
    let mut topics = Vec::new();
    for line in 1..=4 {
        // The last line has fewer motors.
        for motor in 1..=(if line == 4 { 3 } else { 6 }) {
            for value in ["rpm", "current"] {
                topics.push(format!("site/line{line}/motor{motor}/{value}"));
            }
        }
    }
    let known: Vec<_> = topics
        .iter()
        .map(|topic| (topic.as_str(), "number"))
        .collect();
    let grouped = group(&known, 1);
    assert_eq!(grouped.groups[0].counts, [4, 21, 42], "{grouped:?}");
    let lamps = [
        "z/lamp_a",
        "z/lamp_a/set",
        "z/lamp_b",
        "z/lamp_b/set",
        "z/lamp_c",
    ];
    let grouped = group(&lamps.map(|topic| (topic, "json")), 1);
    assert_eq!(grouped.groups[0].counts, [3, 5], "{grouped:?}");
    let grouped = group(&[("a/1", "number"), ("a/2", "number")], 9);
    assert_eq!(grouped.groups[0].counts, [0; 0], "`topics` says it");
}
