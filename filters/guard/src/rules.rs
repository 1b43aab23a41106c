//! The configuration of the filter and what it decides. Pure: knows no host, so that it is tested natively.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The filter's configuration.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Config {
    /// The first rule that matches a request decides.
    pub rules: Vec<Rule>,
    /// What decides when no rule does.
    pub default_action: Action,
    /// Headers that requests get on their way to the backend, in place of any that clients sent.
    pub request_headers: BTreeMap<String, String>,
    /// Headers that all responses get.
    pub response_headers: BTreeMap<String, String>,
}

/// One rule: matches if all of its conditions do.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// Named in the response to a denied request, and in the log.
    pub name: String,
    /// What becomes of requests that match.
    pub action: Action,
    /// Condition on the path, without the query.
    pub path: Option<Text>,
    /// Conditions on headers.
    #[serde(default)]
    pub headers: Vec<Header>,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, Default, Deserialize, PartialEq, Eq)]
pub enum Action {
    /// It goes on.
    #[default]
    Allow,
    /// It is answered with 403.
    Deny,
}

/// A condition on a text.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum Text {
    /// Equal to this.
    Exact(String),
    /// Begins with this.
    Prefix(String),
}

/// A condition on a header.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Header {
    /// Its name.
    pub name: String,
    /// What its value must be; without this it need only be there.
    pub value: Option<Text>,
}

/// What was decided, and by which rule.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Goes on.
    Allow,
    /// Is answered; the rule's name, or none if it was the default.
    Deny(Option<&'a str>),
}

// === impl Config ===

impl Config {
    /// Reads the configuration; none at all is one without rules.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        if bytes.is_empty() { Ok(Self::default()) } else { serde_json::from_slice(bytes) }
    }

    /// Decides about a request.
    pub fn verdict(&self, path: &str, header: impl Fn(&str) -> Option<String>) -> Verdict<'_> {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let rule = self.rules.iter().find(|rule| rule.matches(path, &header));
        match rule.map_or(self.default_action, |rule| rule.action) {
            Action::Allow => Verdict::Allow,
            Action::Deny => Verdict::Deny(rule.map(|rule| rule.name.as_str())),
        }
    }
}

// === impl Rule ===

impl Rule {
    fn matches(&self, path: &str, header: &impl Fn(&str) -> Option<String>) -> bool {
        self.path.as_ref().is_none_or(|condition| condition.matches(path))
            && self.headers.iter().all(|condition| {
                header(&condition.name)
                    .is_some_and(|value| condition.value.as_ref().is_none_or(|text| text.matches(&value)))
            })
    }
}

// === impl Text ===

impl Text {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text == exact,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config {
        Config::parse(json.as_bytes()).unwrap()
    }

    fn decide<'a>(config: &'a Config, path: &str, headers: &[(&str, &str)]) -> Verdict<'a> {
        config.verdict(path, |name| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_first_matching_rule_decides() {
        let config = config(
            r#"{"rules": [
                {"name": "staff", "action": "Allow", "path": {"prefix": "/admin"}, "headers": [{"name": "x-staff"}]},
                {"name": "no-admin", "action": "Deny", "path": {"prefix": "/admin"}}
            ]}"#,
        );
        assert_eq!(decide(&config, "/admin/x", &[]), Verdict::Deny(Some("no-admin")));
        assert_eq!(decide(&config, "/admin/x", &[("x-staff", "")]), Verdict::Allow);
        assert_eq!(decide(&config, "/", &[]), Verdict::Allow);
    }

    #[test]
    fn all_conditions_of_a_rule_must_hold_and_the_query_is_no_path() {
        let config = config(
            r#"{"rules": [{"name": "r", "action": "Deny", "path": {"exact": "/a"},
                "headers": [{"name": "x", "value": {"exact": "1"}}]}]}"#,
        );
        assert_eq!(decide(&config, "/a?b=/a", &[("x", "1")]), Verdict::Deny(Some("r")));
        assert_eq!(decide(&config, "/a/", &[("x", "1")]), Verdict::Allow);
        assert_eq!(decide(&config, "/a", &[("x", "12")]), Verdict::Allow);
    }

    #[test]
    fn the_default_decides_where_no_rule_does() {
        assert_eq!(decide(&config(r#"{"defaultAction": "Deny"}"#), "/", &[]), Verdict::Deny(None));
        assert_eq!(decide(&Config::parse(b"").unwrap(), "/", &[]), Verdict::Allow);
    }

    #[test]
    fn unknown_fields_are_refused() {
        assert!(Config::parse(br#"{"rule": []}"#).is_err());
        assert!(Config::parse(br#"{"rules": [{"name": "r", "action": "Maybe"}]}"#).is_err());
    }
}
