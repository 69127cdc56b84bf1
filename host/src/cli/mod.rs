//! The command line.

mod against;
mod audit;
mod backup;
mod build;
mod canary;
mod check;
mod client;
mod completions;
mod component;
mod config;
mod dead_letters;
mod deliveries;
mod events;
mod explain;
mod inspect;
mod man;
mod migrate;
mod new;
mod output;
mod paging;
mod plugin_details;
mod plugin_files;
mod plugins;
pub(crate) mod publish;
mod records;
mod response;
mod restore;
mod rollback;
mod schedules;
mod schema;
pub(crate) mod serve;
mod server_sent_events;
mod state;
mod subscription_details;
mod subscriptions;
mod tail;
mod test;
mod token;
mod top;
mod upgrade;
mod why;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::clock::{Clock, Timestamp};
use crate::console;
use crate::dev;
use crate::secrets;
use client::Client;
use output::Output;

/// Run event handlers as WebAssembly components on a durable event bus
#[derive(Debug, Parser)]
#[command(name = "sandbus", version, arg_required_else_help = true, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a plugin project with a handler, tests and the SDK, or a workspace
    New(new::Arguments),
    /// Build plugins, and check that this host accepts them
    Build(build::Arguments),
    /// Show what a component exports, imports and declares
    Inspect(inspect::Arguments),
    /// Upgrade the SDKs in projects to this version
    Upgrade(upgrade::Arguments),
    /// Check the configuration, the sidecars and the plugins, without a running host
    Check(check::Arguments),
    /// Run the host on a plugin folder
    Serve(serve::Arguments),
    /// Build and run plugins, and rebuild each one when its source changes
    Dev(dev::Arguments),
    /// Run the scenarios of plugins in the real sandbox, without a running host
    Test(test::Arguments),
    /// Publish an event, now or later
    Publish(publish::Arguments),
    /// List plugins, and files that are not loaded; show, upload, remove, enable, disable or drain a plugin
    Plugins(plugins::Arguments),
    /// Compare a new build with the running plugin on past events, without side effects
    Canary(canary::Arguments),
    /// Return to an earlier generation (loaded version) of a plugin, until its file changes
    Rollback(rollback::Arguments),
    /// List, show, create, pause, resume, replay or delete subscriptions
    Subscriptions(Group<subscriptions::Command>),
    /// List, search, show, export or compact the events in the log
    Events(Group<events::Command>),
    /// List pending deliveries, or retry those that wait for another attempt
    Deliveries(Group<deliveries::Command>),
    /// List, group, show, redrive or drop dead letters
    DeadLetters(Group<dead_letters::Command>),
    /// Show or change the state of a plugin
    State(state::Arguments),
    /// Show what an event or a request caused, and why deliveries wait
    Why(why::Arguments),
    /// Follow attempts and requests as they end
    Tail(tail::Arguments),
    /// Show throughput, latency, lag and CPU time of each subscription and plugin
    Top(top::Arguments),
    /// List recorded attempts at deliveries, newest first
    Attempts(records::AttemptArguments),
    /// List recorded requests for plugins' routes, newest first
    Requests(records::RequestArguments),
    /// List throughput, errors and latency of each subscription and plugin, for each past minute
    Minutes(records::MinuteArguments),
    /// List schedules and delayed events, or cancel a delayed event
    Schedules(Group<schedules::Command>),
    /// Show the effective configuration of a running host, with the origin of each setting
    Config(config::Arguments),
    /// Create, list or revoke the tokens of the admin interface
    Token(token::Arguments),
    /// List the changes that were made through the admin interface, or verify the audit log
    Audit(Group<audit::Command>),
    /// Back up a running host or a data directory, or verify a backup
    Backup(backup::Arguments),
    /// Restore a backup to a data directory
    Restore(restore::Arguments),
    /// Copy the bus to another store, for example from a directory to PostgreSQL
    Migrate(migrate::Arguments),
    /// Explain an error code, or list all codes
    Explain(explain::Arguments),
    /// Print the JSON Schema of a kind of TOML file, for editors
    Schema(schema::Arguments),
    /// Print a completion script for a shell
    Completions(completions::Arguments),
    /// Print the man page of `sandbus`, or write the man pages of all commands
    Man(man::Arguments),
    #[command(hide = true)]
    Compact(Renamed),
}

/// The options of all commands that talk to a running host.
#[derive(Debug, clap::Args)]
struct Remote {
    /// Connect to the admin interface at this URL, or at a Unix socket such as `unix:data/admin.sock`
    #[arg(long, env = "SANDBUS_ADMIN", value_name = "URL", default_value = "http://127.0.0.1:8081", global = true)]
    admin: String,
    /// Trust only the certificates in FILE, instead of those of the system
    #[arg(long, env = "SANDBUS_ADMIN_CA", value_name = "FILE", global = true)]
    admin_ca: Option<PathBuf>,
    /// Give up if the host does not respond within this time
    #[arg(
        long,
        env = "SANDBUS_ADMIN_TIMEOUT",
        value_name = "TIME",
        default_value = "30s",
        value_parser = parse_duration,
        global = true
    )]
    admin_timeout: Duration,
    /// Send the token in this file [env: `SANDBUS_TOKEN`, the token itself]
    #[arg(long, env = "SANDBUS_TOKEN_FILE", value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

