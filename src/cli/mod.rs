//! The command line: what was typed, handed to the parts that do it.
//!
//! stdout is data, stderr is talk. Exit codes: 0 done, 1 something that the user can mend, 2 wrong usage, 70 a bug.

pub mod build;
mod capture;
mod check;
mod collect;
mod columns;
mod component;
mod consumers;
mod databases;
pub mod demo;
mod deploy;
mod dev;
mod doctor;
mod events;
mod files;
mod generate;
mod http;
mod init;
mod log;
mod manifest;
mod migrations;
mod mirrors;
mod new;
mod progress;
mod repair;
mod replay;
mod report;
mod setup;
mod slots;
mod standing;
mod status;
mod sync;
mod teardown;
mod test;
mod violations;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use report::Failure;

/// Turns a Postgres change stream into public data, through WebAssembly transforms, exactly once.
#[derive(Debug, Parser)]
#[command(name = "pelton", version, about, max_term_width = 110, arg_required_else_help = true)]
#[command(after_help = "Start with `pelton demo`, or with `pelton init` and `pelton check`.\n\
    PELTON_LOG sets what is logged (error, warn, info, debug, trace).")]
struct Cli {
    /// How log lines on stderr look
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: log::LogFormat,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Init(init::InitArgs),
    Check(check::Args),
    Manifest(manifest::Args),
    Collect(collect::Args),
    Workspace(manifest::WorkspaceArgs),
    New(new::Args),
    Generate(generate::Args),
    Build(build::Args),
    Test(test::Args),
    Capture(Box<capture::Args>),
    Replay(replay::Args),
    Dev(dev::Args),
    Setup(Box<setup::Args>),
    Doctor(doctor::Args),
    Sync(sync::Args),
    Status(status::Args),
    Deploy(deploy::Args),
    Repair(repair::Args),
    Migrations(migrations::Args),
    Events(events::Args),
    Consumers(consumers::Args),
    Slots(slots::Args),
    Teardown(teardown::Args),
}

/// What a shell reports of a program that SIGPIPE ended.
const BROKEN_PIPE: i32 = 141;

/// `pelton … | head` closes our stdout before we are done; printing panics then, and there is nothing to say about it.
fn end_quietly_without_a_reader() {
    let panicking = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if text.starts_with("failed printing to std") && text.contains("(os error 32)") {
            std::process::exit(BROKEN_PIPE);
        }
        panicking(panic);
    }));
}

/// Runs the program on the process's arguments.
pub fn main() -> ExitCode {
    end_quietly_without_a_reader();
    let cli = Cli::parse();
    if let Err(what) = log::start(cli.log_format) {
        return Failure::new(what, Some("use for example PELTON_LOG=debug".to_owned())).print();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::of(&error, None).print(),
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Demo(args) => demo::run(args).await.map_err(|error| Failure::of(&error, error.hint())),
            Command::Init(args) => init::run(&args).map_err(|error| Failure::of(&error, error.hint())),
            Command::Check(args) => check::run(args).await,
            Command::Collect(args) => collect::run(args).await,
            Command::Manifest(args) => manifest::run(args),
            Command::Workspace(args) => manifest::run_workspace(args),
            Command::New(args) => new::run(args).await,
            Command::Generate(args) => generate::run(args).await,
            Command::Build(args) => build::run(args).await.map_err(|error| Failure::of(&error, error.hint())),
            Command::Test(args) => test::run(args).await,
            Command::Capture(args) => capture::run(*args).await,
            Command::Replay(args) => replay::run(args).await,
            Command::Dev(args) => dev::run(args).await,
            Command::Setup(args) => setup::run(*args).await,
            Command::Doctor(args) => doctor::run(args).await,
            Command::Sync(args) => sync::run(args).await,
            Command::Status(args) => status::run(args).await,
            Command::Deploy(args) => deploy::run(args).await,
            Command::Repair(args) => repair::run(args).await,
            Command::Migrations(args) => migrations::run(args).await,
            Command::Events(args) => events::run(args).await,
            Command::Consumers(args) => consumers::run(args).await,
            Command::Slots(args) => slots::run(args).await,
            Command::Teardown(args) => teardown::run(args).await,
        }
    });
    // A name that is being looked up, or a component that is being compiled, is not waited for.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.print(),
    }
}
