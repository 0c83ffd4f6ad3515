//! The table `[http]` as values.

use std::{fmt, net::SocketAddr, str::FromStr};

use crate::{IdleTimeout, UnknownWord};

/// The table `[http]`; `None` is "keep the default".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// Where the daemon listens, addresses of this machine to itself; empty for nowhere.
    pub listen: Option<Vec<SocketAddr>>,
    /// Who may come in.
    pub auth: Option<HttpAuth>,
    /// How long a session may say nothing, wait for nothing and listen to nothing before it is over.
    pub session_idle_timeout: Option<IdleTimeout>,
}

/// Who may come in over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpAuth {
    /// Programs of the same user, as the system knows them; others with the token.
    SameUser,
    /// Who has the token.
    Token,
    /// Every program of this machine.
    None,
}

impl HttpAuth {
    pub(crate) const WORDS: &'static [&'static str] = &["same-user", "token", "none"];

    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            HttpAuth::SameUser => "same-user",
            HttpAuth::Token => "token",
            HttpAuth::None => "none",
        }
    }
}

impl fmt::Display for HttpAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HttpAuth {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [HttpAuth::SameUser, HttpAuth::Token, HttpAuth::None]
            .into_iter()
            .find(|auth| auth.as_str() == word)
            .ok_or_else(|| UnknownWord::new(word, HttpAuth::WORDS))
    }
}
