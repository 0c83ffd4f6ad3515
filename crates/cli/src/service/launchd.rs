//! The service manager of macOS: an agent that runs from the login on.
//!
//! It is started once and not again: a daemon that ends is started by the next session, and one that cannot
//! start does not try for ever.

use std::{fs, net::SocketAddr, path::PathBuf};

use super::{Folders, MARK, Manager, Plan, ServiceFile, State, Unmanaged, ask, order, words_of};

const LABEL: &str = "dev.mcpool.daemon";

/// How many files it may open; 256 if nobody says so, which is little for a daemon of many sessions.
const FILES: u32 = 8192;

/// launchd, for one user.
#[derive(Debug)]
pub(super) struct Launchd {
    folders: Folders,
}

impl Launchd {
    pub(super) fn new(folders: Folders) -> Self {
        Launchd { folders }
    }

    fn path(&self) -> PathBuf {
        let agents = self.folders.home.join("Library/LaunchAgents");
        agents.join(format!("{LABEL}.plist"))
    }

    /// Where agents of this user run.
    fn domain(&self) -> String {
        format!("gui/{}", self.folders.user)
    }

    fn target(&self) -> String {
        format!("{}/{LABEL}", self.domain())
    }

    fn is_loaded(&self) -> bool {
        ask("launchctl", &["print", &self.target()]).is_ok_and(|output| output.status.success())
    }

    fn unload(&self) -> anyhow::Result<()> {
        if self.is_loaded() {
            order("launchctl", &["bootout", &self.target()])?;
        }
        Ok(())
    }
}

impl Manager for Launchd {
    fn name(&self) -> &'static str {
        "launchd"
    }

    fn check(&self) -> Result<(), Unmanaged> {
        let why = match ask("launchctl", &["print", &self.domain()]) {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => format!(
                "`launchctl print {}` says: {}",
                self.domain(),
                words_of(&output)
            ),
            Err(error) => format!("`launchctl` cannot be run: {error}"),
        };
        Err(Unmanaged {
            why: format!("nobody is logged in at the screen, for whom agents could run ({why})"),
        })
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![self.path()]
    }

    fn files(&self, plan: &Plan) -> Vec<ServiceFile> {
        vec![ServiceFile {
            path: self.path(),
            text: agent(plan),
        }]
    }

    fn command_line(&self, text: &str) -> Option<Vec<String>> {
        let (_, behind) = text.split_once("<array>")?;
        let (words, _) = behind.split_once("</array>")?;
        let words = words.split("<string>").skip(1);
        Some(
            words
                .map(|word| plain(word.split("</string>").next().unwrap_or(word)))
                .collect(),
        )
    }

    /// It listens at none: the daemon does.
    fn addresses(&self, _text: &str) -> Vec<SocketAddr> {
        Vec::new()
    }

    fn enable(&self) -> anyhow::Result<()> {
        self.unload()?;
        let path = self.path();
        order(
            "launchctl",
            &["bootstrap", &self.domain(), &path.to_string_lossy()],
        )
    }

    fn disable(&self) -> anyhow::Result<()> {
        self.unload()
    }

    fn forget(&self) -> anyhow::Result<()> {
        Ok(())
    }

    fn start(&self) -> anyhow::Result<()> {
        if self.is_loaded() {
            return order("launchctl", &["kickstart", &self.target()]);
        }
        self.enable()
    }

    fn stop(&self) -> anyhow::Result<()> {
        self.unload()
    }

    fn state(&self) -> anyhow::Result<State> {
        let output = ask("launchctl", &["print", &self.target()])?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(State {
            is_enabled: fs::exists(self.path())?,
            is_active: output.status.success(),
            pid: pid_in(&text),
        })
    }
}

/// The process, in what `launchctl print` says of a service.
fn pid_in(text: &str) -> Option<u32> {
    let lines = text.lines().map(str::trim);
    let mut pids = lines.filter_map(|line| line.strip_prefix("pid = "));
    pids.next_back()?.parse().ok()
}

