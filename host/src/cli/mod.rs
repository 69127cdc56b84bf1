//! The command line.

mod build;
mod canary;
mod client;
mod component;
mod dead_letters;
mod events;
mod inspect;
mod new;
mod output;
mod paging;
mod plugins;
pub(crate) mod publish;
mod response;
mod rollback;
mod schedules;
pub(crate) mod serve;
mod subscriptions;
mod test;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::clock::Timestamp;
use crate::console;
use crate::dev;
use client::Client;
use output::Output;

/// Event handlers as WebAssembly components, on a durable bus, behind one HTTP ingress.
#[derive(Debug, Parser)]
#[command(name = "sandbus", version, arg_required_else_help = true, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Begin a plugin: a small project that builds, is tested, and runs at once
    New(new::Arguments),
    /// Make a component of a project with its language's own tools, and check that this host takes it
    Build(build::Arguments),
    /// Show what a component is: its size, exports, imports, and what it says about itself
    Inspect(inspect::Arguments),
    /// Run the host on a folder of plugins
    Serve(serve::Arguments),
    /// Build plugins from their sources, run them, and swap each when it changes
    Dev(dev::Arguments),
    /// Play a plugin's scenarios in the real sandbox, without a host
    Test(test::Arguments),
    /// Publish an event on the running host, now or later
    Publish(publish::Arguments),
    /// Show the plugins of the running host, and what is wrong with a file; drain or resume one
    Plugins(plugins::Arguments),
    /// Let a new file handle the past beside the plugin that runs, and show what comes out differently
    Canary(canary::Arguments),
    /// Go back to an earlier generation of a plugin, until another file is put into the folder
    Rollback(rollback::Arguments),
    /// Show the subscriptions of the running host; make, pause, resume, replay or delete one
    Subscriptions(Group<subscriptions::Command>),
    /// Show events of the running host's log
    Events(Group<events::Command>),
    /// List, show, redrive or drop dead letters of the running host
    DeadLetters(Group<dead_letters::Command>),
    /// Show the schedules of plugins and the events that come later, or cancel one
    Schedules(Group<schedules::Command>),
    #[command(hide = true)]
    Compact(Renamed),
}

/// What all commands have that ask the running host.
#[derive(Debug, clap::Args)]
struct Remote {
    /// The running host's admin interface
    #[arg(long, env = "SANDBUS_ADMIN", value_name = "URL", default_value = "http://127.0.0.1:8081", global = true)]
    admin: String,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

impl Remote {
    fn connect(&self) -> (Client, Output) {
        (Client::new(&self.admin), Output { json: self.json })
    }
}

/// A command that may be followed by one of its subcommands, and asks the running host.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
struct Group<C: Subcommand> {
    #[command(subcommand)]
    command: Option<C>,
    #[command(flatten)]
    remote: Remote,
}

/// A former name of a command, with whatever follows on the command line.
#[derive(Debug, clap::Args)]
struct Renamed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _rest: Vec<String>,
}

impl Renamed {
    /// Ends the process with the exit code of a malformed command line, and names the new command.
    fn exit(former: &str, present: &str) -> ! {
        let message = format!("`{former}` is now `{present}`");
        command().error(clap::error::ErrorKind::InvalidSubcommand, message).exit()
    }
}

/// Rejects an option under its former name.
fn renamed(present: &'static str) -> impl Fn(&str) -> Result<String, String> + Clone {
    move |_| Err(format!("this option is now {present}"))
}

/// Reads an argument that is a time.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "write a time as in RFC 3339, such as 2030-01-31T12:00:00Z".to_owned())
}

/// The command line. Where `dev` has other defaults than `serve`, its help says so.
fn command() -> clap::Command {
    Arguments::command().mut_subcommand("dev", dev::with_dev_defaults)
}

/// Runs the command line. The exit code is 0 for success, 1 for failure and 2 for a command line that is
/// malformed.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit());
    // Invocations have threads of their own; those that carry the requests never block.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(4_096 + 64).build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(run(arguments.command));
            // A handler that still runs after the grace period is not waited for.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(anyhow::anyhow!("the runtime cannot be started: {error}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::New(arguments) => new::run(arguments).await,
        Command::Build(arguments) => build::run(arguments).await,
        Command::Inspect(arguments) => inspect::run(arguments).await,
        Command::Serve(arguments) => serve::run(arguments).await,
        Command::Dev(arguments) => dev::run(arguments).await,
        Command::Test(arguments) => test::run(arguments).await,
        Command::Publish(arguments) => publish::run(arguments).await,
        Command::Plugins(arguments) => plugins::run(arguments).await,
        Command::Canary(arguments) => canary::run(arguments).await,
        Command::Rollback(arguments) => rollback::run(arguments).await,
        Command::Subscriptions(arguments) => subscriptions::run(arguments).await,
        Command::Events(arguments) => events::run(arguments).await,
        Command::DeadLetters(arguments) => dead_letters::run(arguments).await,
        Command::Schedules(arguments) => schedules::run(arguments).await,
        Command::Compact(_) => Renamed::exit("sandbus compact", "sandbus events compact"),
    }
}

#[cfg(test)]
mod docs_tests;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    /// `dev` sets some options that `serve` leaves at their defaults, and says to what.
    #[test]
    fn help_names_the_defaults_of_the_command_that_it_is_for() {
        let command = command();
        let help = |name: &str, option: &str| {
            let command = command.find_subcommand(name).unwrap();
            let option = command.get_arguments().find(|argument| argument.get_id() == option).unwrap();
            option.get_help().unwrap().to_string()
        };
        for (option, serve, dev) in [
            ("plugins", "[default: plugins]", "[default: sandbus-dev/plugins in cargo's target directory"),
            ("data", "[default: data]", "[default: sandbus-dev/data in cargo's target directory"),
            ("log_format", "[default: human on a terminal, else JSON]", "[default: human]"),
            ("log", "[default: info]", &format!("[default: {}]", dev::LOG)),
            ("listen", "[default: 127.0.0.1:8080]", "[default: 127.0.0.1:8080]"),
            ("admin_listen", "[default: 127.0.0.1:8081]", "[default: 127.0.0.1:8081]"),
        ] {
            assert!(help("serve", option).contains(serve), "{option}: {}", help("serve", option));
            assert!(help("dev", option).contains(dev), "{option}: {}", help("dev", option));
        }
    }
}
