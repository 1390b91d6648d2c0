//! Topics in which levels of another topic stand: `site/{1}/rpm` beside the pattern `site/+/cmd/rpm`.

use std::fmt;

use mcpmqtt_protocol::topic::{SubscribeFilter, TopicFilter, TopicName};

use crate::policy::Policy;

/// A topic in which `{1}` stands for what the first wildcard of a pattern matches, `{2}` for the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicTemplate {
    text: String,
    pattern: TopicFilter,
}

impl TopicTemplate {
    /// Parses a template beside `pattern`.
    ///
    /// # Errors
    /// What is wrong, and what to write.
    pub(crate) fn parse(text: &str, pattern: &TopicFilter) -> Result<Self, String> {
        if text == "$share" || text.starts_with("$share/") {
            return Err(
                "a shared subscription takes messages away from others; name the topic itself"
                    .into(),
            );
        }
        let wildcards = levels(pattern).filter(|level| is_wildcard(level)).count();
        for level in text.split('/') {
            match place(level) {
                Some(n) if (1..=wildcards).contains(&n) => {}
                Some(_) => {
                    return Err(format!(
                        "`{level}` stands for a wildcard of the pattern, which has {wildcards}"
                    ));
                }
                None if has_place(level) => {
                    return Err("write `{1}` as a level of its own, between two `/`".into());
                }
                None => {}
            }
        }
        let template = Self {
            text: text.into(),
            pattern: pattern.clone(),
        };
        let example = template.filled(|_| Some("x".into()));
        match example.map(|topic| TopicName::parse(&topic)) {
            Some(Err(error)) => Err(error.to_string()),
            _ => Ok(template),
        }
    }

    /// The topic beside `topic`, which the pattern matches. None where no topic can be made of it.
    pub fn fill(&self, topic: &TopicName) -> Option<TopicName> {
        let matched = matched(&self.pattern, topic.as_str());
        let filled = self.filled(|n| matched.get(n - 1).cloned())?;
        TopicName::parse(&filled).ok()
    }

    /// Whether the policy lets its callers read every topic that this may become.
    pub fn is_readable(&self, policy: &Policy) -> bool {
        let filter = self.widest();
        filter.is_some_and(|filter| policy.may_subscribe(&filter).is_ok())
    }

    /// Whether every topic that this may become is one of `filter`.
    pub(crate) fn is_within(&self, filter: &TopicFilter) -> bool {
        let widest = self.widest();
        widest.is_some_and(|widest| filter.covers(widest.filter()))
    }

    /// A filter of every topic that this may become.
    fn widest(&self) -> Option<SubscribeFilter> {
        let pattern: Vec<_> = levels(&self.pattern)
            .filter(|level| is_wildcard(level))
            .collect();
        let filter = self.filled(|n| pattern.get(n - 1).map(|level| (*level).to_owned()));
        // What stands behind a `#` can be anywhere.
        let filter = filter.and_then(|text| SubscribeFilter::parse(&text).ok());
        filter.or_else(|| SubscribeFilter::parse("#").ok())
    }

    /// A `#` that matches no level leaves its level out.
    fn filled(&self, level: impl Fn(usize) -> Option<String>) -> Option<String> {
        let mut filled = Vec::new();
        for text in self.text.split('/') {
            match place(text) {
                None => filled.push(text.to_owned()),
                Some(n) => match level(n) {
                    Some(level) => filled.push(level),
                    None => continue,
                },
            }
        }
        (!filled.is_empty()).then(|| filled.join("/"))
    }
}

impl fmt::Display for TopicTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The number in a level that is `{n}`.
fn place(level: &str) -> Option<usize> {
    let digits = level.strip_prefix('{')?.strip_suffix('}')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(usize::MAX))
}

/// Whether `{n}` is a part of the level.
fn has_place(level: &str) -> bool {
    let opened = level
        .match_indices('{')
        .filter_map(|(at, _)| level.get(at..));
    let mut closed = opened.filter_map(|rest| Some(&rest[..=rest.find('}')?]));
    closed.any(|part| place(part).is_some())
}

fn levels(pattern: &TopicFilter) -> impl Iterator<Item = &str> {
    pattern.as_str().split('/')
}

fn is_wildcard(level: &str) -> bool {
    matches!(level, "+" | "#")
}

/// What each wildcard of `pattern` matches in `topic`; a `#` that matches no level is left out.
fn matched(pattern: &TopicFilter, topic: &str) -> Vec<String> {
    let mut matched = Vec::new();
    let mut rest = Some(topic);
    for level in levels(pattern) {
        let Some(text) = rest else { break };
        if level == "#" {
            matched.push(text.to_owned());
            break;
        }
        let (first, later) = match text.split_once('/') {
            Some((first, later)) => (first, Some(later)),
            None => (text, None),
        };
        if level == "+" {
            matched.push(first.to_owned());
        }
        rest = later;
    }
    matched
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn template(text: &str, pattern: &str) -> Result<TopicTemplate, String> {
        TopicTemplate::parse(text, &TopicFilter::parse(pattern).unwrap())
    }

    #[test]
    fn levels_of_the_topic_stand_in_the_template() {
        // The pattern, the template, a topic of the pattern, the topic beside it.
        let table = [
            (
                "site/+/+/cmd/rpm",
                "site/{1}/{2}/rpm",
                "site/line3/m1/cmd/rpm",
                "site/line3/m1/rpm",
            ),
            ("a/+/+", "{2}/{1}/{2}", "a/b/c", "c/b/c"),
            ("a/#", "z/{1}", "a/b/c", "z/b/c"),
            ("a/#", "z/{1}/t", "a", "z/t"),
            ("a/#", "{1}/t", "a/", "/t"),
            ("a/+/b", "plant/mode", "a/x/b", "plant/mode"),
            ("a/+", "x/{1}", "a/", "x/"),
            ("a/+", "x/{a}", "a/b", "x/{a}"),
            ("#", "{1}/state", "grün/ß", "grün/ß/state"),
        ];
        for (pattern, text, topic, beside) in table {
            let filled = template(text, pattern)
                .unwrap()
                .fill(&TopicName::parse(topic).unwrap());
            assert_eq!(filled.unwrap().as_str(), beside, "{pattern} {text} {topic}");
        }
        let nothing = template("{1}", "a/#").unwrap();
        assert_eq!(nothing.fill(&TopicName::parse("a").unwrap()), None);
    }

    #[test]
    fn an_error_says_what_to_write() {
        let table = [
            (
                "a/+",
                "b/{2}",
                "`{2}` stands for a wildcard of the pattern, which has 1",
            ),
            (
                "a",
                "b/{1}",
                "`{1}` stands for a wildcard of the pattern, which has 0",
            ),
            (
                "a/+",
                "b/{0}",
                "`{0}` stands for a wildcard of the pattern, which has 1",
            ),
            ("a/+", "b/{99999999999999999999999}", "which has 1"),
            (
                "a/+",
                "b/m{1}",
                "write `{1}` as a level of its own, between two `/`",
            ),
            ("a/+", "b/{{1}x", "write `{1}` as a level of its own"),
            ("a/+", "b/+", "wildcard"),
            ("a/+", "b/#", "wildcard"),
            ("a/+", "", "empty"),
            ("a/+", "$share/g/b", "name the topic itself"),
        ];
        for (pattern, text, words) in table {
            let error = template(text, pattern).unwrap_err();
            assert!(error.contains(words), "{pattern} {text}: {error}");
        }
    }
}
