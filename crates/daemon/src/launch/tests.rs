use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use shim::{
    preface::{Join, SessionAsk},
    workspace::{Evidence, Workspace},
};

use super::*;

mod holes;
mod recipe;
mod remote;

/// A home folder with a project in it, a program, and a configuration.
struct Scene {
    _temporary: tempfile::TempDir,
    home: PathBuf,
    launcher: Launcher,
}

impl Launch {
    #[track_caller]
    fn spec(&self) -> Arc<LaunchSpec> {
        match self.means.as_ref().unwrap() {
            Means::Process(spec) => Arc::clone(spec),
            Means::Remote(spec) => panic!("{spec:?}"),
        }
    }
}

impl Launcher {
    /// What a session gets that comes now, and whose folders answer.
    fn open(&mut self, asker: &Asker<'_>) -> Launch {
        let mut launch = self.planner().open(asker);
        self.take_in(&mut launch);
        launch
    }
}

impl Scene {
    fn new(config: &str) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(temporary.path()).unwrap();
        for folder in ["project", "other", "bin", "evil"] {
            fs::create_dir(home.join(folder)).unwrap();
        }
        for program in ["bin/echo-server", "bin/browser-server", "evil/echo-server"] {
            let path = home.join(program);
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = home.join("config.toml");
        fs::write(&path, config).unwrap();
        let own = vec![("PATH".into(), home.join("bin").into())];
        let launcher = Launcher::new(Configuration::read(path), home.clone(), own);
        Scene {
            _temporary: temporary,
            home,
            launcher,
        }
    }

    fn ask(&self, server: &str) -> SessionAsk {
        SessionAsk {
            server: server.to_owned(),
            command: Vec::new(),
            address: None,
            directory: None,
            scope: None,
            workspace: Some(Workspace {
                path: self.home.join("project"),
                evidence: Evidence::Directory,
            }),
            pass: Vec::new(),
            join: Join::ShareKey,
            resume: None,
            env: vec![
                ("PATH".into(), self.home.join("bin").into()),
                ("HOME".into(), self.home.clone().into()),
                ("TERM".into(), "dumb".into()),
                ("CLIENT_SESSION".into(), "7".into()),
                ("GITHUB_TOKEN".into(), "token-a".into()),
            ],
        }
    }

    fn ad_hoc(&self) -> SessionAsk {
        SessionAsk {
            command: vec!["echo-server".into(), "--fast".into()],
            ..self.ask("echo")
        }
    }

    fn open(&mut self, ask: &SessionAsk) -> Launch {
        self.open_as(ask, Freedom::AsFree)
    }

    fn open_as(&mut self, ask: &SessionAsk, freedom: Freedom) -> Launch {
        self.launcher.open(&Asker {
            session: SessionId(1),
            ask,
            cwd: Path::new("/"),
            umask: 0o022,
            freedom,
            over: match freedom {
                Freedom::AsFree | Freedom::Confined => Over::Preface,
                Freedom::Elsewhere => Over::Http,
            },
            session_key: None,
        })
    }

    fn refusal(&mut self, ask: &SessionAsk) -> String {
        self.open(ask)
            .opening
            .refused
            .expect("a refusal")
            .to_string()
    }
}

fn with(mut ask: SessionAsk, name: &str, value: &str) -> SessionAsk {
    ask.env.retain(|(known, _)| known != name);
    ask.env.push((name.into(), value.into()));
    ask
}

#[test]
fn an_ad_hoc_command_is_found_in_the_session_s_path_and_starts_in_its_workspace() {
    let mut scene = Scene::new("");
    let ask = scene.ad_hoc();
    let launch = scene.open(&ask);
    let spec = launch.spec();
    assert_eq!(spec.program, scene.home.join("bin/echo-server"));
    assert_eq!(spec.arguments, ["echo-server", "--fast"]);
    assert_eq!(spec.directory, scene.home.join("project"));
    assert_eq!(spec.umask, 0o022);
    assert_eq!(launch.opening.scope, Scope::Workspace);
    assert_eq!(launch.opening.refused, None);
}

#[test]
fn a_server_gets_the_ambient_variables_and_nothing_that_was_not_named() {
    let mut scene = Scene::new("");
    let ask = scene.ad_hoc();
    let launch = scene.open(&ask);
    let spec = launch.spec();
    let names: Vec<&str> = spec
        .environment
        .keys()
        .map(|name| name.to_str().unwrap())
        .collect();
    assert_eq!(names, ["HOME", "PATH", "TERM"]);
    assert_eq!(launch.opening.withheld, [Arc::from("GITHUB_TOKEN")]);
}