fn agent(plan: &Plan) -> String {
    let mut words = vec![
        plan.program.to_string_lossy().into_owned(),
        "serve".to_owned(),
    ];
    if let Some(home) = &plan.places.home {
        words.extend(["--home".to_owned(), home.to_string_lossy().into_owned()]);
    }
    words.push("--from-service".to_owned());
    let words = words
        .iter()
        .map(|word| format!("\n    <string>{}</string>", escaped(word)));
    let words = words.collect::<Vec<_>>().concat();
    let errors = plan.places.logs.join("launchd.log");
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- {MARK}; it writes it anew. -->
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>{LABEL}</string>
  <key>ProgramArguments</key>
  <array>{words}
  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>ProcessType</key>
  <string>Interactive</string>
  <key>EnvironmentVariables</key>
  <dict>
    <key>PATH</key>
    <string>{path}</string>
  </dict>
  <key>SoftResourceLimits</key>
  <dict>
    <key>NumberOfFiles</key>
    <integer>{FILES}</integer>
  </dict>
  <key>HardResourceLimits</key>
  <dict>
    <key>NumberOfFiles</key>
    <integer>{FILES}</integer>
  </dict>
  <key>StandardErrorPath</key>
  <string>{errors}</string>
</dict>
</plist>
"#,
        path = escaped(&plan.path),
        errors = escaped(&errors.to_string_lossy()),
    )
}

/// A text within XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// What was escaped.
fn plain(text: &str) -> String {
    text.replace("&gt;", ">")
        .replace("&lt;", "<")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use expect_test::expect;
    use shim::places::Places;

    use super::*;

    #[test]
    fn the_agent_is_as_it_is() {
        let launchd = Launchd::new(Folders {
            home: "/Users/ada".into(),
            config: "/Users/ada/.config".into(),
            user: 501,
        });
        let mut places = Places::find(Some(Path::new("/Users/ada/pool"))).unwrap();
        places.home = Some("/Users/ada/<pool> & more".into());
        let files = launchd.files(&Plan {
            program: "/opt/homebrew/bin/mcpoold".into(),
            places,
            path: "/opt/homebrew/bin:/usr/bin".into(),
            http: Vec::new(),
        });
        let [file] = &files[..] else {
            panic!("{files:?}");
        };
        let line = [
            "/opt/homebrew/bin/mcpoold",
            "serve",
            "--home",
            "/Users/ada/<pool> & more",
            "--from-service",
        ];
        assert_eq!(launchd.command_line(&file.text).unwrap(), line);
        let text = format!("{}\n{}", file.path.display(), file.text);
        expect![[r#"
            /Users/ada/Library/LaunchAgents/dev.mcpool.daemon.plist
            <?xml version="1.0" encoding="UTF-8"?>
            <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
            <!-- Written by `mcpool service install`; it writes it anew. -->
            <plist version="1.0">
            <dict>
              <key>Label</key>
              <string>dev.mcpool.daemon</string>
              <key>ProgramArguments</key>
              <array>
                <string>/opt/homebrew/bin/mcpoold</string>
                <string>serve</string>
                <string>--home</string>
                <string>/Users/ada/&lt;pool&gt; &amp; more</string>
                <string>--from-service</string>
              </array>
              <key>RunAtLoad</key>
              <true/>
              <key>ProcessType</key>
              <string>Interactive</string>
              <key>EnvironmentVariables</key>
              <dict>
                <key>PATH</key>
                <string>/opt/homebrew/bin:/usr/bin</string>
              </dict>
              <key>SoftResourceLimits</key>
              <dict>
                <key>NumberOfFiles</key>
                <integer>8192</integer>
              </dict>
              <key>HardResourceLimits</key>
              <dict>
                <key>NumberOfFiles</key>
                <integer>8192</integer>
              </dict>
              <key>StandardErrorPath</key>
              <string>/Users/ada/pool/logs/launchd.log</string>
            </dict>
            </plist>
        "#]].assert_eq(&text);
    }

    #[test]
    fn the_process_is_found_in_what_launchctl_says() {
        let said =
            "gui/501/dev.mcpool.daemon = {\n\tactive count = 1\n\tstate = running\n\tpid = 42\n}\n";
        assert_eq!(pid_in(said), Some(42));
        assert_eq!(pid_in("\tstate = not running\n"), None);
    }
}
