//! The launchers that we know, by what their arguments mean.

/// How a family of launchers names what it starts.
pub(super) struct Launcher {
    /// The programs, by base name without version.
    pub(super) programs: &'static [&'static str],
    /// Subcommands before the name, of which one is needed unless there are none.
    pub(super) verbs: &'static [&'static str],
    /// Options whose value is skipped.
    pub(super) skipped: &'static [&'static str],
    /// Options whose value is a package or module: it counts as a name.
    pub(super) named: &'static [&'static str],
    /// Options whose value is a folder that holds the server's project.
    pub(super) project: &'static [&'static str],
    /// Options whose value is a whole command line.
    pub(super) command: &'static [&'static str],
    /// Options whose value is source code, after which nothing has a name.
    pub(super) code: &'static [&'static str],
    /// What the first argument that is no option is.
    pub(super) first: First,
}

/// What the first argument of a launcher is.
#[derive(Clone, Copy)]
pub(super) enum First {
    /// A program or script, which may be a launcher again.
    Command,
    /// A package to install and run.
    Package,
    /// A container image, with a command line behind it.
    Image,
    /// Something that the launcher needs itself; the command line follows.
    Own,
}

const NOTHING: Launcher = Launcher {
    programs: &[],
    verbs: &[],
    skipped: &[],
    named: &[],
    project: &[],
    command: &[],
    code: &[],
    first: First::Command,
};

const NPM_OPTIONS: &[&str] = &[
    "--cache",
    "--loglevel",
    "--node-options",
    "--prefix",
    "--registry",
    "--userconfig",
    "-w",
    "--workspace",
];

const CONTAINER_OPTIONS: &[&str] = &[
    "--add-host",
    "--cap-add",
    "--cap-drop",
    "--cpus",
    "--device",
    "--dns",
    "--entrypoint",
    "--env-file",
    "--gpus",
    "--hostname",
    "--label",
    "--log-driver",
    "--memory",
    "--mount",
    "--name",
    "--net",
    "--network",
    "--platform",
    "--publish",
    "--pull",
    "--restart",
    "--runtime",
    "--security-opt",
    "--shm-size",
    "--tmpfs",
    "--ulimit",
    "--user",
    "--userns",
    "--volume",
    "--workdir",
    "--env",
    "-e",
    "-h",
    "-l",
    "-m",
    "-p",
    "-u",
    "-v",
    "-w",
];

