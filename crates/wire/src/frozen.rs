//! Ids, methods and messages as they are kept while one program takes the place of another: as the text
//! that they are on the wire.

use alloc::{borrow::Cow, string::String};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};

use crate::{Frame, Method, Outgoing, RequestId};

fn text<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    let text = core::str::from_utf8(bytes).map_err(|_| S::Error::custom("it is not UTF-8"))?;
    to.serialize_str(text)
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        text(self.as_bytes(), to)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        RequestId::from_json(&text).ok_or_else(|| D::Error::custom("it is no id"))
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Method {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(from).map(|name| Method::from_name(&name))
    }
}

impl Serialize for Frame {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        text(self.bytes(), to)
    }
}

impl<'de> Deserialize<'de> for Frame {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Frame::parse(Bytes::from(text)).map_err(|_| D::Error::custom("it is no message"))
    }
}

impl Serialize for Outgoing {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.pieces() {
            [whole] => text(whole, to),
            _several => text(&self.to_vec(), to),
        }
    }
}

impl<'de> Deserialize<'de> for Outgoing {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Outgoing::from)
    }
}

#[cfg(test)]
mod tests {
    use core::fmt::Debug;

    use alloc::{format, string::ToString};

    use super::*;

    /// Freezes and thaws it.
    fn thawed<T: Serialize + for<'de> Deserialize<'de>>(it: &T) -> T {
        serde_json::from_str(&serde_json::to_string(it).unwrap()).unwrap()
    }

    fn assert_same<T: Serialize + for<'de> Deserialize<'de> + Debug + PartialEq>(it: &T) {
        assert_eq!(thawed(it), *it);
    }

    #[test]
    fn what_was_frozen_thaws_to_the_byte() {
        for id in [
            "1",
            "\"1\"",
            "1.0",
            "-0",
            "9007199254740993",
            r#""\u00e9\" ""#,
        ] {
            assert_same(&RequestId::from_json(id).unwrap());
        }
        assert_same(&Method::ToolsCall);
        assert_same(&Method::from_name("x/\"é\n"));
        assert_same(&Outgoing::from("{\"a\":\"\u{1f980}\\u0000\"}".to_string()));
        let line =
            r#"{ "jsonrpc":"2.0","id":1.0,"method":"tools/call","params":{"name":"a","x":1e400} }"#;
        let frame = Frame::parse(Bytes::from_static(line.as_bytes())).unwrap();
        let thawed = thawed(&frame);
        assert_eq!(thawed.bytes(), frame.bytes());
        assert_eq!(format!("{thawed:?}"), format!("{frame:?}"));
    }

    #[test]
    fn what_is_no_message_does_not_thaw() {
        for text in ["\"\"", "\"[]\"", "1", "null", r#""{\"id\":{}}""#] {
            assert!(serde_json::from_str::<Frame>(text).is_err(), "{text}");
            assert!(serde_json::from_str::<RequestId>(text).is_err(), "{text}");
        }
    }
}
