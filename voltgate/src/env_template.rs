//! `.env.template`, made from the settings in the code, so that the two cannot drift apart.

use clap::CommandFactory;

use crate::settings::Cli;

const HEAD: &str = "\
# Every setting of every Voltgate binary, with its default. Copy to .env and change what you need; a line that stays
# commented out keeps its default. Flags of the same name (--gateway-listen) win over variables, and variables over .env.
# Printed by `voltgate settings`.
";

/// The whole file.
pub fn render() -> String {
    let command = Cli::command();
    let mut text = HEAD.to_owned();
    for argument in command.get_arguments() {
        let Some(variable) = argument.get_env().and_then(|name| name.to_str()) else {
            continue;
        };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let default = argument
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy())
            .collect::<Vec<_>>()
            .join(",");
        text.push_str(&format!("\n# {help}\n#{variable}={default}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_name_of_its_own_and_a_line_of_help() {
        let command = Cli::command();
        let mut names = Vec::new();
        for argument in command.get_arguments().filter(|argument| argument.get_env().is_some()) {
            assert!(argument.get_help().is_some(), "{} has no help", argument.get_id());
            names.push(argument.get_env().map(std::ffi::OsStr::to_owned));
        }
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn the_template_in_the_tree_is_the_one_the_settings_make() {
        assert_eq!(render(), include_str!("../../.env.template"), "run `make env-template`");
    }
}
