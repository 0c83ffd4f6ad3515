//! What `scope = "auto"` makes of a command line.
//!
//! A browser page, a shell or a debugger has one user at a time: two sessions on
//! one would type into each other's. So a server whose *own name* says that it is
//! one gets a process per session.
//!
//! **Invariant:** only names of programs, packages, modules and images count,
//! never what is passed to them. `server-filesystem ~/shell-scripts` is shared.

mod identity;
mod launcher;

pub use identity::{CommandIdentity, identify};
pub(crate) use launcher::{Found, base_name, find as what_starts, verb_of_mcpool};

use std::ffi::OsStr;

/// Words that tell what a server has one of, by the word that `status` shows.
const CATEGORIES: &[(&str, &[&str])] = &[
    (
        "browser",
        &[
            "camoufox",
            "chrome",
            "chromedriver",
            "chromium",
            "cypress",
            "firefox",
            "geckodriver",
            "lightpanda",
            "playwright",
            "puppeteer",
            "safari",
            "selenium",
            "stagehand",
            "webdriver",
            "webkit",
        ],
    ),
    (
        "shell",
        &[
            "bash",
            "commander",
            "desktopcommander",
            "nushell",
            "powershell",
            "pwsh",
            "shell",
            "wcgw",
            "xonsh",
            "zsh",
        ],
    ),
    (
        "terminal",
        &[
            "alacritty",
            "ghostty",
            "iterm",
            "iterm2",
            "kitty",
            "pty",
            "terminal",
            "terminals",
            "tmux",
            "tty",
            "ttyd",
            "wezterm",
            "xterm",
            "zellij",
        ],
    ),
    ("ssh", &["mosh", "openssh", "sftp", "ssh", "ssh2"]),
    (
        "repl",
        &[
            "ghci",
            "interpreter",
            "ipykernel",
            "ipython",
            "irb",
            "jupyter",
            "jupyterlab",
            "nrepl",
            "notebook",
            "octave",
            "pry",
            "repl",
        ],
    ),
    (
        "debugger",
        &[
            "dap", "debug", "debugger", "debugpy", "delve", "dlv", "frida", "gdb", "lldb", "pdb",
            "pwndbg", "radare2", "windbg", "x64dbg",
        ],
    ),
];

/// Beginnings of words that do the same: `browser-use`, `browsermcp`, `browserbase`.
const BROWSER_PREFIX: &str = "browser";

/// Why sessions must not share the server of this command line, if they must not.
///
/// `argv` is the program and its arguments. The answer is one word for a person:
/// `browser`, `shell`, `terminal`, `ssh`, `repl` or `debugger`.
pub fn session_reason<S: AsRef<OsStr>>(argv: &[S]) -> Option<&'static str> {
    launcher::find(&words(argv))
        .names
        .iter()
        .find_map(|name| category(name))
}

/// Whether the program of a command line only starts another one: `npx`, `python`, `docker run`.
///
/// What that is may change while the program stays the same.
pub fn is_launcher<S: AsRef<OsStr>>(argv: &[S]) -> bool {
    launcher::starts_another(&words(argv))
}

fn words<S: AsRef<OsStr>>(argv: &[S]) -> Vec<String> {
    let words = argv.iter().map(|word| word.as_ref().to_string_lossy());
    words.map(std::borrow::Cow::into_owned).collect()
}

fn category(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let words = name.split(|character: char| !character.is_alphanumeric());
    words.into_iter().find_map(|word| {
        if word.starts_with(BROWSER_PREFIX) && word != "browserslist" {
            return Some("browser");
        }
        let known = CATEGORIES.iter().find(|(_, words)| words.contains(&word));
        known.map(|(category, _)| *category)
    })
}

#[cfg(test)]
mod tests;
