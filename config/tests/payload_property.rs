//! No payload outside the limits passes, and none within is refused: against a judge that shares no code with the
//! program, neither for numbers nor for JSON.
#![allow(clippy::unwrap_used)]

use mcpmqtt_config::{Attempt, Config};
use mcpmqtt_protocol::topic::TopicName;
use serde_json::{Map, Value, json};

// --- the independent judge ---------------------------------------------------------------------------------------------

/// A value of JSON, with numbers as they are written.
enum Json {
    Number(String),
    Text(String),
    Word(&'static str),
    List,
    Object(Vec<(String, Json)>),
}

/// A reader of RFC 8259, character by character.
struct Reader<'a>(std::iter::Peekable<std::str::Chars<'a>>);

impl Reader<'_> {
    fn whole(text: &str) -> Option<Json> {
        let mut reader = Reader(text.chars().peekable());
        let value = reader.value()?;
        reader.blank();
        reader.0.next().is_none().then_some(value)
    }

    fn blank(&mut self) {
        while self.0.next_if(|c| " \t\r\n".contains(*c)).is_some() {}
    }

    fn takes(&mut self, wanted: char) -> bool {
        self.blank();
        self.0.next_if_eq(&wanted).is_some()
    }

    fn value(&mut self) -> Option<Json> {
        self.blank();
        match self.0.peek()? {
            '"' => self.text().map(Json::Text),
            '{' => self.object(),
            '[' => self.list(),
            '-' | '0'..='9' => {
                let mut token = String::new();
                while let Some(c) = self
                    .0
                    .next_if(|c| c.is_ascii_digit() || "+-.eE".contains(*c))
                {
                    token.push(c);
                }
                parts(&token).map(|_| Json::Number(token))
            }
            _ => ["true", "false", "null"]
                .into_iter()
                .find(|word| {
                    let mut ahead = self.0.clone();
                    let is_it = word.chars().all(|c| ahead.next() == Some(c));
                    if is_it {
                        self.0 = ahead;
                    }
                    is_it
                })
                .map(Json::Word),
        }
    }

    fn text(&mut self) -> Option<String> {
        let mut units: Vec<u16> = Vec::new();
        self.0.next_if_eq(&'"')?;
        loop {
            match self.0.next()? {
                '"' => return String::from_utf16(&units).ok(),
                '\\' => units.push(match self.0.next()? {
                    'u' => {
                        let hex: String = self.0.by_ref().take(4).collect();
                        if hex.len() != 4 || !hex.chars().all(|c| c.is_ascii_hexdigit()) {
                            return None;
                        }
                        u16::from_str_radix(&hex, 16).ok()?
                    }
                    'n' => 10,
                    't' => 9,
                    'r' => 13,
                    'b' => 8,
                    'f' => 12,
                    c @ ('"' | '\\' | '/') => c as u16,
                    _ => return None,
                }),
                c if (c as u32) < 0x20 => return None,
                c => units.extend(c.encode_utf16(&mut [0; 2]).iter()),
            }
        }
    }

    fn object(&mut self) -> Option<Json> {
        let mut members = Vec::new();
        self.0.next();
        if self.takes('}') {
            return Some(Json::Object(members));
        }
        loop {
            self.blank();
            let name = self.text()?;
            if !self.takes(':') {
                return None;
            }
            members.push((name, self.value()?));
            if self.takes('}') {
                return Some(Json::Object(members));
            }
            if !self.takes(',') {
                return None;
            }
        }
    }

    fn list(&mut self) -> Option<Json> {
        self.0.next();
        if self.takes(']') {
            return Some(Json::List);
        }
        loop {
            self.value()?;
            if self.takes(']') {
                return Some(Json::List);
            }
            if !self.takes(',') {
                return None;
            }
        }
    }
}

/// Sign, whole digits, fraction, exponent of a number of JSON.
fn parts(text: &str) -> Option<(bool, String, String, i32)> {
    let mut rest = text;
    let minus = rest.starts_with('-');
    rest = &rest[usize::from(minus)..];
    let digits = |rest: &mut &str| {
        let count = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (found, left) = rest.split_at(count);
        *rest = left;
        (count > 0).then(|| found.to_owned())
    };
    let whole = digits(&mut rest)?;
    if whole.len() > 1 && whole.starts_with('0') {
        return None;
    }
    let mut fraction = String::new();
    if let Some(after) = rest.strip_prefix('.') {
        rest = after;
        fraction = digits(&mut rest)?;
    }
    let mut exponent = 0;
    if let Some(after) = rest.strip_prefix(['e', 'E']) {
        rest = after;
        let negative = rest.starts_with('-');
        rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        let size: i32 = digits(&mut rest)?.parse().ok()?;
        exponent = if negative { -size } else { size };
    }
    rest.is_empty()
        .then_some((minus, whole, fraction, exponent))
}

