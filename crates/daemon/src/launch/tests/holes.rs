//! What comes out of files, for sessions that bring no environment and for those that do.

use std::fmt::Write as _;

use super::*;

/// A server with a file of variables and a file of one word, and a session without an environment.
fn scene(more: &str) -> Scene {
    let mut scene = Scene::new("");
    let config = format!(
        "[servers.echo]\ncommand = \"echo-server\"\nscope = \"global\"\nenv_file = \"~/variables\"\n\
         env = {{ TOKEN = \"${{GITHUB_TOKEN}}\", WORD = \"<${{file:~/word}}>\" }}\nenv_pass = [\"PASSED_*\"]\n{more}"
    );
    fs::write(scene.home.join("config.toml"), config).unwrap();
    scene.private(
        "variables",
        b"GITHUB_TOKEN=from-the-file\nPASSED_KEY='passed'\nOTHER=no\n",
    );
    scene.private("word", b"of its own\n");
    let configuration = Configuration::read(scene.home.join("config.toml"));
    let own = vec![("PATH".into(), scene.home.join("bin").into())];
    scene.launcher = Launcher::new(configuration, scene.home.clone(), own);
    scene
}

impl Scene {
    fn private(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.home.join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// What a session gets that brings nothing but a name.
    fn visitor(&mut self) -> Launch {
        let ask = SessionAsk {
            env: Vec::new(),
            ..self.ask("echo")
        };
        self.open_as(&ask, Freedom::Elsewhere)
    }

    fn visitor_s_refusal(&mut self) -> String {
        let launch = self.visitor();
        launch.opening.refused.expect("a refusal").to_string()
    }
}

fn value<'s>(spec: &'s LaunchSpec, name: &str) -> Option<&'s str> {
    let value = spec.environment.get(OsStr::new(name));
    value.map(|value| value.to_str().unwrap())
}

#[test]
fn a_session_without_an_environment_takes_from_files_what_the_server_names() {
    let mut scene = scene("");
    let launch = scene.visitor();
    let spec = launch.spec();
    assert_eq!(value(&spec, "TOKEN"), Some("from-the-file"));
    assert_eq!(value(&spec, "WORD"), Some("<of its own>"));
    assert_eq!(value(&spec, "PASSED_KEY"), Some("passed"));
    assert_eq!(value(&spec, "GITHUB_TOKEN"), None);
    assert_eq!(value(&spec, "OTHER"), None, "nobody has named it");
    let secrets: Vec<_> = spec.secrets.iter().map(Secret::reveal).collect();
    assert_eq!(secrets, ["from-the-file", "of its own", "passed"]);
    let frozen = serde_json::to_string(&*spec).unwrap();
    assert_eq!(serde_json::from_str::<LaunchSpec>(&frozen).unwrap(), *spec);
    scene.private("word", b"another");
    let other = scene.visitor();
    assert!(
        other.opening.route != launch.opening.route,
        "a value is a part of the key"
    );
    scene.private("word", b"of its own");
    let same = scene.visitor();
    assert!(same.opening.route == launch.opening.route);
}

#[test]
fn a_session_s_own_variable_comes_first() {
    let mut scene = scene("");
    let spec = scene.open(&scene.ask("echo")).spec();
    assert_eq!(value(&spec, "TOKEN"), Some("token-a"));
    assert_eq!(value(&spec, "PASSED_KEY"), Some("passed"));
    assert!(!spec.secrets.iter().any(|it| it.reveal() == "from-the-file"));
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_line_and_without_its_words() {
    let mut scene = scene("");
    let variables = scene.private(
        "variables",
        b"GITHUB_TOKEN=hunter22\n\nhunter22 has no sign\n",
    );
    let told = scene.visitor_s_refusal();
    let place = format!("{}:3: a line must be `NAME=value`", variables.display());
    assert!(told.contains(&place), "{told}");
    assert!(!told.contains("hunter22"), "{told}");
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(&variables, fs::Permissions::from_mode(mode)).unwrap();
        let told = scene.visitor_s_refusal();
        let how = format!("`chmod 600 {}`", variables.display());
        assert!(told.contains(&how), "{told}");
    }
    fs::remove_file(&variables).unwrap();
    let told = scene.visitor_s_refusal();
    assert!(told.contains("variables cannot be read"), "{told}");
    scene.private("variables", b"OTHER=1\n");
    let told = scene.visitor_s_refusal();
    assert!(told.contains("`GITHUB_TOKEN` is not set"), "{told}");
    scene.private("variables", b"GITHUB_TOKEN=1\n");
    let word = scene.home.join("word");
    let long = vec![b'x'; (1 << 20) + 1];
    for (bytes, words) in [(b"a\0b".to_vec(), "NUL"), (long, "longer")] {
        scene.private("word", &bytes);
        let told = scene.visitor_s_refusal();
        assert!(
            told.contains(words) && told.contains("config.toml:5"),
            "{told}"
        );
    }
    fs::remove_file(&word).unwrap();
    fs::create_dir(&word).unwrap();
    assert!(scene.visitor_s_refusal().contains("is no file"));
}

#[test]
fn a_session_without_an_environment_finds_programs_where_the_configuration_says() {
    let evil = |scene: &Scene| scene.home.join("evil/echo-server");
    for (of_server, of_all) in [(true, false), (false, true), (true, true)] {
        let mut scene = scene("");
        let home = scene.home.display().to_string();
        let mut text = fs::read_to_string(scene.home.join("config.toml")).unwrap();
        if of_server {
            writeln!(text, "path = \"{home}/evil:/bin\"").unwrap();
        }
        if of_all {
            let folder = if of_server { "other" } else { "evil" };
            writeln!(text, "[daemon]\npath = \"{home}/{folder}\"").unwrap();
        }
        fs::write(scene.home.join("config.toml"), text).unwrap();
        let spec = scene.visitor().spec();
        assert_eq!(spec.program, evil(&scene));
        assert!(
            value(&spec, "PATH")
                .unwrap()
                .starts_with(&format!("{home}/evil"))
        );
        let own = scene.open(&scene.ask("echo")).spec();
        assert_eq!(own.program, scene.home.join("bin/echo-server"));
        assert!(value(&own, "PATH").unwrap().ends_with("bin"));
    }
    let mut nowhere = scene("path = \"/nowhere\"\n");
    let told = nowhere.visitor_s_refusal();
    assert!(
        told.contains("in the `path` of the configuration"),
        "{told}"
    );
}
