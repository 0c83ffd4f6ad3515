//! How those parts of the state are written that cannot be written as they are.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    class::Class,
    event::{Program, Route},
    handshake::Handshake,
    record::{class_of, from_hex, to_hex},
    timers::Timers,
};

/// Bytes that are the text of a JSON value.
pub(crate) mod text {
    use alloc::string::String;

    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, ser::Error as _};

    pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        let text = core::str::from_utf8(bytes);
        to.serialize_str(text.map_err(|_| S::Error::custom("it is not UTF-8"))?)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        String::deserialize(from).map(Bytes::from)
    }
}

/// Maps whose keys are no strings, as lists of pairs.
pub(crate) mod pairs {
    use alloc::{collections::BTreeMap, vec::Vec};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer, K: Serialize, V: Serialize>(
        map: &BTreeMap<K, V>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub(crate) fn deserialize<'de, D, K, V>(from: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        D: Deserializer<'de>,
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(from)?.into_iter().collect())
    }
}

/// Why a server is not shared, which is one of our own reasons.
pub(crate) mod reason {
    use alloc::string::String;

    use serde::{Deserialize, Deserializer};

    use crate::{inherit::known_reason, routing::Reason};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Reason>, D::Error> {
        let reason = Option::<String>::deserialize(from)?;
        Ok(reason.as_deref().map(known_reason))
    }
}

/// The same, by route.
pub(crate) mod reasons {
    use alloc::{collections::BTreeMap, string::String};

    use serde::{Deserialize, Deserializer};

    use crate::{event::Route, inherit::known_reason, routing::Reason};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Route, Reason>, D::Error> {
        let reasons = BTreeMap::<Route, String>::deserialize(from)?;
        let known = |(route, why): (Route, String)| (route, known_reason(&why));
        Ok(reasons.into_iter().map(known).collect())
    }
}

/// Why nothing can be started for a session. The configuration is the only cause of that.
pub(crate) mod refused {
    use alloc::{string::ToString, sync::Arc, vec::Vec};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::refusal::Refusal;

    #[derive(Serialize, Deserialize)]
    enum Frozen {
        NoSuchServer {
            server: Arc<str>,
            similar: Vec<Arc<str>>,
        },
        BadConfiguration {
            what: Arc<str>,
        },
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "no other is made when a session opens"
    )]
    #[expect(clippy::ref_option, reason = "serde hands it over so")]
    pub(crate) fn serialize<S: Serializer>(
        refused: &Option<Refusal>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let frozen = refused.as_ref().map(|refusal| match refusal {
            Refusal::NoSuchServer { server, similar } => Frozen::NoSuchServer {
                server: Arc::clone(server),
                similar: similar.clone(),
            },
            Refusal::BadConfiguration { what } => Frozen::BadConfiguration {
                what: Arc::clone(what),
            },
            other => Frozen::BadConfiguration {
                what: Arc::from(other.to_string()),
            },
        });
        frozen.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Refusal>, D::Error> {
        let frozen = Option::<Frozen>::deserialize(from)?;
        Ok(frozen.map(|frozen| match frozen {
            Frozen::NoSuchServer { server, similar } => Refusal::NoSuchServer { server, similar },
            Frozen::BadConfiguration { what } => Refusal::BadConfiguration { what },
        }))
    }
}

/// What was found at an earlier start of the era of a server.
pub(crate) mod finding {
    use serde::{Deserialize, Deserializer};

    use crate::{era::Era, kept_words::VERDICT_LIFE, verdict::Finding};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        /// As it is written now.
        Whole(Finding),
        /// As it was written at first: nobody knows how old it is.
        Undated(Era),
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Finding>, D::Error> {
        let form = Option::<Form>::deserialize(from)?;
        Ok(form.map(|form| match form {
            Form::Whole(finding) => finding,
            Form::Undated(refused) => Finding {
                refused,
                life: VERDICT_LIFE,
            },
        }))
    }
}

/// What was found of the era of a server.
pub(crate) mod verdict {
    use alloc::sync::Arc;

    use serde::Deserialize;

    use crate::{
        era::Era,
        event::Program,
        moment::Moment,
        verdict::{Proof, Verdict},
    };

    #[derive(Deserialize)]
    #[serde(untagged)]
    pub(crate) enum Form {
        /// As it is written now.
        Whole {
            refused: Option<Era>,
            until: Moment,
            proof: Proof,
            #[serde(default)]
            program: Option<Program>,
            #[serde(default)]
            words: Option<Arc<str>>,
        },
        /// As it was written at first: nobody knows how old it is, so it is believed only while a process speaks
        /// as it says.
        Undated(Option<Era>),
    }

    impl From<Form> for Verdict {
        fn from(form: Form) -> Self {
            match form {
                Form::Whole {
                    refused,
                    until,
                    proof,
                    program,
                    words,
                } => Verdict {
                    refused,
                    until,
                    proof,
                    program,
                    words,
                },
                Form::Undated(refused) => Verdict {
                    refused,
                    until: Moment::default(),
                    proof: Proof::Whole,
                    program: None,
                    words: None,
                },
            }
        }
    }
}

impl Serialize for Route {
    /// In hexadecimal digits, so that it can be a key.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&to_hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Route {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(from)?;
        let bytes = from_hex(&digits);
        let bytes = bytes.ok_or_else(|| D::Error::custom("it is no route"))?;
        Ok(Route(bytes))
    }
}

impl Serialize for Program {
    /// In hexadecimal digits.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&to_hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Program {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(from)?;
        let bytes = from_hex(&digits).and_then(|bytes| bytes.as_ref().try_into().ok());
        bytes
            .map(Program)
            .ok_or_else(|| D::Error::custom("it is no program"))
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Class {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(from)?;
        let class = class_of(&names);
        class.ok_or_else(|| D::Error::custom("it has a capability that is not known here"))
    }
}

impl Serialize for Handshake {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        text::serialize(self.result(), to)
    }
}

impl<'de> Deserialize<'de> for Handshake {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let result = text::deserialize(from)?;
        Handshake::read(&result).ok_or_else(|| D::Error::custom("it is no handshake"))
    }
}

impl Serialize for Timers {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Timers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut timers = Timers::default();
        for (at, timer) in Vec::deserialize(from)? {
            timers.set(timer, at);
        }
        Ok(timers)
    }
}
