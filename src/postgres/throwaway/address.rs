//! Where a throwaway server is, and how to talk to it.

use std::path::PathBuf;

use tokio_postgres::{Client, NoTls};

use super::builder::Authentication;
use super::error::{Result, ThrowawayError};

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub port: u16,
    /// The folder of its unix socket, where everyone who may enter is trusted.
    pub sockets: PathBuf,
    pub authentication: Authentication,
}

impl Address {
    /// Returns a URL over TCP as the superuser, with the password if there is one.
    pub fn url(&self, database: &str) -> String {
        let password = self.authentication.password().map(|password| format!(":{password}")).unwrap_or_default();
        format!("postgres://postgres{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Connects over the unix socket as the superuser. The connection ends with its client.
    pub async fn connect(&self, database: &str) -> Result<Client> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(&self.sockets).port(self.port).user("postgres").dbname(database);
        let connected = config.connect(NoTls).await;
        let (client, connection) =
            connected.map_err(|source| self.refused(format!("connect to \"{database}\""), source))?;
        // An error of the connection reaches its client too, with the statement that it broke.
        tokio::spawn(async move { connection.await.ok() });
        Ok(client)
    }

    /// Makes an empty database and returns its URL.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        let client = self.connect("postgres").await?;
        // template0, because nobody can be connected to it: CREATE DATABASE would refuse.
        let statement = format!("CREATE DATABASE \"{}\" TEMPLATE template0", name.replace('"', "\"\""));
        client.batch_execute(&statement).await.map_err(|source| self.refused(format!("make \"{name}\""), source))?;
        Ok(self.url(name))
    }

    fn refused(&self, act: String, source: tokio_postgres::Error) -> ThrowawayError {
        ThrowawayError::Sql { act, port: self.port, source }
    }
}
