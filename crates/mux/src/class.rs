//! Capability classes: what a client declared, as far as servers behave differently for it.

use alloc::{string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, de::IgnoredAny};

/// One thing that a client may be able to do for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Tell which folders are open.
    Roots,
    /// Let its model answer.
    Sampling,
    /// Let its model answer with tools at hand (SEP-1577).
    SamplingTools,
    /// Show its user a form.
    ElicitationForm,
    /// Send its user to an address.
    ElicitationUrl,
}

impl Capability {
    /// All of them.
    pub const ALL: [Capability; 5] = [
        Capability::Roots,
        Capability::Sampling,
        Capability::SamplingTools,
        Capability::ElicitationForm,
        Capability::ElicitationUrl,
    ];

    /// The name in the configuration and in `status`.
    pub fn name(self) -> &'static str {
        match self {
            Capability::Roots => "roots",
            Capability::Sampling => "sampling",
            Capability::SamplingTools => "sampling.tools",
            Capability::ElicitationForm => "elicitation.form",
            Capability::ElicitationUrl => "elicitation.url",
        }
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// A set of capabilities. Sessions of different classes do not share an upstream, as servers
/// register tools and choose arguments by what their client declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Class(u8);

impl Class {
    /// The class of exactly these.
    pub fn of(capabilities: impl IntoIterator<Item = Capability>) -> Self {
        Class(
            capabilities
                .into_iter()
                .fold(0, |bits, capability| bits | capability.bit()),
        )
    }

    /// Every class that there is.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..1 << Capability::ALL.len()).map(Class)
    }

    /// Reads the `capabilities` of an `initialize`; what is malformed counts as not declared.
    pub fn declared(capabilities: &str) -> Self {
        let Ok(declared) = serde_json::from_str::<Declared>(capabilities) else {
            return Class::default();
        };
        let mut class = Vec::new();
        if declared.roots.is_some() {
            class.push(Capability::Roots);
        }
        if let Some(sampling) = declared.sampling {
            class.push(Capability::Sampling);
            if sampling.tools.is_some() {
                class.push(Capability::SamplingTools);
            }
        }
        if let Some(elicitation) = declared.elicitation {
            // An empty object means forms: there was nothing else before 2025-11-25.
            if elicitation.form.is_some() || elicitation.url.is_none() {
                class.push(Capability::ElicitationForm);
            }
            if elicitation.url.is_some() {
                class.push(Capability::ElicitationUrl);
            }
        }
        Class::of(class)
    }

    /// Whether the class has this capability.
    pub fn has(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }

    /// Whether a server of this class may ask for more than the open folders, which we answer ourselves.
    pub(crate) fn can_be_asked(self) -> bool {
        self.has(Capability::Sampling)
            || self.has(Capability::ElicitationForm)
            || self.has(Capability::ElicitationUrl)
    }

    /// The names of what is in it.
    pub fn names(self) -> Vec<&'static str> {
        Capability::ALL
            .into_iter()
            .filter(|capability| self.has(*capability))
            .map(Capability::name)
            .collect()
    }

    /// The class as the `capabilities` of our own `initialize`.
    pub(crate) fn to_json(self) -> String {
        let mut members = Vec::new();
        if self.has(Capability::Roots) {
            members.push(String::from(r#""roots":{}"#));
        }
        if self.has(Capability::Sampling) {
            let tools = if self.has(Capability::SamplingTools) {
                r#""tools":{}"#
            } else {
                ""
            };
            members.push(alloc::format!(r#""sampling":{{{tools}}}"#));
        }
        let ways = [
            (Capability::ElicitationForm, r#""form":{}"#),
            (Capability::ElicitationUrl, r#""url":{}"#),
        ];
        let ways: Vec<&str> = ways
            .into_iter()
            .filter(|(way, _)| self.has(*way))
            .map(|(_, json)| json)
            .collect();
        if !ways.is_empty() {
            members.push(alloc::format!(r#""elicitation":{{{}}}"#, ways.join(",")));
        }
        alloc::format!("{{{}}}", members.join(","))
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join("+"))
    }
}

#[derive(Deserialize)]
struct Declared {
    #[serde(default)]
    roots: Option<IgnoredAny>,
    #[serde(default)]
    sampling: Option<DeclaredSampling>,
    #[serde(default)]
    elicitation: Option<DeclaredElicitation>,
}

#[derive(Deserialize)]
struct DeclaredSampling {
    #[serde(default)]
    tools: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct DeclaredElicitation {
    #[serde(default)]
    form: Option<IgnoredAny>,
    #[serde(default)]
    url: Option<IgnoredAny>,
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_class_is_what_the_client_declared() {
        let table = [
            ("{}", "", "{}"),
            (
                r#"{"roots":{"listChanged":true},"elicitation":{"form":{},"url":{}}}"#,
                "roots+elicitation.form+elicitation.url",
                r#"{"roots":{},"elicitation":{"form":{},"url":{}}}"#,
            ),
            (
                r#"{"elicitation":{}}"#,
                "elicitation.form",
                r#"{"elicitation":{"form":{}}}"#,
            ),
            (
                r#"{"sampling":{"tools":{}},"experimental":{"x":1}}"#,
                "sampling+sampling.tools",
                r#"{"sampling":{"tools":{}}}"#,
            ),
            (r#"{"sampling":{}}"#, "sampling", r#"{"sampling":{}}"#),
            ("[]", "", "{}"),
        ];
        for (declared, names, greeted) in table {
            let class = Class::declared(declared);
            assert_eq!(alloc::format!("{class}"), names, "{declared}");
            assert_eq!(class.to_json(), greeted, "{declared}");
            assert_eq!(Class::declared(&class.to_json()), class, "{declared}");
        }
    }

    #[test]
    fn there_are_as_many_classes_as_sets_of_capabilities() {
        let all: BTreeSet<Vec<&str>> = Class::all().map(Class::names).collect();
        assert_eq!(all.len(), 32);
        assert!(all.contains(Capability::ALL.map(Capability::name).as_slice()));
    }
}