/// A number as digits on both sides of a fixed point, so that texts compare as numbers do. The last place stands for all
/// digits behind it.
fn fixed(text: &str) -> (bool, String) {
    let (minus, whole, fraction, exponent) = parts(text).unwrap();
    let mut places = vec!['0'; 801];
    let mut weight = i32::try_from(whole.len()).unwrap() - 1 + exponent;
    for digit in whole.chars().chain(fraction.chars()) {
        if digit != '0' {
            let place = usize::try_from(400 - weight).unwrap().min(800);
            places[place] = if place == 800 { '1' } else { digit };
        }
        weight -= 1;
    }
    (minus, places.into_iter().collect())
}

fn at_most(a: &str, b: &str) -> bool {
    let ((minus_a, a), (minus_b, b)) = (fixed(a), fixed(b));
    let is_zero = |digits: &str| digits.bytes().all(|digit| digit == b'0');
    match (minus_a && !is_zero(&a), minus_b && !is_zero(&b)) {
        (true, false) => true,
        (false, true) => false,
        (false, false) => a <= b,
        (true, true) => b <= a,
    }
}

fn number(rule: &Value, text: &str, in_object: bool) -> bool {
    let Some((minus, whole, fraction, _)) = parts(text) else {
        return false;
    };
    let is_zero = format!("{whole}{fraction}")
        .bytes()
        .all(|digit| digit == b'0');
    let has_exponent = text.contains(['e', 'E']);
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-');
    let held = match rule["type"] == "integer" {
        true => is_plain && text.parse::<i64>().is_ok(),
        false => text.parse::<f64>().unwrap().is_finite(),
    };
    text.len() <= 64
        && held
        && !(minus && is_zero)
        && (in_object || !has_exponent)
        && (rule["max"].is_null() || at_most(text, &rule["max"].to_string()))
        && (rule["min"].is_null() || at_most(&rule["min"].to_string(), text))
}

fn words(rule: &Value) -> Option<Vec<Value>> {
    let yes_no = [&rule["true"], &rule["false"]].map(Clone::clone).to_vec();
    match rule["type"].as_str().unwrap() {
        "boolean" if rule["true"].is_null() => None,
        "boolean" => Some(yes_no),
        "enum" => rule["values"].as_array().cloned(),
        _ => None,
    }
}

fn passes(rule: &Value, payload: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(payload) else {
        return false;
    };
    if let Some(words) = words(rule) {
        return words.iter().any(|word| match word {
            Value::String(word) => word == text,
            Value::Number(word) => word.to_string() == text,
            other => panic!("{other} is no word"),
        });
    }
    match rule["type"].as_str().unwrap() {
        "number" | "integer" => number(rule, text, false),
        "boolean" => text == "true" || text == "false",
        "text" => rule["max_bytes"]
            .as_u64()
            .is_none_or(|max| text.len() as u64 <= max),
        _ => Reader::whole(text).is_some_and(|value| value_passes(rule, &value)),
    }
}

fn value_passes(rule: &Value, value: &Json) -> bool {
    if let Some(words) = words(rule) {
        return words.iter().any(|word| match (word, value) {
            (Value::String(word), Json::Text(text)) => word == text,
            (Value::Number(word), Json::Number(text)) => word.to_string() == *text,
            _ => false,
        });
    }
    match (rule["type"].as_str().unwrap(), value) {
        ("number" | "integer", Json::Number(text)) => number(rule, text, true),
        ("boolean", Json::Word(word)) => *word != "null",
        ("text", Json::Text(text)) => rule["max_bytes"]
            .as_u64()
            .is_none_or(|max| text.len() as u64 <= max),
        ("object", Json::Object(members)) => {
            let times = |name: &str| members.iter().filter(|(known, _)| known == name).count();
            let required = rule["required"].as_array().into_iter().flatten();
            members.iter().all(|(name, value)| {
                let field = rule["fields"].get(name);
                field.is_some_and(|field| value_passes(field, value)) && times(name) == 1
            }) && required
                .into_iter()
                .all(|name| times(name.as_str().unwrap()) == 1)
        }
        _ => false,
    }
}

// --- rules and payloads ------------------------------------------------------------------------------------------------

struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.roll(of.len())]
    }

    fn rule(&mut self, depth: usize) -> Value {
        let bounds = [
            json!(0),
            json!(-3),
            json!(2000),
            json!(0.3),
            json!(-0.3),
            json!(1e21),
            json!(9_007_199_254_740_992_i64),
            json!(1.5),
        ];
        match self.roll(if depth == 0 { 5 } else { 8 }) {
            0 => json!({"type": "boolean"}),
            1 => json!({"type": "boolean", "true": "ON", "false": "é\"\\"}),
            2 => json!({"type": "enum", "values": ["on", "", 7, -1, "7.5"]}),
            3 => match self.roll(2) {
                0 => json!({"type": "text"}),
                _ => json!({"type": "text", "max_bytes": 1 + self.roll(5)}),
            },
            4 => {
                let mut rule = json!({"type": self.one(&["number", "integer"])});
                for side in ["min", "max"] {
                    if self.roll(3) > 0 {
                        rule[side] = bounds[self.roll(bounds.len())].clone();
                    }
                }
                rule
            }
            _ => {
                let (mut fields, mut required) = (Map::new(), Vec::new());
                for name in ["a", "é", ""] {
                    if self.roll(3) > 0 {
                        fields.insert(name.into(), self.rule(depth - 1));
                        if self.roll(2) == 0 {
                            required.push(name);
                        }
                    }
                }
                json!({"type": "object", "fields": fields, "required": required})
            }
        }
    }

    /// A payload that is probably near the edge of the rule.
    fn payload(&mut self, rule: &Value) -> Vec<u8> {
        let mut payload = self.text(rule, false).into_bytes();
        if self.roll(6) == 0 {
            let at = self.roll(payload.len() + 1);
            match self.roll(4) {
                0 => payload.insert(
                    at,
                    *self.one(&[&b' ', &b'\n', &b'0', &b'-', &b'"', &b',', &0xff, &0]),
                ),
                1 if at < payload.len() => drop(payload.remove(at)),
                2 => payload.truncate(at),
                _ => payload.extend_from_within(..at),
            }
        }
        payload
    }

    fn text(&mut self, rule: &Value, in_object: bool) -> String {
        if self.roll(12) == 0 {
            let stray = [
                "null",
                "NaN",
                "1,5",
                "[]",
                "{}",
                "\"on\"",
                "true",
                "1e400",
                "-0",
                "0x10",
                "1e-400",
                "{\"a\":1}",
                "\u{feff}1",
                "+1",
                "01",
            ];
            return self.one(&stray).to_owned();
        }
        let quoted = |text: &str| match in_object {
            true => Value::from(text).to_string(),
            false => text.to_owned(),
        };
        match rule["type"].as_str().unwrap() {
            "number" | "integer" => self.number(rule),
            "boolean" if rule["true"].is_null() => self.one(&["true", "false", "TRUE"]).to_owned(),
            "boolean" | "enum" => {
                let words = words(rule).unwrap();
                match &words[self.roll(words.len())] {
                    Value::String(word) => quoted(word),
                    other => other.to_string(),
                }
            }
            "text" => quoted(self.one(&["", "a", "é", "ab\"", "😀x", "\u{1}", "abcdef"])),
            _ => self.object(rule),
        }
    }

    fn number(&mut self, rule: &Value) -> String {
        let side = self.one(&["min", "max"]);
        let edge = match rule[side].is_null() {
            true => self
                .one(&["0", "1", "-2", "9223372036854775807"])
                .to_owned(),
            false => rule[side].to_string(),
        };
        match self.roll(8) {
            0 => format!("{edge}0"),
            1 if edge.contains('.') => format!("{edge}{:0<1$}1", "", self.roll(40)),
            1 => format!("{edge}.{:0<1$}1", "", self.roll(40)),
            2 => format!("{edge}{}", self.one(&["e0", "E1", "e-1", "e+2", ".0"])),
            3 => format!("-{edge}"),
            4 => edge.strip_prefix('-').unwrap_or(&edge).to_owned(),
            5 => edge
                .parse::<i64>()
                .map_or(edge, |edge| (edge.saturating_add(1)).to_string()),
            6 => edge
                .parse::<f64>()
                .map_or(edge, |edge| (edge * 1.000_000_000_000_000_2).to_string()),
            _ => edge,
        }
    }

    fn object(&mut self, rule: &Value) -> String {
        let mut members = Vec::new();
        for (name, field) in rule["fields"].as_object().unwrap() {
            if self.roll(5) > 0 {
                let written = match (name.as_str(), self.roll(4)) {
                    ("a", 0) => "\"\\u0061\"".to_owned(),
                    ("é", 0) => "\"e\u{301}\"".to_owned(),
                    _ => Value::from(name.as_str()).to_string(),
                };
                let blank = self.one(&["", "", " ", "\n\t"]);
                members.push(format!(
                    "{written}{blank}:{blank}{}",
                    self.text(field, true)
                ));
                if self.roll(12) == 0 {
                    members.push(format!("{written}:{}", self.text(field, true)));
                }
            }
        }
        if self.roll(12) == 0 {
            members.push(
                self.one(&[
                    "\"b\":1",
                    "\"A\":1",
                    "\"\":[{\"}\":\"{\"}]",
                    "\"\\ud800\":0",
                ])
                .to_owned(),
            );
        }
        format!("{{{}}}", members.join(","))
    }
}