#[test]
fn ambient_variables_never_split_a_key_and_passed_ones_do() {
    let mut scene = Scene::new("");
    let ask = scene.ad_hoc();
    let plain = scene.open(&ask).opening.route;
    for (name, value) in [
        ("TERM", "xterm"),
        ("CLIENT_SESSION", "8"),
        ("GITHUB_TOKEN", "b"),
        ("LANG", "C"),
    ] {
        let other = with(ask.clone(), name, value);
        assert_eq!(scene.open(&other).opening.route, plain, "{name}");
    }
    let passing = SessionAsk {
        pass: vec!["GITHUB_TOKEN".into()],
        ..ask
    };
    let launch = scene.open(&passing);
    let spec = launch.spec();
    let one = launch.opening.route;
    assert_ne!(one, plain);
    assert!(launch.opening.withheld.is_empty());
    assert_eq!(spec.environment[OsStr::new("GITHUB_TOKEN")], "token-a");
    let other = scene
        .open(&with(passing, "GITHUB_TOKEN", "token-b"))
        .opening
        .route;
    assert_ne!(other, one);
}

#[test]
fn two_workspaces_are_two_keys_unless_the_scope_is_global() {
    let mut scene = Scene::new("");
    let here = scene.ad_hoc();
    let there = SessionAsk {
        workspace: Some(Workspace {
            path: scene.home.join("other"),
            evidence: Evidence::Directory,
        }),
        ..here.clone()
    };
    assert_ne!(
        scene.open(&here).opening.route,
        scene.open(&there).opening.route
    );
    let global = |ask: &SessionAsk| SessionAsk {
        scope: Some(shim::scope::Scope::Global),
        ..ask.clone()
    };
    let one = scene.open(&global(&here));
    let other = scene.open(&global(&there));
    assert_eq!(one.opening.route, other.opening.route);
    assert_eq!(one.spec().directory, scene.home);
}

#[test]
fn a_command_starts_in_the_folder_that_is_asked_for_and_each_folder_is_a_key() {
    let mut scene = Scene::new("");
    let ask = scene.ad_hoc();
    let here = scene.open(&ask);
    assert_eq!(here.spec().directory, scene.home.join("project"));
    let there = SessionAsk {
        directory: Some(scene.home.join("other")),
        ..ask
    };
    let there = scene.open(&there);
    assert_eq!(there.spec().directory, scene.home.join("other"));
    assert_ne!(here.opening.route, there.opening.route);
    assert_eq!(here.opening.workspace, there.opening.workspace);
}

#[test]
fn the_label_of_an_ad_hoc_server_is_no_part_of_its_key() {
    let mut scene = Scene::new("");
    let ask = scene.ad_hoc();
    let renamed = SessionAsk {
        server: "another".into(),
        ..ask.clone()
    };
    assert_eq!(
        scene.open(&ask).opening.route,
        scene.open(&renamed).opening.route
    );
}

#[test]
fn equal_specifications_are_kept_once_and_forgotten_when_unused() {
    let mut scene = Scene::new("");
    let ask = scene.ad_hoc();
    let one = scene.open(&ask).spec();
    let other = scene.open(&ask).spec();
    assert!(Arc::ptr_eq(&one, &other));
    drop((one, other));
    scene.launcher.forget_unused();
    assert!(scene.launcher.specs.is_empty());
}

#[test]
fn who_waits_in_vain_for_a_folder_hears_which_and_may_come_again() {
    let mut scene = Scene::new("");
    let ask = scene.ad_hoc();
    let launch = scene.launcher.planner().late(&Asker {
        session: SessionId(1),
        ask: &ask,
        cwd: Path::new("/"),
        umask: 0,
        freedom: Freedom::AsFree,
        over: Over::Preface,
        session_key: None,
    });
    let project = scene.home.join("project");
    let refusal = launch.opening.refused.unwrap().to_string();
    assert!(refusal.contains(project.to_str().unwrap()), "{refusal}");
    assert_eq!(launch.means.unwrap_err(), refusal);
    assert!(launch.is_for_one, "it is not what others get");
}

const CONFIG: &str = r#"
[servers.github]
command = "echo-server"
args = ["--root", "${workspace}", "--user", "${LOGIN:-nobody}"]
env = { TOKEN = "${GITHUB_TOKEN}" }
env_pass = ["AWS_*"]

