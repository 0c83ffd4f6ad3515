//! What a command line starts, behind the programs that only start others.
//!
//! `env`, `npx`, `uvx`, `bash -c`, `python -m`, `docker run` and their like are
//! not the server: the name of the server is one of their arguments. A launcher
//! that is not known here is taken for the server itself.

mod families;

use families::{First, LAUNCHERS, Launcher};

/// Launchers within launchers that are followed before we stop looking.
const DEPTH_MAX: usize = 8;

/// Images that say only in which language the command behind them is written.
const BARE_IMAGES: &[&str] = &[
    "alpine", "bun", "debian", "deno", "fedora", "golang", "node", "python", "rust", "ubuntu", "uv",
];

/// Names of files and folders that every project has; the name is further up.
const GENERIC: &[&str] = &[
    "__main__",
    "app",
    "bin",
    "build",
    "cli",
    "debug",
    "dist",
    "index",
    "lib",
    "main",
    "mcp",
    "mcp_server",
    "out",
    "release",
    "run",
    "scripts",
    "server",
    "src",
    "start",
    "target",
];

/// What a command line says that it starts.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Names of programs, packages, modules and images.
    pub(crate) names: Vec<String>,
    /// Every program on the way, launchers too, as it is written.
    pub(crate) programs: Vec<String>,
    /// What stands behind the last of them: the server's own arguments.
    pub(crate) arguments: Vec<String>,
    /// Whether mcpool is on the way: a session with it, or a hook.
    pub(crate) is_through_mcpool: bool,
}

impl Found {
    fn add(&mut self, name: impl IntoIterator<Item = String>, arguments: &[String]) {
        let before = self.names.len();
        self.names.extend(name);
        let added = &self.names[before..];
        self.is_through_mcpool |= added.iter().any(|name| is_through_mcpool(name, arguments));
        if !added.is_empty() {
            self.arguments = arguments.to_vec();
        }
    }
}

/// Names of programs, packages, modules and images that a command line starts.
pub(crate) fn find(argv: &[String]) -> Found {
    let mut found = Found::default();
    follow(argv, 0, &mut found);
    found
}

/// Whether these are the words of a session with mcpool, or of a hook.
fn is_through_mcpool(name: &str, arguments: &[String]) -> bool {
    // `cargo run --bin mcpool -- connect`.
    let arguments = match arguments {
        [dashes, rest @ ..] if dashes == "--" => rest,
        _ => arguments,
    };
    let verb = verb_of_mcpool(name, arguments);
    verb.is_some_and(|verb| ["connect", "hook"].contains(&verb))
}

/// The verb, if the program is ours.
pub(crate) fn verb_of_mcpool<'w>(program: &str, arguments: &'w [String]) -> Option<&'w str> {
    // The one option that may stand before a verb.
    let verb = match arguments {
        [option, _, verb, ..] if option == "--home" => Some(verb),
        [option, verb, ..] if option.starts_with("--home=") => Some(verb),
        _ => arguments.first(),
    };
    let is_ours = ["mcpool", "mcpoold"].contains(&base_name(program));
    verb.filter(|_| is_ours).map(String::as_str)
}

/// Whether what a command line starts is named by its arguments.
pub(super) fn starts_another(argv: &[String]) -> bool {
    let first = argv.split_first();
    first.is_some_and(|(program, arguments)| launcher_of(program, arguments).is_some())
}

fn follow(argv: &[String], depth: usize, found: &mut Found) {
    let assignments = argv.iter().take_while(|word| is_assignment(word)).count();
    let argv = &argv[assignments..];
    let (Some((program, arguments)), true) = (argv.split_first(), depth < DEPTH_MAX) else {
        return;
    };
    found.programs.push(program.clone());
    match launcher_of(program, arguments) {
        Some(launcher) => launcher.follow(arguments, depth, found),
        None => found.add(name_of_program(program), arguments),
    }
    // `mcp-proxy --port 1 -- npx server`: a wrapper of any kind names its server.
    // `server-filesystem -- ~/shell` does not: what may be a path counts only
    // if it is a launcher's.
    if let Some(dashes) = arguments.iter().position(|argument| argument == "--") {
        let inner = &arguments[dashes + 1..];
        let is_command = inner.split_first().is_some_and(|(program, arguments)| {
            !program.starts_with('-')
                && (!program.contains('/') || launcher_of(program, arguments).is_some())
        });
        if is_command {
            follow(inner, depth + 1, found);
        }
    }
}

/// The family of a program, if these arguments make it a launcher.
fn launcher_of(program: &str, arguments: &[String]) -> Option<&'static Launcher> {
    let base = if program.starts_with('@') {
        without_version(program)
    } else {
        base_name(program)
            .trim_end_matches(|character: char| character.is_ascii_digit() || character == '.')
    };
    // Windows does not tell `NPX` from `npx`, and neither do most Macs.
    let base = base.to_ascii_lowercase();
    LAUNCHERS.iter().find(|launcher| {
        let has_verb = || {
            arguments
                .iter()
                .any(|argument| launcher.verbs.contains(&argument.as_str()))
        };
        launcher.programs.contains(&base.as_str()) && (launcher.verbs.is_empty() || has_verb())
    })
}