#[test]
fn exactly_the_payloads_within_the_limits_pass() {
    let rules = match std::env::var_os("MCPMQTT_TEST_FULL") {
        Some(_) => 100_000,
        None => 1_000,
    };
    let topic = TopicName::parse("a/b").unwrap();
    let mut dice = Dice(14);
    let (mut passed, mut refused) = (0, 0);
    for _ in 0..rules {
        // Up to three rules for the topic; all hold.
        let mut rules = Vec::new();
        for pattern in ["a/b", "a/+", "#"] {
            if dice.roll(3) == 0 {
                rules.push((pattern, dice.rule(2)));
            }
        }
        let entry = |(pattern, rule): &(&str, Value)| json!({"pattern": pattern, "permissions": ["write"], "payload": rule});
        let mut topics: Vec<_> = rules.iter().map(entry).collect();
        topics.push(json!({"pattern": "a/#", "permissions": ["write"]}));
        // Rules that nothing meets by themselves are refused with the file.
        let Ok((config, _)) = Config::parse(&json!({ "topics": topics }).to_string()) else {
            continue;
        };
        for _ in 0..20 {
            let payload = match rules.first() {
                Some((_, rule)) => dice.payload(rule),
                None => vec![0xff],
            };
            let attempt = Attempt {
                topic: &topic,
                payload: &payload,
                retain: false,
            };
            let judged = config.policy.judge(&attempt);
            let expected = rules.iter().all(|(_, rule)| passes(rule, &payload));
            let told = judged.as_ref().err().map(ToString::to_string);
            assert_eq!(
                judged.is_ok(),
                expected,
                "{:?} by {rules:#?}: {told:?}",
                String::from_utf8_lossy(&payload)
            );
            match expected {
                true => passed += 1,
                false => refused += 1,
            }
            let words = told.unwrap_or_default();
            assert!(words.len() < 4096 && !words.contains('\n'), "{words}");
        }
    }
    assert!(
        passed > rules * 2 && refused > rules * 2,
        "{passed} passed, {refused} refused"
    );
}

/// What the check says of two limits is true of every payload that is tried, and it says both often.
#[test]
fn doubts_about_two_limits_are_true() {
    let policy = |rules: &[(&str, &Value)]| {
        let entry = |(pattern, rule): &(&str, &Value)| json!({"pattern": pattern, "permissions": ["write"], "description": "d", "payload": rule});
        let topics: Vec<_> = rules.iter().map(entry).collect();
        Config::parse(&json!({ "topics": topics }).to_string()).ok()
    };
    let topic = TopicName::parse("a/b").unwrap();
    let mut dice = Dice(41);
    let (mut unmet, mut slack) = (0, 0);
    for _ in 0..800 {
        let (wide, narrow) = (dice.rule(1), dice.rule(1));
        let both = policy(&[("a/+", &wide), ("a/b", &narrow)]);
        let (Some((_, warnings)), Some((wide_alone, _)), Some((narrow_alone, _))) =
            (both, policy(&[("a/+", &wide)]), policy(&[("a/b", &narrow)]))
        else {
            continue;
        };
        let said = |words: &str| {
            let told = |warning: &&mcpmqtt_config::Finding| {
                warning.path == "topics[1].payload" && warning.text.starts_with(words)
            };
            warnings.iter().any(|warning| told(&warning))
        };
        let is_unmet = said(
            "nothing can be published to `a/b`: no payload meets this limit and that of `a/+`",
        );
        let is_slack = said("takes nothing away: that of `a/+` in topics[0]");
        unmet += usize::from(is_unmet);
        slack += usize::from(is_slack);
        for _ in 0..20 {
            let payload = match dice.roll(2) {
                0 => dice.payload(&wide),
                _ => dice.payload(&narrow),
            };
            let passes = |config: &Config| {
                let attempt = Attempt {
                    topic: &topic,
                    payload: &payload,
                    retain: false,
                };
                config.policy.judge(&attempt).is_ok()
            };
            let (wide_passes, narrow_passes) = (passes(&wide_alone), passes(&narrow_alone));
            let shown = String::from_utf8_lossy(&payload);
            assert!(
                !is_unmet || !wide_passes || !narrow_passes,
                "{shown}: {wide} {narrow}"
            );
            assert!(
                !is_slack || !wide_passes || narrow_passes,
                "{shown}: {wide} {narrow}"
            );
        }
    }
    assert!(unmet > 50 && slack > 50, "{unmet} unmet, {slack} slack");
}
