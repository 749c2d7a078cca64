//! The program; everything is in the library.

fn main() -> std::process::ExitCode {
    pelton::cli::main()
}