[servers.shared]
command = "echo-server"
scope = "global"
cwd = "data"

[servers.bound]
command = "echo-server"
scope = "workspace"

[servers.needy]
command = "echo-server"
args = ["${MISSING}"]

[servers.chosen]
command = "${TOOLS}/echo-server"

[servers.browser]
command = "browser-server"
"#;

#[test]
fn a_configured_server_is_completed_from_the_session_s_environment() {
    let mut scene = Scene::new(CONFIG);
    let ask = with(scene.ask("github"), "AWS_REGION", "r");
    let launch = scene.open(&ask);
    let spec = launch.spec();
    let project = scene.home.join("project").into_os_string();
    assert_eq!(
        spec.arguments[1..],
        ["--root".into(), project, "--user".into(), "nobody".into()]
    );
    assert_eq!(spec.environment[OsStr::new("TOKEN")], "token-a");
    assert_eq!(spec.environment[OsStr::new("AWS_REGION")], "r");
    assert!(!spec.environment.contains_key(OsStr::new("GITHUB_TOKEN")));
    // Its value is passed, if under another name.
    assert!(launch.opening.withheld.is_empty());
}

#[test]
fn a_global_server_starts_in_its_folder_below_the_home_folder() {
    let mut scene = Scene::new(CONFIG);
    let ask = scene.ask("shared");
    let launch = scene.open(&ask);
    assert_eq!(launch.spec().directory, scene.home.join("data"));
    assert_eq!(&*launch.opening.scope_reason, "the configuration says so");
}

#[test]
fn the_same_words_under_two_configured_names_are_two_keys() {
    let mut scene = Scene::new(
        "[servers.a]\ncommand = \"echo-server\"\n[servers.b]\ncommand = \"echo-server\"\n",
    );
    let (a, b) = (scene.ask("a"), scene.ask("b"));
    assert_ne!(scene.open(&a).opening.route, scene.open(&b).opening.route);
}

#[test]
fn a_session_without_a_workspace_shares_an_unbound_upstream_or_is_told_how_to_bind() {
    let mut scene = Scene::new(CONFIG);
    let unbound = |ask: SessionAsk| SessionAsk {
        workspace: None,
        ..ask
    };
    let ask = unbound(scene.ad_hoc());
    let launch = scene.open(&ask);
    assert_eq!(launch.spec().directory, scene.home);
    assert_eq!(launch.opening.workspace, None);
    // The home folder itself counts as none.
    let at_home = SessionAsk {
        workspace: Some(Workspace {
            path: scene.home.clone(),
            evidence: Evidence::Directory,
        }),
        ..scene.ad_hoc()
    };
    assert_eq!(scene.open(&at_home).opening.route, launch.opening.route);
    let bound = unbound(scene.ask("bound"));
    let text = scene.refusal(&bound);
    assert!(
        text.contains("--workspace DIR") && text.contains("CLAUDE_PROJECT_DIR"),
        "{text}"
    );
}

#[test]
fn a_browser_is_not_shared_unless_somebody_says_so() {
    let mut scene = Scene::new(CONFIG);
    let ask = scene.ask("browser");
    let launch = scene.open(&ask);
    assert_eq!(launch.opening.scope, Scope::Session);
    assert!(launch.opening.scope_reason.contains("browser"));
    let shared = SessionAsk {
        scope: Some(shim::scope::Scope::Workspace),
        ..ask
    };
    assert_eq!(scene.open(&shared).opening.scope, Scope::Workspace);
}

#[test]
fn what_is_wrong_is_said_with_the_way_to_mend_it() {
    let mut scene = Scene::new(CONFIG);
    let unknown = scene.ask("githib");
    assert!(scene.refusal(&unknown).contains("did you mean `github`?"));
    let needy = scene.ask("needy");
    let text = scene.refusal(&needy);
    assert!(
        text.contains("config.toml:19") && text.contains("MISSING"),
        "{text}"
    );
    let missing = SessionAsk {
        command: vec!["no-such-program".into()],
        ..scene.ask("x")
    };
    let text = scene.refusal(&missing);
    assert!(
        text.contains("no-such-program") && text.contains("GITHUB_TOKEN"),
        "{text}"
    );
    assert!(!text.contains("token-a"));
    let traversing = scene.ask("../../evil\n");
    let launch = scene.open(&traversing);
    assert_eq!(&*launch.opening.server, "?");
    let bad = SessionAsk {
        pass: vec!["*".into()],
        ..scene.ad_hoc()
    };
    assert!(scene.refusal(&bad).contains("--env"));
}

