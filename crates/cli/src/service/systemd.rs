//! The service manager of a user under systemd: a service, and sockets at which systemd listens for it.
//!
//! So a session that comes while the daemon is just ending or starting waits for it, and the port is taken from
//! the login on.

use std::{fs, net::SocketAddr, path::PathBuf};

use daemon::{PASSED_FOR_HTTP, PASSED_FOR_SESSIONS};

use super::{Folders, MARK, Manager, Plan, ServiceFile, State, Unmanaged, ask, order, words_of};

const SERVICE: &str = "mcpool.service";
const SESSIONS: &str = "mcpool.socket";
const HTTP: &str = "mcpool-http.socket";

/// All of them, those first that may start others.
const UNITS: [&str; 3] = [SESSIONS, HTTP, SERVICE];

/// What systemd links sockets into that are to be listened at from the login on.
const WANTS: &str = "sockets.target.wants";

/// systemd, for one user.
#[derive(Debug)]
pub(super) struct Systemd {
    folder: PathBuf,
}

impl Systemd {
    pub(super) fn new(folders: &Folders) -> Self {
        Systemd {
            folder: folders.config.join("systemd/user"),
        }
    }

    /// The sockets that are installed.
    fn sockets(&self) -> Vec<&'static str> {
        let sockets = [SESSIONS, HTTP].into_iter();
        sockets
            .filter(|name| self.folder.join(name).exists())
            .collect()
    }
}

impl Manager for Systemd {
    fn name(&self) -> &'static str {
        "systemd"
    }

    fn check(&self) -> Result<(), Unmanaged> {
        let why = match ask("systemctl", &["--user", "show-environment"]) {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => format!("`systemctl --user` says: {}", words_of(&output)),
            Err(error) => format!("`systemctl` cannot be run: {error}"),
        };
        Err(Unmanaged {
            why: format!("there is no service manager for this user here ({why})"),
        })
    }

    fn paths(&self) -> Vec<PathBuf> {
        UNITS.map(|name| self.folder.join(name)).to_vec()
    }

    fn files(&self, plan: &Plan) -> Vec<ServiceFile> {
        let file = |name, text| ServiceFile {
            path: self.folder.join(name),
            text,
        };
        let mut files = vec![file(SESSIONS, sessions(plan))];
        if !plan.http.is_empty() {
            files.push(file(HTTP, http(&plan.http)));
        }
        files.push(file(SERVICE, service(plan)));
        files
    }

    fn command_line(&self, text: &str) -> Option<Vec<String>> {
        let mut lines = text.lines();
        lines
            .find_map(|line| line.strip_prefix("ExecStart="))
            .map(words)
    }

    fn addresses(&self, text: &str) -> Vec<SocketAddr> {
        let lines = text.lines();
        let listens = lines.filter_map(|line| line.strip_prefix("ListenStream="));
        // Another is a path, where sessions come in.
        listens.filter_map(|at| at.parse().ok()).collect()
    }

    fn enable(&self) -> anyhow::Result<()> {
        order("systemctl", &["--user", "daemon-reload"])?;
        let enable = ["--user", "enable", "--now"];
        order("systemctl", &[&enable, &self.sockets()[..]].concat())
    }

    fn disable(&self) -> anyhow::Result<()> {
        if self.check().is_ok() {
            // What is not loaded is no error of the one, and one of the other.
            let units = self.sockets();
            if !units.is_empty() {
                order(
                    "systemctl",
                    &[&["--user", "disable", "--now"], &units[..]].concat(),
                )?;
            }
            order("systemctl", &["--user", "stop", SERVICE])?;
        }
        // Where systemd does not run, it has left its links.
        for name in [SESSIONS, HTTP] {
            let link = self.folder.join(WANTS).join(name);
            if fs::symlink_metadata(&link).is_ok_and(|it| it.is_symlink()) {
                fs::remove_file(&link)?;
            }
        }
        Ok(())
    }

    fn forget(&self) -> anyhow::Result<()> {
        // Only if nothing else is in there.
        let _others = fs::remove_dir(self.folder.join(WANTS));
        if self.check().is_err() {
            return Ok(());
        }
        order("systemctl", &["--user", "daemon-reload"])?;
        // What has never failed has nothing to be forgotten.
        let _never_failed = ask(
            "systemctl",
            &[&["--user", "reset-failed"], &UNITS[..]].concat(),
        );
        Ok(())
    }

    fn start(&self) -> anyhow::Result<()> {
        let units = [self.sockets(), vec![SERVICE]].concat();
        order("systemctl", &[&["--user", "start"], &units[..]].concat())
    }

    fn stop(&self) -> anyhow::Result<()> {
        let units = [self.sockets(), vec![SERVICE]].concat();
        order("systemctl", &[&["--user", "stop"], &units[..]].concat())
    }

    fn state(&self) -> anyhow::Result<State> {
        let show = |unit, property: &str| -> anyhow::Result<String> {
            let property = format!("--property={property}");
            let output = ask("systemctl", &["--user", "show", &property, "--value", unit])?;
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let pid = show(SERVICE, "MainPID")?.parse().ok();
        Ok(State {
            is_enabled: show(SESSIONS, "UnitFileState")? == "enabled",
            is_active: show(SESSIONS, "ActiveState")? == "active",
            pid: pid.filter(|pid| *pid != 0),
        })
    }
}

