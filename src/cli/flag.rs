//! One row of the table of flags: what a flag is called, what it takes, how it is described, and how its value gets into
//! the configuration. Also the two pictures of such rows: the help text and the README's table.
//!
//! It knows no flag; those are in `flags`.

use getopts::{Matches, Options};

use crate::config::Config;

/// One flag.
pub(crate) struct Flag {
    /// Without the hyphens.
    pub name: &'static str,
    /// What it takes, as the help shows it: `N`, `FILE`; empty if nothing.
    hint: &'static str,
    /// What it does, for the help text and the README; code is in backticks.
    meaning: &'static str,
    /// What holds without the flag; empty if that is nothing.
    default: Shown,
    set: Set,
    short: &'static str,
    env: &'static str,
}

/// Shows a setting of the default configuration.
type Shown = fn(&Config) -> String;

/// Puts what was given into the configuration. The error continues a sentence that begins with the flag's name.
enum Set {
    /// Nothing is set: the flag asks for something else than to serve.
    Nothing,
    Switch(fn(&mut Config)),
    One(fn(&mut Config, &str) -> Result<(), String>),
    All(fn(&mut Config, &[String]) -> Result<(), String>),
}

impl Flag {
    /// A flag that takes nothing.
    pub const fn switch(name: &'static str, meaning: &'static str, default: Shown, set: fn(&mut Config)) -> Flag {
        Flag { name, hint: "", meaning, default, set: Set::Switch(set), short: "", env: "" }
    }

    /// A flag that takes one value.
    pub const fn value(
        name: &'static str,
        hint: &'static str,
        meaning: &'static str,
        default: Shown,
        set: fn(&mut Config, &str) -> Result<(), String>,
    ) -> Flag {
        Flag { name, hint, meaning, default, set: Set::One(set), short: "", env: "" }
    }

    /// A flag that takes a value and may be repeated.
    pub const fn values(
        name: &'static str,
        hint: &'static str,
        meaning: &'static str,
        default: Shown,
        set: fn(&mut Config, &[String]) -> Result<(), String>,
    ) -> Flag {
        Flag { name, hint, meaning, default, set: Set::All(set), short: "", env: "" }
    }

    /// A flag that asks for something else than to serve.
    pub const fn action(name: &'static str, meaning: &'static str) -> Flag {
        Flag { name, hint: "", meaning, default: |_| String::new(), set: Set::Nothing, short: "", env: "" }
    }

    /// The same flag with a name of one letter.
    pub const fn short(self, short: &'static str) -> Flag {
        Flag { short, ..self }
    }

    /// The same flag, which an environment variable sets too. The flag wins.
    pub const fn env(self, env: &'static str) -> Flag {
        Flag { env, ..self }
    }

    /// Adds the flag to the parser.
    pub fn add_to(&self, options: &mut Options) {
        let help = self.help();
        match self.set {
            Set::Nothing | Set::Switch(_) => options.optflag(self.short, self.name, &help),
            Set::One(_) => options.optopt(self.short, self.name, &help, self.hint),
            Set::All(_) => options.optmulti(self.short, self.name, &help, self.hint),
        };
    }

    /// Puts what the command line or the environment gave into the configuration.
    ///
    /// # Errors
    /// A sentence without its full stop.
    pub fn apply(
        &self,
        config: &mut Config,
        matches: &Matches,
        env: &impl Fn(&str) -> Option<String>,
    ) -> Result<(), String> {
        match self.set {
            Set::Nothing => Ok(()),
            Set::Switch(set) => {
                if matches.opt_present(self.name) {
                    set(config);
                }
                Ok(())
            }
            Set::One(set) => {
                let from_env =
                    || if self.env.is_empty() { None } else { env(self.env).map(|v| (self.env.to_owned(), v)) };
                let given = matches.opt_str(self.name).map(|value| (format!("--{}", self.name), value));
                let Some((name, value)) = given.or_else(from_env) else { return Ok(()) };
                set(config, &value).map_err(|wrong| format!("{name} {wrong}"))
            }
            Set::All(set) => {
                set(config, &matches.opt_strs(self.name)).map_err(|wrong| format!("--{} {wrong}", self.name))
            }
        }
    }

    /// The flag's line in the help text.
    fn help(&self) -> String {
        let mut notes = vec![];
        let default = (self.default)(&Config::default());
        if !default.is_empty() {
            notes.push(format!("default {default}"));
        }
        if !self.env.is_empty() {
            notes.push(format!("env {}", self.env));
        }
        if matches!(self.set, Set::All(_)) {
            notes.push("may be repeated".into());
        }
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
        format!("{}{notes}", self.meaning).replace('`', "")
    }

    /// The flag's row in the README's table.
    #[cfg(test)]
    pub fn readme_row(&self) -> String {
        let hint = if self.hint.is_empty() { String::new() } else { format!(" {}", self.hint) };
        let env = if self.env.is_empty() { String::new() } else { format!(" (env `{}`)", self.env) };
        let repeats = if matches!(self.set, Set::All(_)) { " (may be repeated)" } else { "" };
        let default = (self.default)(&Config::default());
        let row = format!("| `--{}{hint}` | {}{env}{repeats} | {default} |", self.name, self.meaning);
        row.replace("|  |", "| |")
    }
}
