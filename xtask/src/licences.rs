//! Licences and sources of all dependencies, for machines without `cargo-deny`.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::shell;

/// What may be linked into our programs; the same list as in `deny.toml`.
const ALLOWED: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// What may not be linked into our programs; the same list as in `deny.toml`. A regular expression must
/// not take longer than the text is long.
const BANNED: &[&str] = &[
    "fancy-regex",
    "onig",
    "onig_sys",
    "pcre",
    "pcre2",
    "pcre2-sys",
];

/// Fails with the list of packages that have another licence, come from elsewhere than the registry, or
/// are banned.
pub(crate) fn check() -> anyhow::Result<()> {
    let mut command = shell::cargo();
    command.args(["metadata", "--format-version=1", "--locked"]);
    // What only other systems need is not ours to judge, nor to download.
    for platform in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        command.args(["--filter-platform", platform]);
    }
    let text = shell::output(&mut command)?;
    let metadata: Value = serde_json::from_str(&text).context("reading `cargo metadata`")?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let wrong: Vec<String> = packages.filter_map(complaint).collect();
    ensure!(
        wrong.is_empty(),
        "these dependencies are not acceptable:\n  {}",
        wrong.join("\n  ")
    );
    Ok(())
}

fn complaint(package: &Value) -> Option<String> {
    let name = format!("{} {}", package["name"], package["version"]).replace('"', "");
    if package["name"]
        .as_str()
        .is_some_and(|name| BANNED.contains(&name))
    {
        return Some(format!("{name}: banned"));
    }
    let licence = package["license"].as_str().unwrap_or_default();
    if !is_allowed(licence) {
        return Some(format!("{name}: licence {licence:?}"));
    }
    // Our own packages have no source.
    let source = package["source"].as_str()?;
    (!source.starts_with("registry+")).then(|| format!("{name}: comes from {source}"))
}

/// Whether some choice that the expression offers is allowed.
///
/// Understands alternatives, demands and one level of brackets, which is all that occurs.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    if let Some((before, rest)) = expression.split_once('(') {
        let Some((inside, after)) = rest.split_once(')') else {
            return false;
        };
        let outcome = if is_allowed(inside) { ALLOWED[0] } else { "no" };
        return is_allowed(&format!("{before}{outcome}{after}"));
    }
    let is_listed = |licence: &str| ALLOWED.contains(&licence.trim());
    expression
        .split(" OR ")
        .any(|choice| choice.split(" AND ").all(is_listed))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{complaint, is_allowed};

    #[test]
    fn an_engine_that_may_take_for_ever_is_complained_about_whatever_its_licence() {
        let package = |name: &str| json!({"name": name, "version": "1.0.0", "license": "MIT"});
        assert_eq!(complaint(&package("regex")), None);
        assert_eq!(
            complaint(&package("fancy-regex")).as_deref(),
            Some("fancy-regex 1.0.0: banned")
        );
    }

    #[test]
    fn one_allowed_alternative_is_enough_and_every_demand_counts() {
        assert!(is_allowed("MIT OR GPL-3.0-only"));
        assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(is_allowed("Unlicense/MIT"));
        assert!(!is_allowed("MIT AND GPL-3.0-only"));
        assert!(!is_allowed(""));
    }
}