/// The variable with the token. No flag has it, because other users can see the arguments of a process.
const TOKEN_VARIABLE: &str = "SANDBUS_TOKEN";

impl Remote {
    fn connect(&self) -> (Client, Output) {
        let client = Client::new(&self.admin, self.admin_timeout);
        let client = client.with_token(self.token()).trusting(self.admin_ca.clone());
        (client, Output { json: self.json })
    }

    /// The token to send, or why it cannot be read.
    fn token(&self) -> Result<Option<String>, String> {
        let Some(file) = &self.token_file else {
            return Ok(std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()));
        };
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|error| format!("cannot read the token file {}: {error}", file.display()))?;
        match text.trim() {
            "" => Err(format!("the token file {} is empty", file.display())),
            token => Ok(Some(token.to_owned())),
        }
    }
}

/// Parses an argument that is a position in the log.
fn parse_position(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "write a position in the log, a whole number such as 42".to_owned())
}

/// Parses an argument that is a count.
fn parse_count<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "write a whole number from 1".to_owned())
}

/// Parses an argument that is a duration.
fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "write a duration such as 500ms, 5s or 1h 30m".to_owned())
}

/// Reads standard input to its end.
fn read_standard_input() -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
    Ok(bytes)
}

/// Reads a file, or standard input if its name is `-`.
fn read_file_or_standard_input(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        return read_standard_input();
    }
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// A command with optional subcommands that talks to a running host.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
struct Group<C: Subcommand> {
    #[command(subcommand)]
    command: Option<C>,
    #[command(flatten)]
    remote: Remote,
}

/// The former name of a command, with its arguments.
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

/// Parses an argument that is a time.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "write a time such as 2030-01-31T12:00:00Z (RFC 3339)".to_owned())
}

/// Parses an argument that is a time in the past, or how long ago it was.
fn parse_past_time(text: &str) -> Result<Timestamp, String> {
    let ago = |age| Clock::System.now().before(age);
    Timestamp::parse(text).or_else(|| humantime::parse_duration(text).ok().map(ago)).ok_or_else(|| {
        "write a time such as 2030-01-31T12:00:00Z (RFC 3339), or how long ago it was, such as 15m".to_owned()
    })
}

/// The command line. The help of `dev` shows the defaults of `dev`.
fn command() -> clap::Command {
    Arguments::command().mut_subcommand("dev", dev::with_dev_defaults)
}

/// Runs the command line. The exit code is 0 for success, 1 for a failure and 2 for a malformed command line.
#[must_use]
pub fn main() -> ExitCode {
    // Before anything reads a file or starts a thread, because it may execute the process again.
    if let Err(error) = secrets::take_environment() {
        console::print_error(&error.into());
        return ExitCode::FAILURE;
    }
    if let Some(request) = completions::Request::of_process() {
        return request.answer(command());
    }
    let matches = command().try_get_matches();
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => error.exit(),
        Err(help) => return print_help(&help),
    };
    // Invocations run on separate threads; the threads of this runtime never block.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(4_096 + 64).build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(run(arguments.command));
            // Do not wait for a handler that still runs after the grace period.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(anyhow::anyhow!("cannot start the runtime: {error}")),
    };
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::print_error(&error);
            ExitCode::FAILURE
        }
    };
    console::flush();
    code
}

/// Prints the help or the version. Clap's own `exit` ignores that the output cannot be written.
fn print_help(help: &clap::Error) -> ExitCode {
    console::end_output(help.print().and_then(|()| std::io::stdout().flush()))
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::New(arguments) => new::run(arguments).await,
        Command::Build(arguments) => build::run(arguments).await,
        Command::Inspect(arguments) => inspect::run(arguments).await,
        Command::Upgrade(arguments) => upgrade::run(arguments).await,
        Command::Check(arguments) => check::run(arguments).await,
        Command::Serve(arguments) => serve::run(arguments).await,
        Command::Dev(arguments) => dev::run(arguments).await,
        Command::Test(arguments) => test::run(arguments).await,
        Command::Publish(arguments) => publish::run(arguments).await,
        Command::Plugins(arguments) => plugins::run(arguments).await,
        Command::Canary(arguments) => canary::run(arguments).await,
        Command::Rollback(arguments) => rollback::run(arguments).await,
        Command::Subscriptions(arguments) => subscriptions::run(arguments).await,
        Command::Events(arguments) => events::run(arguments).await,
        Command::Deliveries(arguments) => deliveries::run(arguments).await,
        Command::DeadLetters(arguments) => dead_letters::run(arguments).await,
        Command::State(arguments) => state::run(arguments).await,
        Command::Why(arguments) => why::run(arguments).await,
        Command::Tail(arguments) => tail::run(arguments).await,
        Command::Top(arguments) => top::run(arguments).await,
        Command::Attempts(arguments) => records::attempts(arguments).await,
        Command::Requests(arguments) => records::requests(arguments).await,
        Command::Minutes(arguments) => records::minutes(arguments).await,
        Command::Schedules(arguments) => schedules::run(arguments).await,
        Command::Config(arguments) => config::run(arguments).await,
        Command::Token(arguments) => token::run(arguments).await,
        Command::Audit(arguments) => audit::run(arguments).await,
        Command::Backup(arguments) => backup::run(arguments).await,
        Command::Restore(arguments) => restore::run(arguments).await,
        Command::Migrate(arguments) => migrate::run(arguments).await,
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments, self::command()),
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
