//! The faces of the program: its commands.

pub mod init;
