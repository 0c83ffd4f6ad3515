//! How a session runs its server itself.

use shim::direct::OnDaemonFailure;

use super::*;

#[test]
fn the_recipe_of_a_server_is_what_a_daemon_would_start() {
    let mut scene = Scene::new(
        "[servers.echo]\ncommand = \"echo-server\"\nargs = [\"--fast\"]\n\
         env = { TOKEN = \"${GITHUB_TOKEN}\" }\n[servers.broken]\ncommand = \"${MISSING}\"\n",
    );
    let ask = scene.ask("echo");
    let launch = scene.open(&ask);
    let spec = launch.spec();
    let recipe = scene.launcher.recipe(&ask, Path::new("/"), None).unwrap();
    assert_eq!(recipe.lock, launch.lock);
    assert_eq!(recipe.program, spec.program);
    assert_eq!(recipe.arguments, spec.arguments);
    let environment: BTreeMap<_, _> = recipe.environment.into_iter().collect();
    assert_eq!(environment, spec.environment);
    assert_eq!(recipe.directory, spec.directory);
    let ask = scene.ask("broken");
    let why = scene
        .launcher
        .recipe(&ask, Path::new("/"), None)
        .unwrap_err();
    assert_eq!(why, scene.refusal(&ask));
}

#[test]
fn a_server_has_no_recipe_if_the_configuration_says_so_and_the_session_was_told_nothing_else() {
    let mut scene = Scene::new(
        "[servers.echo]\ncommand = \"echo-server\"\non_daemon_failure = \"error\"\n\
         [servers.plain]\ncommand = \"echo-server\"\non_daemon_failure = \"direct\"\n",
    );
    let (direct, error) = (OnDaemonFailure::Direct, OnDaemonFailure::Error);
    for (server, said, has_one) in [
        ("echo", None, false),
        ("echo", Some(direct), true),
        ("plain", None, true),
        ("plain", Some(error), false),
    ] {
        let ask = scene.ask(server);
        let recipe = scene.launcher.recipe(&ask, Path::new("/"), said);
        assert_eq!(recipe.is_ok(), has_one, "{server}, {said:?}");
    }
    // A daemon runs it.
    assert!(scene.open(&scene.ask("echo")).means.is_ok());
}
