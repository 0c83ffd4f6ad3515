//! `mcpool completions`: what a shell needs to complete our verbs.

use clap::{Arg, ArgAction, Command, CommandFactory, ValueHint};
use clap_complete::Shell;

use crate::{
    args::{Cli, OF_THE_SMALL_PROGRAM},
    exit::Exit,
    ui::Ui,
};

/// What stands in the grammar already, for every verb.
const OF_ALL_VERBS: [&str; 2] = ["home", "help"];

/// Options of the small program that take one of a few words.
const CHOICES: [(&str, &[&str]); 3] = [
    ("scope", &["auto", "global", "workspace", "session"]),
    ("on-daemon-failure", &["direct", "error"]),
    ("on-failure", &["continue", "block"]),
];

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, ui: &mut Ui) -> anyhow::Result<Exit> {
    ui.write(&script(args.shell))?;
    Ok(Exit::Done)
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut grammar(), "mcpool", &mut script);
    script
}

/// All verbs; of those that the small program reads, the options are what its help says.
fn grammar() -> Command {
    OF_THE_SMALL_PROGRAM
        .iter()
        .fold(Cli::command(), |cli, (verb, help)| {
            cli.mut_subcommand(verb, |of_any_words| {
                let about = of_any_words.get_about().cloned().unwrap_or_default();
                let words = Arg::new("words").num_args(0..).trailing_var_arg(true);
                let words = words.value_hint(ValueHint::CommandWithArguments);
                let verb = Command::new(*verb).about(about);
                verb.args(options(help)).arg(words)
            })
        })
}

/// The options that a help text describes.
fn options(help: &'static str) -> Vec<Arg> {
    let lines: Vec<&str> = help.lines().collect();
    let named = lines.iter().enumerate().filter_map(|(at, line)| {
        let described = line.trim_start().strip_prefix("--")?;
        Some((described, &lines[at + 1..]))
    });
    let options = named.map(|(described, below)| {
        let (head, first_words) = described.split_once("  ").unwrap_or((described, ""));
        let goes_on = |line: &&&str| line.starts_with("              ");
        let words = below.iter().take_while(goes_on).map(|line| line.trim());
        let about = std::iter::once(first_words.trim()).chain(words);
        let about = about.collect::<Vec<_>>().join(" ");
        option(head, about.trim())
    });
    options
        .filter(|option| !OF_ALL_VERBS.contains(&option.get_id().as_str()))
        .collect()
}

/// An option that is written like this: `name`, or `name VALUE`.
fn option(written: &'static str, about: &str) -> Arg {
    let (name, value) = written.split_once(' ').unwrap_or((written, ""));
    // What it is unless somebody says otherwise is for the help.
    let about = about.split(" [").next().unwrap_or_default();
    let option = Arg::new(name).long(name).help(about.to_owned());
    if value.is_empty() {
        return option.action(ArgAction::SetTrue);
    }
    let option = option.value_name(value).action(ArgAction::Append);
    match CHOICES.iter().find(|(of, _)| *of == name) {
        Some((_, words)) => option.value_parser(words.to_vec()),
        None if value == "DIR" => option.value_hint(ValueHint::DirPath),
        None => option.value_hint(ValueHint::Other),
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn the_options_of_the_small_program_are_completed_too() {
        grammar().debug_assert();
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).unwrap();
            for option in [
                "workspace",
                "scope",
                "name",
                "env",
                "on-daemon-failure",
                "server",
                "tool",
                "arg",
                "url",
                "async",
                "bearer-env",
                "timeout",
                "on-failure",
            ] {
                // Fish writes them without the dashes.
                let is_there = script.contains(&format!("--{option}"))
                    || script.contains(&format!("-l {option}"));
                assert!(is_there, "{shell}: {option}");
            }
        }
    }

    #[test]
    fn an_option_is_what_its_help_says() {
        let hook = options(shim::hook::arguments::HELP);
        let find = |name: &str| hook.iter().find(|it| it.get_id() == name).unwrap();
        let about = |name| find(name).get_help().map(ToString::to_string).unwrap();
        assert_eq!(about("timeout"), "How long all of it may take");
        assert_eq!(
            about("on-failure"),
            "If nothing comes of it: continue, or block what the agent is about to do"
        );
        assert!(!find("async").get_action().takes_values());
        assert!(find("workspace").get_value_hint() == ValueHint::DirPath);
        let connect = options(shim::arguments::HELP);
        let choice = connect.iter().find(|it| it.get_id() == "on-daemon-failure");
        let choice = choice.unwrap().get_help().map(ToString::to_string);
        assert!(
            choice
                .unwrap()
                .starts_with("If no daemon can be had: direct,")
        );
    }

    #[test]
    fn the_choices_are_those_of_the_help() {
        for (option, words) in CHOICES {
            let (_, help) = OF_THE_SMALL_PROGRAM
                .iter()
                .find(|(_, help)| help.contains(&format!("--{option} ")))
                .unwrap();
            let (_, described) = help.split_once(&format!("--{option} ")).unwrap();
            let described = described.split("\n      --").next().unwrap();
            for word in words {
                assert!(described.contains(word), "--{option}: {word}");
            }
        }
    }
}
