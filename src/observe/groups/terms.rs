//! Words that say what a topic is about, in contrast to names of things.
//!
//! The structure of a plant alone cannot tell `{NBIRTH,NDATA}/node1` from `{hall,kitchen}/temperature`: in both, two
//! parents have equal children. What is named here is never taken for one of many names.

use super::label::tokens;

/// Whether the whole level says what a topic is about: `temperature`, `battery_low`, `STATE`, `$name`.
pub(super) fn is_term(label: &str) -> bool {
    label.starts_with('$') || all_names(label, is_word)
}

/// Whether names of things stand below the level: what has a `temperature`, or sends an `NBIRTH`.
pub(super) fn is_above(label: &str) -> bool {
    all_names(label, is_above_names)
}

fn is_above_names(token: &str) -> bool {
    is_one_of(&MEASURANDS, token) || is_one_of(&ABOVE_NAMES, token)
}

/// Whether all words of the level but numbers are like that.
fn all_names(label: &str, like: fn(&str) -> bool) -> bool {
    let mut words = tokens(label).filter(is_name).peekable();
    words.peek().is_some() && words.all(like)
}

/// Whether a word of the level says what the topic is about: `kitchen_temperature`.
pub(super) fn has_term(label: &str) -> bool {
    label.starts_with('$') || tokens(label).any(is_word)
}

/// Whether the level reads like a container of things: `gateways`.
pub(super) fn is_plural(label: &str) -> bool {
    label.len() >= 4 && label.ends_with(['s', 'S']) && !label.ends_with("ss") && !is_term(label)
}

/// Whether a token is one of the words below, in any case.
pub(super) fn is_word(token: &str) -> bool {
    is_above_names(token) || is_one_of(&ROLES, token)
}

fn is_one_of(words: &[&str], token: &str) -> bool {
    let lower = || token.bytes().map(|byte| byte.to_ascii_lowercase());
    words
        .binary_search_by(|word| word.bytes().cmp(lower()))
        .is_ok()
}

/// Whether a token is not a number.
fn is_name(token: &&str) -> bool {
    !token.starts_with(char::is_numeric)
}

/// What is measured. Sorted.
const MEASURANDS: [&str; 65] = [
    "accel",
    "acceleration",
    "altitude",
    "amplitude",
    "angle",
    "azimuth",
    "battery",
    "brightness",
    "co",
    "co2",
    "consumption",
    "contact",
    "current",
    "depth",
    "distance",
    "elevation",
    "energy",
    "flow",
    "force",
    "frequency",
    "gas",
    "humidity",
    "illuminance",
    "intensity",
    "kwh",
    "latency",
    "latitude",
    "level",
    "linkquality",
    "longitude",
    "luminance",
    "lux",
    "moisture",
    "motion",
    "noise",
    "occupancy",
    "ph",
    "pm",
    "power",
    "presence",
    "pressure",
    "rain",
    "rotation",
    "rpm",
    "rssi",
    "smoke",
    "soc",
    "solar",
    "speed",
    "tamper",
    "temp",
    "temperature",
    "tilt",
    "torque",
    "tvoc",
    "uptime",
    "uv",
    "vibration",
    "voc",
    "voltage",
    "volume",
    "watt",
    "watts",
    "weight",
    "wind",
];

/// Roles that stand above the names of things (Tasmota, Sparkplug, and lists of events). Sorted.
const ABOVE_NAMES: [&str; 17] = [
    "alarms", "alerts", "cmnd", "dbirth", "dcmd", "ddata", "ddeath", "errors", "events", "faults",
    "nbirth", "ncmd", "ndata", "ndeath", "stat", "tele", "warnings",
];

/// Properties that are not measured, and roles that common conventions give to levels (Home Assistant, Homie,
/// zigbee2mqtt). Sorted.
const ROLES: [&str; 168] = [
    "absolute",
    "ack",
    "action",
    "active",
    "actual",
    "alarm",
    "alert",
    "ambient",
    "announce",
    "attributes",
    "availability",
    "available",
    "average",
    "avg",
    "binary",
    "birth",
    "button",
    "bytes",
    "clients",
    "climate",
    "cmd",
    "color",
    "command",
    "commands",
    "condition",
    "config",
    "configuration",
    "connected",
    "connection",
    "control",
    "count",
    "counter",
    "counters",
    "cover",
    "data",
    "death",
    "debug",
    "delta",
    "details",
    "detection",
    "dew",
    "diag",
    "diagnostics",
    "dimmer",
    "discovery",
    "door",
    "duration",
    "effect",
    "enabled",
    "error",
    "event",
    "export",
    "fan",
    "fault",
    "feedback",
    "firmware",
    "fw",
    "get",
    "grid",
    "gust",
    "health",
    "heartbeat",
    "heating",
    "high",
    "hours",
    "id",
    "import",
    "impulse",
    "index",
    "info",
    "input",
    "inputs",
    "ip",
    "json",
    "last",
    "light",
    "limit",
    "limits",
    "load",
    "lock",
    "log",
    "logs",
    "low",
    "lwt",
    "max",
    "mean",
    "measurements",
    "memory",
    "message",
    "messages",
    "meta",
    "metric",
    "metrics",
    "min",
    "mode",
    "model",
    "name",
    "number",
    "off",
    "offline",
    "on",
    "online",
    "open",
    "output",
    "outputs",
    "param",
    "parameter",
    "parameters",
    "params",
    "payload",
    "percent",
    "position",
    "production",
    "progress",
    "properties",
    "pulse",
    "quality",
    "quantity",
    "query",
    "reading",
    "readings",
    "received",
    "reply",
    "report",
    "reports",
    "request",
    "reset",
    "response",
    "result",
    "seen",
    "select",
    "sensor",
    "sensors",
    "sent",
    "serial",
    "series",
    "set",
    "setpoint",
    "settings",
    "sht",
    "signal",
    "signals",
    "start",
    "state",
    "states",
    "statistics",
    "stats",
    "status",
    "stop",
    "switch",
    "target",
    "telemetry",
    "text",
    "time",
    "timestamp",
    "total",
    "unit",
    "update",
    "value",
    "values",
    "valve",
    "variables",
    "vars",
    "version",
    "warning",
    "wifi",
    "window",
    "yield",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_and_in_lower_case() {
        let lists: [&[&str]; 3] = [&MEASURANDS, &ABOVE_NAMES, &ROLES];
        assert!(lists.iter().all(|list| list.is_sorted()));
        assert!(
            lists
                .iter()
                .copied()
                .flatten()
                .all(|word| **word == word.to_lowercase())
        );
    }

    #[test]
    fn terms_and_names() {
        for term in [
            "temperature",
            "battery_low",
            "STATE",
            "$name",
            "co2",
            "NDATA",
            "binary_sensor",
        ] {
            assert!(is_term(term), "{term}");
        }
        for name in ["", "kitchen", "kitchen_temperature", "motor1", "12", "plug"] {
            assert!(!is_term(name), "{name}");
        }
        assert!(is_above("temperature") && is_above("tele") && !is_above("settings"));
        assert!(has_term("kitchenTemperature") && !has_term("kitchen"));
        assert!(
            is_plural("gateways")
                && !is_plural("sensors")
                && !is_plural("status")
                && !is_plural("bus")
        );
    }
}