#[test]
fn a_verb_that_lacks_what_a_start_needs_may_still_join_what_runs() {
    let mut scene = Scene::new(CONFIG);
    let ask = SessionAsk {
        join: Join::Any,
        ..scene.ask("needy")
    };
    let launch = scene.open(&ask);
    let refused = launch.opening.refused.expect("a refusal").to_string();
    assert!(refused.contains("MISSING"), "{refused}");
    assert_eq!(launch.opening.joins, Joins::AnyRunning);
    assert!(launch.means.unwrap_err().contains("MISSING"));
}

#[test]
fn a_sandboxed_session_chooses_neither_program_nor_environment() {
    let mut scene = Scene::new(CONFIG);
    let evil = scene.home.join("evil");
    let ask = with(scene.ask("shared"), "PATH", evil.to_str().unwrap());
    assert_eq!(scene.open(&ask).spec().program, evil.join("echo-server"));
    let spec = scene.open_as(&ask, Freedom::Confined).spec();
    assert_eq!(spec.program, scene.home.join("bin/echo-server"));
    assert_eq!(spec.environment.len(), 1, "only the daemon's own PATH");
    let chosen = with(scene.ask("chosen"), "TOOLS", evil.to_str().unwrap());
    assert!(scene.open(&chosen).means.is_ok());
    assert!(scene.open_as(&chosen, Freedom::Confined).means.is_err());
    let passing = SessionAsk {
        pass: vec!["LD_PRELOAD=/evil.so".into()],
        ..ask
    };
    assert!(scene.open_as(&passing, Freedom::Confined).means.is_err());
}

#[test]
fn a_sandboxed_session_chooses_no_script_and_no_folder_either() {
    let mut scene = Scene::new(
        "[servers.script]\ncommand = \"echo-server\"\nargs = [\"${TOOLS}/s.js\"]\n\
         [servers.folder]\ncommand = \"echo-server\"\ncwd = \"${TOOLS}\"\n\
         [servers.common]\ncommand = \"echo-server\"\nargs = [\"${PATH}\"]\n\
         [servers.token]\ncommand = \"echo-server\"\nenv = { TOKEN = \"${TOOLS}\" }\n",
    );
    let evil = scene.home.join("evil");
    let mut is_let = |server: &str| {
        let ask = with(scene.ask(server), "TOOLS", evil.to_str().unwrap());
        assert!(scene.open(&ask).means.is_ok(), "{server}");
        scene.open_as(&ask, Freedom::Confined).means.is_ok()
    };
    assert!(!is_let("script"));
    assert!(!is_let("folder"));
    assert!(is_let("common"), "it means the same inside and outside");
    assert!(is_let("token"));
}

#[test]
fn a_configuration_that_broke_is_told_to_those_whose_server_is_not_in_the_last_good_one() {
    let mut scene = Scene::new(CONFIG);
    fs::write(
        scene.home.join("config.toml"),
        "[servers.new]\ncomand = 1\n",
    )
    .unwrap();
    let known = scene.ask("shared");
    assert!(scene.open(&known).means.is_ok());
    let new = scene.ask("new");
    assert!(scene.refusal(&new).contains("comand"));
    assert!(scene.launcher.config_error().unwrap().contains("comand"));
}

#[test]
fn the_terms_of_a_server_reach_the_core() {
    let mut scene = Scene::new(
        "[servers.echo]\ncommand = \"echo-server\"\nrequest_timeout = \"2h\"\n\
         request_idle_timeout = \"5m\"\non_restart = \"error\"\n\
         [servers.plain]\ncommand = \"echo-server\"\n",
    );
    let opening = scene.open(&scene.ask("echo")).opening;
    assert_eq!(opening.request_timeout, Some(Duration::from_hours(2)));
    assert_eq!(
        opening.request_idle_timeout,
        Some(IdleTimeout::After(Duration::from_mins(5)))
    );
    assert_eq!(opening.on_restart, OnRestart::Error);
    let plain = scene.open(&scene.ask("plain")).opening;
    assert_eq!(
        (plain.request_timeout, plain.request_idle_timeout),
        (None, None)
    );
    assert_eq!(plain.on_restart, OnRestart::Continue);
}