fn sessions(plan: &Plan) -> String {
    let socket = plan.places.socket.to_string_lossy();
    format!(
        "# {MARK}; it writes it anew.
[Unit]
Description=mcpool, a pooler for MCP servers: where sessions come in

[Socket]
ListenStream={}
SocketMode=0600
DirectoryMode=0700
RemoveOnStop=yes
FileDescriptorName={PASSED_FOR_SESSIONS}
Service={SERVICE}

[Install]
WantedBy=sockets.target
",
        without_specifiers(&socket)
    )
}

fn http(addresses: &[SocketAddr]) -> String {
    let listens = addresses
        .iter()
        .map(|address| format!("ListenStream={address}\n"));
    let listens = listens.collect::<Vec<_>>().concat();
    format!(
        "# {MARK}; it writes it anew.
[Unit]
Description=mcpool, a pooler for MCP servers: where sessions come in over HTTP

[Socket]
{listens}FileDescriptorName={PASSED_FOR_HTTP}
Service={SERVICE}

[Install]
WantedBy=sockets.target
"
    )
}

/// A stop reaches the daemon alone, which ends its servers in good order; what is left after that is killed.
fn service(plan: &Plan) -> String {
    let sockets = if plan.http.is_empty() {
        SESSIONS.to_owned()
    } else {
        format!("{SESSIONS} {HTTP}")
    };
    // In the first word systemd puts in no variable, and takes two dollars for two.
    let mut words = vec![quoted(&plan.program.to_string_lossy()), "serve".to_owned()];
    if let Some(home) = &plan.places.home {
        words.push("--home".to_owned());
        words.push(command_word(&home.to_string_lossy()));
    }
    words.push("--from-service".to_owned());
    format!(
        "# {MARK}; it writes it anew.
[Unit]
Description=mcpool, a pooler for MCP servers
Requires={SESSIONS}
After={sockets}

[Service]
Type=notify
ExecStart={}
Sockets={sockets}
Environment={}
Restart=on-failure
KillMode=mixed
OOMPolicy=continue
",
        words.join(" "),
        quoted(&format!("PATH={}", plan.path)),
    )
}

/// One word of a command line behind the program, in which no variable is put in (systemd.service(5)).
fn command_word(word: &str) -> String {
    quoted(&word.replace('$', "$$"))
}

/// One word of a line (systemd.syntax(7)).
fn quoted(word: &str) -> String {
    let mut quoted = String::from("\"");
    for char in without_specifiers(word).chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

/// The words of a command line that we have written.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            char => {
                let char = match char {
                    '\\' => chars.next(),
                    // Written twice, the one behind the program alone.
                    '%' => chars.next_if_eq(&char).or(Some(char)),
                    '$' if words.len() > 1 => chars.next_if_eq(&char).or(Some(char)),
                    char => Some(char),
                };
                if let Some(word) = words.last_mut() {
                    word.extend(char);
                }
            }
        }
    }
    words
}