/// All that we know; the first that fits counts.
pub(super) const LAUNCHERS: &[Launcher] = &[
    Launcher {
        programs: &["env"],
        skipped: &["-u", "--unset", "-C", "--chdir"],
        command: &["-S", "--split-string"],
        ..NOTHING
    },
    Launcher {
        programs: &["sh", "bash", "dash", "zsh", "fish", "ksh", "busybox"],
        command: &["-c", "-lc", "-ic", "-ec", "-lic"],
        ..NOTHING
    },
    Launcher {
        programs: &["npx", "bunx", "pnpx"],
        skipped: NPM_OPTIONS,
        named: &["-p", "--package"],
        command: &["-c", "--call"],
        first: First::Package,
        ..NOTHING
    },
    Launcher {
        programs: &["npm", "pnpm", "yarn"],
        verbs: &["exec", "x", "dlx"],
        skipped: NPM_OPTIONS,
        named: &["-p", "--package"],
        command: &["-c", "--call"],
        first: First::Package,
        ..NOTHING
    },
    Launcher {
        programs: &["node", "nodejs", "tsx", "ts-node"],
        skipped: &[
            "-r",
            "--require",
            "--import",
            "--loader",
            "--env-file",
            "--conditions",
            "-C",
        ],
        code: &["-e", "--eval", "-p", "--print"],
        ..NOTHING
    },
    Launcher {
        programs: &["bun"],
        verbs: &["run", "x"],
        skipped: &["--cwd"],
        first: First::Package,
        ..NOTHING
    },
    Launcher {
        programs: &["deno"],
        verbs: &["run"],
        skipped: &["-c", "--config"],
        first: First::Package,
        ..NOTHING
    },
    Launcher {
        programs: &["python", "pypy"],
        skipped: &["-X", "-W"],
        named: &["-m"],
        code: &["-c"],
        ..NOTHING
    },
    Launcher {
        programs: &["uvx"],
        skipped: &[
            "--python",
            "-p",
            "--index-url",
            "-i",
            "--extra-index-url",
            "--index",
            "--default-index",
            "--with-requirements",
            "--cache-dir",
            "--env-file",
            "--refresh-package",
            "--constraints",
            "-c",
            "--overrides",
            "--prerelease",
            "--exclude-newer",
        ],
        named: &["--from", "--with", "-w", "--with-editable"],
        first: First::Package,
        ..NOTHING
    },
    Launcher {
        programs: &["uv"],
        verbs: &["run", "tool", "x"],
        skipped: &[
            "--python",
            "-p",
            "--index-url",
            "-i",
            "--extra-index-url",
            "--index",
            "--default-index",
            "--with-requirements",
            "--cache-dir",
            "--env-file",
            "--refresh-package",
            "--extra",
            "--group",
            "--package",
            "--config-file",
        ],
        named: &[
            "--from",
            "--with",
            "-w",
            "--with-editable",
            "-m",
            "--module",
        ],
        project: &["--directory", "--project"],
        ..NOTHING
    },
    Launcher {
        programs: &["pipx"],
        verbs: &["run"],
        skipped: &["--python", "--pip-args", "--index-url"],
        named: &["--spec", "--with"],
        first: First::Package,
        ..NOTHING
    },
    Launcher {
        programs: &["poetry", "pdm", "hatch", "rye", "pipenv", "pixi"],
        verbs: &["run"],
        project: &["-C", "--directory", "-P", "--project"],
        ..NOTHING
    },
    Launcher {
        programs: &["conda", "mamba", "micromamba"],
        verbs: &["run"],
        skipped: &["-n", "--name", "-p", "--prefix", "--cwd"],
        ..NOTHING
    },
    Launcher {
        programs: &["docker", "podman", "nerdctl"],
        verbs: &["run"],
        skipped: CONTAINER_OPTIONS,
        first: First::Image,
        ..NOTHING
    },
    Launcher {
        programs: &["docker", "podman", "nerdctl"],
        verbs: &["exec"],
        skipped: CONTAINER_OPTIONS,
        first: First::Own,
        ..NOTHING
    },
    Launcher {
        programs: &["java"],
        skipped: &["-cp", "-classpath", "--class-path", "-p", "--module-path"],
        named: &["-jar", "-m", "--module"],
        ..NOTHING
    },
    Launcher {
        programs: &["ruby", "perl", "php", "dotnet"],
        code: &["-e", "-r"],
        ..NOTHING
    },
    Launcher {
        programs: &["go"],
        verbs: &["run"],
        first: First::Package,
        ..NOTHING
    },
    Launcher {
        programs: &["cargo"],
        verbs: &["run"],
        named: &["--bin", "-p", "--package"],
        project: &["--manifest-path"],
        ..NOTHING
    },
    Launcher {
        programs: &["nix"],
        verbs: &["run"],
        first: First::Package,
        ..NOTHING
    },
    Launcher {
        programs: &["sudo", "doas"],
        skipped: &["-u", "--user", "-g", "--group"],
        ..NOTHING
    },
    Launcher {
        programs: &["nice", "ionice"],
        skipped: &["-n", "-c"],
        ..NOTHING
    },
    Launcher {
        programs: &[
            "nohup",
            "setsid",
            "stdbuf",
            "exec",
            "command",
            "time",
            "xvfb-run",
            "flatpak-spawn",
            "corepack",
        ],
        ..NOTHING
    },
    Launcher {
        programs: &["volta", "fnm", "asdf"],
        verbs: &["run", "exec"],
        skipped: &["--node", "--npm", "--pnpm", "--yarn", "--using"],
        ..NOTHING
    },
    Launcher {
        programs: &["cmd"],
        verbs: &["/c", "/C", "/d", "/s"],
        ..NOTHING
    },
    Launcher {
        programs: &["wsl"],
        skipped: &[
            "-d",
            "--distribution",
            "--distribution-id",
            "-u",
            "--user",
            "--cd",
            "--shell-type",
        ],
        ..NOTHING
    },
    Launcher {
        programs: &["direnv"],
        verbs: &["exec"],
        first: First::Own,
        ..NOTHING
    },
    Launcher {
        programs: &["timeout"],
        skipped: &["-k", "-s"],
        first: First::Own,
        ..NOTHING
    },
    Launcher {
        programs: &["@smithery/cli"],
        verbs: &["run"],
        first: First::Package,
        ..NOTHING
    },
];
