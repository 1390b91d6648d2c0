//! Words that say what a topic is about, in contrast to names of things.
//!
//! The structure of a plant alone cannot tell `{NBIRTH,NDATA}/node1` from `{hall,kitchen}/temperature`: in both, two
//! parents have equal children. What is named here is never taken for one of many names.

use super::label::tokens;

/// Whether the whole level says what a topic is about: `temperature`, `battery_low`, `STATE`, `$name`.
pub(super) fn is_term(label: &str) -> bool {
    if label.starts_with('$') {
        return true;
    }
    let mut words = tokens(label).filter(is_name).peekable();
    words.peek().is_some() && words.all(is_word)
}

/// Whether a word of the level says what the topic is about: `kitchen_temperature`.
pub(super) fn has_term(label: &str) -> bool {
    label.starts_with('$') || tokens(label).any(is_word)
}

/// Whether the level reads like a container of things: `gateways`.
pub(super) fn is_plural(label: &str) -> bool {
    label.len() >= 4 && label.ends_with(['s', 'S']) && !label.ends_with("ss") && !is_term(label)
}

/// Whether a token is one of [`WORDS`], in any case.
pub(super) fn is_word(token: &str) -> bool {
    let lower = || token.bytes().map(|byte| byte.to_ascii_lowercase());
    WORDS
        .binary_search_by(|word| word.bytes().cmp(lower()))
        .is_ok()
}

/// Whether a token is no number.
fn is_name(token: &&str) -> bool {
    !token.starts_with(char::is_numeric)
}

/// Measurands, properties, and the roles that common conventions give to levels (Tasmota, Home Assistant, Sparkplug,
/// Homie, zigbee2mqtt). Sorted.
const WORDS: [&str; 225] = [
    "absolute",
    "accel",
    "acceleration",
    "ack",
    "action",
    "active",
    "actual",
    "alarm",
    "alarms",
    "alert",
    "altitude",
    "ambient",
    "amplitude",
    "angle",
    "announce",
    "attributes",
    "availability",
    "available",
    "average",
    "avg",
    "azimuth",
    "battery",
    "binary",
    "birth",
    "brightness",
    "button",
    "bytes",
    "climate",
    "cmd",
    "cmnd",
    "co",
    "co2",
    "color",
    "command",
    "commands",
    "condition",
    "config",
    "configuration",
    "connected",
    "connection",
    "consumption",
    "contact",
    "control",
    "count",
    "counter",
    "cover",
    "current",
    "data",
    "dbirth",
    "dcmd",
    "ddata",
    "ddeath",
    "death",
    "debug",
    "delta",
    "depth",
    "detection",
    "dew",
    "dimmer",
    "discovery",
    "distance",
    "door",
    "duration",
    "effect",
    "elevation",
    "enabled",
    "energy",
    "error",
    "errors",
    "event",
    "events",
    "export",
    "fan",
    "fault",
    "faults",
    "feedback",
    "firmware",
    "flow",
    "force",
    "frequency",
    "fw",
    "gas",
    "get",
    "grid",
    "gust",
    "health",
    "heartbeat",
    "heating",
    "high",
    "hours",
    "humidity",
    "id",
    "illuminance",
    "import",
    "impulse",
    "index",
    "info",
    "input",
    "intensity",
    "ip",
    "json",
    "kwh",
    "last",
    "latency",
    "latitude",
    "level",
    "light",
    "limit",
    "linkquality",
    "load",
    "lock",
    "log",
    "logs",
    "longitude",
    "low",
    "luminance",
    "lux",
    "lwt",
    "max",
    "mean",
    "memory",
    "message",
    "messages",
    "meta",
    "min",
    "mode",
    "model",
    "moisture",
    "motion",
    "name",
    "nbirth",
    "ncmd",
    "ndata",
    "ndeath",
    "noise",
    "number",
    "occupancy",
    "off",
    "offline",
    "on",
    "online",
    "open",
    "output",
    "payload",
    "percent",
    "ph",
    "pm",
    "position",
    "power",
    "presence",
    "pressure",
    "production",
    "progress",
    "properties",
    "pulse",
    "quality",
    "quantity",
    "query",
    "rain",
    "reading",
    "readings",
    "received",
    "reply",
    "request",
    "reset",
    "response",
    "result",
    "rotation",
    "rpm",
    "rssi",
    "seen",
    "select",
    "sensor",
    "sent",
    "serial",
    "series",
    "set",
    "setpoint",
    "settings",
    "sht",
    "signal",
    "smoke",
    "soc",
    "solar",
    "speed",
    "start",
    "stat",
    "state",
    "stats",
    "status",
    "stop",
    "switch",
    "tamper",
    "target",
    "tele",
    "telemetry",
    "temp",
    "temperature",
    "text",
    "tilt",
    "time",
    "timestamp",
    "torque",
    "total",
    "tvoc",
    "unit",
    "update",
    "uptime",
    "uv",
    "value",
    "valve",
    "version",
    "vibration",
    "voc",
    "voltage",
    "volume",
    "warning",
    "warnings",
    "watt",
    "watts",
    "weight",
    "wifi",
    "wind",
    "window",
    "yield",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_and_in_lower_case() {
        assert!(WORDS.is_sorted());
        assert!(
            WORDS
                .iter()
                .all(|w| w.len() <= 16 && **w == w.to_lowercase())
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
        assert!(has_term("kitchenTemperature") && !has_term("kitchen"));
        assert!(is_plural("gateways") && !is_plural("status") && !is_plural("bus"));
    }
}
