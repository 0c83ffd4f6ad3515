//! Which variables look like credentials, by their names alone.
//!
//! What looks like one and was not passed to a server is *named* to the user, and what was passed is hidden
//! where the server quotes it. A wrong guess costs a line of text, or a word in a log. Missing one costs a
//! server that silently lost its token, or a token that stands in a log.

/// Variables of the desktop and of programs that only sound like credentials.
const HARMLESS_PREFIXES: &[&str] = &["XDG_", "LC_", "DBUS_", "XKB_"];
const HARMLESS_NAMES: &[&str] = &[
    "SSH_AUTH_SOCK",
    "XAUTHORITY",
    "ICEAUTHORITY",
    "GPG_TTY",
    // The fingerprint of whoever signed Python, in its container images.
    "GPG_KEY",
    "PWD",
    "OLDPWD",
    "SSH_ASKPASS",
    "GIT_ASKPASS",
    "SUDO_ASKPASS",
];

/// Words that are a credential wherever they stand in a name.
const WORDS: &[&str] = &[
    "AUTH",
    "BEARER",
    "COOKIE",
    "CREDENTIAL",
    "CREDENTIALS",
    "CREDS",
    "DSN",
    "JWT",
    "KEY",
    "KEYS",
    "PASS",
    "PASSFILE",
    "PASSPHRASE",
    "PASSWD",
    "PASSWORD",
    "PASSWORDS",
    "PAT",
    "PWD",
    "SECRET",
    "SECRETS",
    "TOKEN",
    "TOKENS",
];

/// Ends of words that are written without underscores, as `PGPASSWORD` is.
const ENDINGS: &[&str] = &[
    "ACCESSKEY",
    "APIKEY",
    "AUTHKEY",
    "CREDENTIALS",
    "PASSFILE",
    "PASSPHRASE",
    "PASSWD",
    "PASSWORD",
    "PRIVATEKEY",
    "SECRET",
    "SECRETKEY",
    "TOKEN",
];

/// Last words that say the variable holds something *about* a credential.
const ABOUT: &[&str] = &[
    "ALGORITHM",
    "BINDING",
    "BINDINGS",
    "COUNT",
    "DIR",
    "DISABLED",
    "DOMAIN",
    "ENABLED",
    "ENDPOINT",
    "EXPIRY",
    "HOST",
    "LENGTH",
    "LIMIT",
    "METHOD",
    "MODE",
    "PORT",
    "REGION",
    "SERVER",
    "SIZE",
    "SOCK",
    "TIMEOUT",
    "TTL",
    "TYPE",
    "URI",
    "URL",
];

/// Words that make tokens a measure of text, as in `MAX_OUTPUT_TOKENS`.
const MEASURES: &[&str] = &[
    "BUDGET", "CONTEXT", "COUNT", "INPUT", "LIMIT", "MAX", "MIN", "NUM", "OUTPUT", "THINKING",
    "TOTAL",
];

/// Words before `KEY` that make it no secret.
const OPEN_KEYS: &[&str] = &[
    "CACHE",
    "COMPOSE",
    "FOREIGN",
    "HOT",
    "PARTITION",
    "PRIMARY",
    "PUBLIC",
    "PUBLISHABLE",
    "SORT",
];

/// Whether a variable of this name probably holds a credential.
pub fn looks_like_credential(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    if HARMLESS_NAMES.contains(&name.as_str())
        || HARMLESS_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
    {
        return false;
    }
    let words: Vec<&str> = name
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    if words.last().is_some_and(|last| ABOUT.contains(last)) {
        return false;
    }
    (0..words.len()).any(|index| is_credential_word(&words, index))
}

/// What well-known credentials begin with, whatever stands before them on a command line.
const BEGINNINGS: &[&str] = &[
    "AIza",
    "AKIA",
    "ASIA",
    "eyJ",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "hf_",
    "npm_",
    "sk-",
    "sk_live_",
    "sk_test_",
    "xoxa-",
    "xoxb-",
    "xoxp-",
];