#[test]
fn only_a_daemon_that_nobody_watches_ends_by_itself() {
    let minutes = |count| IdleTimeout::After(Duration::from_mins(count));
    let minute = config::IdleTimeout::After(Duration::from_mins(1));
    let never = config::IdleTimeout::Never;
    for (started_by, unless_set) in [
        (StartedBy::Shim, minutes(30)),
        (StartedBy::ServiceManager, IdleTimeout::Never),
    ] {
        let kept = |set| daemon_idle_timeout(started_by, set);
        assert_eq!(kept(None), unless_set);
        assert_eq!(kept(Some(minute)), minutes(1));
        assert_eq!(kept(Some(never)), IdleTimeout::Never);
    }
    for set in [None, Some(minute), Some(never)] {
        let kept = daemon_idle_timeout(StartedBy::Person, set);
        assert_eq!(kept, IdleTimeout::Never);
    }
}

#[test]
fn the_lock_of_a_configured_server_is_one_for_whom_it_is_shared_with() {
    let mut scene = Scene::new(
        "[servers.own]\ncommand = \"echo-server\"\nscope = \"session\"\n\
         [servers.here]\ncommand = \"echo-server\"\nscope = \"workspace\"\n\
         [servers.all]\ncommand = \"echo-server\"\nscope = \"global\"\n\
         env = { TOKEN = \"${GITHUB_TOKEN}\" }\n",
    );
    let mut locks = |server: &str| {
        let ask = scene.ask(server);
        let mut elsewhere = ask.clone();
        elsewhere.workspace.as_mut().unwrap().path = scene.home.join("other");
        let with_another_token = with(ask.clone(), "GITHUB_TOKEN", "token-b");
        [ask.clone(), ask, elsewhere, with_another_token].map(|ask| scene.open(&ask).lock)
    };
    assert_eq!(locks("own"), [None, None, None, None]);
    let [one, same, elsewhere, with_another_token] = locks("here");
    assert!(one.is_some());
    assert_eq!(one, same);
    assert_ne!(one, elsewhere);
    assert_eq!(one, with_another_token);
    let [for_all, same, elsewhere, with_another_token] = locks("all");
    assert_ne!(for_all, one);
    assert_eq!(for_all, same);
    assert_eq!(for_all, elsewhere);
    assert_ne!(for_all, with_another_token);
    // Where its program is found makes no other of it: a sandboxed session finds it by its own PATH if it runs
    // it itself, and by the daemon's if a daemon does.
    let ask = scene.ask("here");
    let evil = scene.home.join("evil");
    let with_another_path = with(ask.clone(), "PATH", evil.to_str().unwrap());
    let by_itself = scene.open(&with_another_path);
    let by_daemon = scene.open_as(&with_another_path, Freedom::Confined);
    assert_ne!(by_itself.opening.route, by_daemon.opening.route);
    assert_eq!([by_itself.lock, by_daemon.lock], [one.clone(), one]);
    // A command is no configured server, and its lock is known without us.
    let ad_hoc = scene.ad_hoc();
    assert_eq!(scene.open(&ad_hoc).lock, LockName::of_command(&ad_hoc));
}

#[test]
fn commands_of_one_share_key_have_one_lock() {
    let mut scene = Scene::new("");
    let ask = scene.ad_hoc();
    let of = |change: &dyn Fn(&mut SessionAsk)| {
        let mut ask = ask.clone();
        change(&mut ask);
        ask
    };
    let program = scene.home.join("bin/echo-server");
    let same = [
        of(&|ask| ask.command[0] = program.clone().into()),
        of(&|ask| ask.server = "other".into()),
        of(&|ask| ask.scope = Some(shim::scope::Scope::Workspace)),
    ];
    let launch = scene.open(&ask);
    for ask in same {
        let other = scene.open(&ask);
        assert_eq!(other.opening.route, launch.opening.route);
        assert_eq!(other.lock, launch.lock);
    }
    let pass = |words: &[&str]| {
        let words = words.iter().map(OsString::from);
        scene.open(&of(&|ask| ask.pass = words.clone().collect()))
    };
    let [one, other] = [
        &["GITHUB_TOKEN=a"][..],
        &["GITHUB_TOKEN=b", "GITHUB_*", "GITHUB_TOKEN=a"],
    ]
    .map(pass);
    assert_eq!(one.opening.route, other.opening.route);
    assert_eq!(one.lock, other.lock);
}