/// A text in which nothing is put in.
fn without_specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use expect_test::expect;
    use shim::places::Places;

    use super::*;

    fn plan(home: &Path) -> Plan {
        let mut places = Places::find(Some(home)).unwrap();
        places.home = None;
        Plan {
            program: "/opt/my \"programs\" 100%/mcpoold".into(),
            places,
            path: "/home/ada/.local/bin:/usr/bin".into(),
            http: vec![
                "127.0.0.1:7665".parse().unwrap(),
                "[::1]:7665".parse().unwrap(),
            ],
        }
    }

    fn systemd() -> Systemd {
        Systemd::new(&Folders {
            home: "/home/ada".into(),
            config: "/home/ada/.config".into(),
            user: 1000,
        })
    }

    #[test]
    fn the_units_are_as_they_are() {
        let files = systemd().files(&plan(Path::new("/run/user/1000/mcpool")));
        let texts: Vec<String> = files
            .iter()
            .map(|file| format!("{}\n{}", file.path.display(), file.text))
            .collect();
        expect![[r#"
            /home/ada/.config/systemd/user/mcpool.socket
            # Written by `mcpool service install`; it writes it anew.
            [Unit]
            Description=mcpool, a pooler for MCP servers: where sessions come in

            [Socket]
            ListenStream=/run/user/1000/mcpool/mcpool.sock
            SocketMode=0600
            DirectoryMode=0700
            RemoveOnStop=yes
            FileDescriptorName=mcpool
            Service=mcpool.service

            [Install]
            WantedBy=sockets.target

            /home/ada/.config/systemd/user/mcpool-http.socket
            # Written by `mcpool service install`; it writes it anew.
            [Unit]
            Description=mcpool, a pooler for MCP servers: where sessions come in over HTTP

            [Socket]
            ListenStream=127.0.0.1:7665
            ListenStream=[::1]:7665
            FileDescriptorName=mcpool-http
            Service=mcpool.service

            [Install]
            WantedBy=sockets.target

            /home/ada/.config/systemd/user/mcpool.service
            # Written by `mcpool service install`; it writes it anew.
            [Unit]
            Description=mcpool, a pooler for MCP servers
            Requires=mcpool.socket
            After=mcpool.socket mcpool-http.socket

            [Service]
            Type=notify
            ExecStart="/opt/my \"programs\" 100%%/mcpoold" serve --from-service
            Sockets=mcpool.socket mcpool-http.socket
            Environment="PATH=/home/ada/.local/bin:/usr/bin"
            Restart=on-failure
            KillMode=mixed
            OOMPolicy=continue
        "#]]
        .assert_eq(&texts.join("\n"));
    }

    #[test]
    fn without_http_there_is_no_socket_for_it_and_another_home_is_named() {
        let mut plan = plan(Path::new("/pool"));
        plan.http.clear();
        plan.places.home = Some("/my pool".into());
        let files = systemd().files(&plan);
        assert_eq!(files.len(), 2);
        assert!(!files.iter().any(|file| file.text.contains(HTTP)));
        let exec = r#" serve --home "/my pool" --from-service"#;
        assert!(files[1].text.contains(exec), "{}", files[1].text);
    }

    #[test]
    fn the_command_line_that_was_written_is_read_again() {
        let home = r#"/my "pool" \ 100% $HOME"#;
        let mut plan = plan(Path::new("/pool"));
        plan.places.home = Some(home.into());
        plan.program = "/opt/$$x 100%/$HOME/mcpoold".into();
        let files = systemd().files(&plan);
        let lines: Vec<Vec<String>> = files
            .iter()
            .filter_map(|file| systemd().command_line(&file.text))
            .collect();
        let program = plan.program.to_string_lossy();
        let expected = [&program, "serve", "--home", home, "--from-service"];
        assert_eq!(lines, [expected]);
    }
}