/// Shortest credential that is known by its form, in bytes.
const FORM_MIN: usize = 20;

/// Whether a word probably is a credential, by what it begins with and how long it is.
pub fn has_form_of_credential(word: &str) -> bool {
    let is_whole = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    word.len() >= FORM_MIN
        && word.chars().all(is_whole)
        && BEGINNINGS
            .iter()
            .any(|beginning| word.starts_with(beginning))
}

fn is_credential_word(words: &[&str], index: usize) -> bool {
    let word = words[index];
    let before = index.checked_sub(1).map(|before| words[before]);
    match word {
        "KEY" | "KEYS" => !before.is_some_and(|before| OPEN_KEYS.contains(&before)),
        "TOKENS" => !words.iter().any(|word| MEASURES.contains(word)),
        _ => WORDS.contains(&word) || ENDINGS.iter().any(|ending| word.ends_with(ending)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_credentials_are_recognised() {
        for name in [
            "GITHUB_TOKEN",
            "GH_TOKEN",
            "GITHUB_PERSONAL_ACCESS_TOKEN",
            "GITHUB_PAT",
            "AZURE_DEVOPS_EXT_PAT",
            "OPENAI_API_KEY",
            "OPENAI_APIKEY",
            "openai_api_key",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "ANTHROPIC_AUTH_TOKEN",
            "CLIENT_SECRET",
            "DB_PASS",
            "DB_PASSWORD",
            "PGPASSWORD",
            "PGPASSFILE",
            "MYSQL_PWD",
            "REDISCLI_AUTH",
            "SENTRY_DSN",
            "NPM_CONFIG__AUTHTOKEN",
            "SSH_PRIVATE_KEY",
            "KEY_PASSPHRASE",
            "VAULT_TOKEN",
            "JWT",
            "TOKEN",
        ] {
            assert!(looks_like_credential(name), "{name}");
        }
    }

    #[test]
    fn words_with_the_form_of_credentials_are_recognised() {
        // Put together here, so that nobody takes it for a real one.
        let long = |beginning: &str| format!("{beginning}{}", "0Ab".repeat(8));
        for beginning in BEGINNINGS {
            assert!(has_form_of_credential(&long(beginning)), "{beginning}");
        }
        for word in [
            "sk-1",
            "@modelcontextprotocol/server-github",
            "skeleton-key-of-the-house",
        ] {
            assert!(!has_form_of_credential(word), "{word}");
        }
        assert!(!has_form_of_credential(&long("sk-/")));
    }

    #[test]
    fn names_that_only_sound_like_credentials_are_left_alone() {
        for name in [
            "",
            "HOME",
            "PATH",
            "PWD",
            "OLDPWD",
            "SSH_AUTH_SOCK",
            "SSH_AGENT_PID",
            "SSH_ASKPASS",
            "XAUTHORITY",
            "ICEAUTHORITY",
            "XDG_SESSION_COOKIE",
            "DBUS_SESSION_BUS_ADDRESS",
            "GPG_TTY",
            "GPG_KEY",
            "GNOME_KEYRING_CONTROL",
            "KEYBOARD",
            "KEYBOARD_LAYOUT",
            "CONSOLE_KEYMAP",
            "XKB_KEY_DELAY",
            "KEY_BINDINGS",
            "PUBLIC_KEY",
            "SORT_KEY",
            "AUTHOR",
            "GIT_AUTHOR_NAME",
            "AUTH_TYPE",
            "OAUTH_TOKEN_URL",
            "PASSWORD_STORE_DIR",
            "MAX_THINKING_TOKENS",
            "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
            "TOKENIZERS_PARALLELISM",
            "MONKEY",
            "PATTERN",
            "COMPASS",
            "SECRETARY",
            "NODE_ENV",
        ] {
            assert!(!looks_like_credential(name), "{name}");
        }
    }
}