impl Launcher {
    fn follow(&self, arguments: &[String], depth: usize, found: &mut Found) {
        let mut rest = arguments;
        while let Some((argument, after)) = rest.split_first() {
            rest = after;
            let (option, joined) = match argument.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value)),
                Some(_) | None => (argument.as_str(), None),
            };
            let value = joined.or(after.first().map(String::as_str));
            let own_arguments = match joined {
                Some(_) => after,
                None => after.get(1..).unwrap_or_default(),
            };
            let is_one_of = |options: &[&str]| options.contains(&option);
            if is_one_of(self.code) {
                return;
            }
            if is_one_of(self.command) {
                for command in value.unwrap_or_default().split([';', '&', '|', '\n']) {
                    let words: Vec<String> = command.split_whitespace().map(unquoted).collect();
                    follow(&words, depth + 1, found);
                }
                return;
            }
            if is_one_of(self.named) {
                found.add(value.map(name_of_package), own_arguments);
            }
            if is_one_of(self.project) {
                found.add(value.and_then(name_of_project), own_arguments);
            }
            let has_value =
                is_one_of(self.skipped) || is_one_of(self.named) || is_one_of(self.project);
            if has_value {
                rest = own_arguments;
            } else if !(option.starts_with('-')
                || self.verbs.contains(&option)
                || is_assignment(option))
            {
                return self.follow_first(argument, after, depth, found);
            }
            // `python -m MODULE` and `java -jar FILE` end there: the rest is the server's.
            if has_value && is_one_of(&["-m", "--module", "-jar"]) {
                return;
            }
        }
    }

    fn follow_first(&self, first: &str, after: &[String], depth: usize, found: &mut Found) {
        match self.first {
            First::Command => {
                let command: Vec<String> = std::iter::once(first.to_owned())
                    .chain(after.iter().cloned())
                    .collect();
                follow(&command, depth + 1, found);
            }
            First::Package if launcher_of(first, after).is_some() => {
                let command: Vec<String> = std::iter::once(first.to_owned())
                    .chain(after.iter().cloned())
                    .collect();
                follow(&command, depth + 1, found);
            }
            First::Package => found.add([name_of_package(first)], after),
            First::Image => {
                let image = name_of_image(first);
                let is_bare = image
                    .split('/')
                    .next_back()
                    .is_some_and(|name| BARE_IMAGES.contains(&name));
                found.add([image], after);
                if is_bare {
                    follow(after, depth + 1, found);
                }
            }
            First::Own => follow(after, depth + 1, found),
        }
    }
}

/// The last part of a path, of any system, without the ending of Windows.
pub(crate) fn base_name(program: &str) -> &str {
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program);
    match name.rsplit_once('.') {
        Some((stem, ending))
            if ["exe", "cmd", "bat"]
                .iter()
                .any(|known| ending.eq_ignore_ascii_case(known)) =>
        {
            stem
        }
        Some(_) | None => name,
    }
}

/// `NAME=VALUE` before a command, as `env` and shells take it.
fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

fn unquoted(word: &str) -> String {
    word.trim_matches(['"', '\'', '(', ')']).to_owned()
}

/// A program or script: its base name, or its project's where that says nothing.
fn name_of_program(program: &str) -> Option<String> {
    if !program.contains('/') {
        return Some(without_extension(program).to_owned());
    }
    if let Some((_, inside)) = program.rsplit_once("node_modules/") {
        let package_parts = if inside.starts_with('@') { 2 } else { 1 };
        let parts: Vec<&str> = inside.split('/').take(package_parts).collect();
        if parts != [".bin"] {
            return Some(parts.join("/"));
        }
    }
    let base = without_extension(program.rsplit('/').next().unwrap_or(program));
    if GENERIC.contains(&base) {
        name_of_project(program)
    } else {
        Some(base.to_owned())
    }
}

/// The nearest folder with a name of its own, if that name is one of an MCP server.
///
/// A folder may be called anything, so `~/shell-scripts/index.js` says nothing.
fn name_of_project(path: &str) -> Option<String> {
    let own = path.rsplit('/').find(|part| {
        !part.is_empty() && !GENERIC.contains(&without_extension(part)) && !part.starts_with('.')
    })?;
    let is_server = own
        .to_lowercase()
        .split(|character: char| !character.is_alphanumeric())
        .any(|word| word == "mcp");
    is_server.then(|| own.to_owned())
}

/// A package, module or URL of one, without version, extras and folders.
fn name_of_package(package: &str) -> String {
    let package = package.strip_prefix("nixpkgs#").unwrap_or(package);
    let package = without_version(package);
    if package.contains("://") || package.starts_with(['/', '.', '~']) {
        let path = package
            .split(['#', '?'])
            .next()
            .unwrap_or(package)
            .trim_end_matches('/');
        return name_of_program(path).unwrap_or_default();
    }
    package.to_owned()
}

/// An image without its registry and tag; its publisher is part of its name.
fn name_of_image(image: &str) -> String {
    let image = image.split('@').next().unwrap_or(image);
    let (registry, name) = image.split_once('/').unwrap_or(("", image));
    let has_registry = registry.contains(['.', ':']) || registry == "localhost";
    let name = if has_registry { name } else { image };
    name.split(':').next().unwrap_or(name).to_owned()
}

fn without_version(package: &str) -> &str {
    match package.rfind('@') {
        Some(at) if at > 0 && !package[at..].contains('/') => &package[..at],
        Some(_) | None => package,
    }
}

fn without_extension(file: &str) -> &str {
    match file.rsplit_once('.') {
        Some((
            stem,
            "js" | "mjs" | "cjs" | "ts" | "py" | "sh" | "bash" | "rb" | "pl" | "php" | "jar"
            | "exe" | "dll" | "git" | "toml",
        )) => stem,
        Some(_) | None => file,
    }
}
