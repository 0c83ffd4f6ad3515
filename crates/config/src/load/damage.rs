//! Files that are damaged: cut off anywhere, or with any bit turned.

use std::path::Path;

use super::load;

/// A file with something of everything, also letters of several bytes.
const RICH: &str = r#"# mine, grüße
[limits]
start_patience = "20s"
ping_interval = "1m"

[servers."git.hub_1-x"]
command = "npx"
args = ["-y", "${PACKAGE:-server}", """
two lines"""]
env = { TOKEN = "${TOKEN}", FIXED = "ä" }
env_pass = ["AWS_*", "HTTPS_PROXY"]
scope = "global"
idle_timeout = "never"
client_capabilities = ["roots", "sampling.tools"]

[servers.time]
command = 'uvx'
env.ZONE = "UTC"
"#;

/// Loads, or says in which line of which file it is wrong.
#[track_caller]
fn is_sound(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Err(error) = load(text, Path::new("config.toml")) {
        let said = error.to_string();
        let (_, place) = said.split_once("config.toml:").expect("names the file");
        let line: usize = place
            .split(':')
            .next()
            .and_then(|line| line.parse().ok())
            .expect("names the line");
        assert!(line <= text.lines().count() + 1, "{said}");
    }
}

#[test]
fn a_file_that_is_cut_off_anywhere_loads_or_says_in_which_line_it_ends() {
    assert!(load(RICH, Path::new("config.toml")).is_ok());
    for len in 0..RICH.len() {
        is_sound(&RICH.as_bytes()[..len]);
    }
}

#[test]
fn a_file_with_any_bit_turned_loads_or_says_in_which_line_it_is_wrong() {
    for at in 0..RICH.len() {
        for bit in 0..8 {
            let mut bytes = RICH.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            is_sound(&bytes);
        }
    }
}
