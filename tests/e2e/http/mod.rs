//! One manifest publishes, another one elsewhere reads it over HTTP.

mod bounds;
mod endpoints;
mod gone;
mod registered;
mod rejot;
mod security;
mod services;
mod told;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::events_line::{consuming, publishing};
use crate::support::{Database, PATIENCE, Pelton, assert_same, database, database_on};

/// An owner with a source and an event store, and a consumer elsewhere with a destination.
pub struct Services {
    pub source: Database,
    pub events: Database,
    pub destination: Database,
    pub port: u16,
}

/// What the consumer's manifest says of a consumer: (name, public schema, table).
type Consumer<'a> = (&'a str, &'a str, &'a str);

pub const BOTH: &[Consumer<'static>] = &[("items-there", "items", "items"), ("notes-there", "notes", "notes")];

impl Services {
    pub async fn new(ddl: &str) -> Services {
        let port = free_port();
        let services =
            Services { source: database().await, events: database().await, destination: database().await, port };
        services.source.execute(ddl).await;
        services
    }

    /// All of them on a server of the test's own.
    pub async fn on(server: &pelton::postgres::throwaway::Server, ddl: &str) -> Services {
        let (source, events, destination) =
            (database_on(server).await, database_on(server).await, database_on(server).await);
        source.execute(ddl).await;
        Services { source, events, destination, port: free_port() }
    }

    /// The manifest that publishes tables.
    pub fn owner_manifest(&self, tables: &[&str]) -> String {
        publishing(&self.source, &self.events, ["", ""], tables)
    }

    /// The manifest that consumes them; `service` is its `syncServices`.
    pub fn consumer_manifest(&self, consumers: &[Consumer<'_>], service: &str) -> String {
        let consumers: Vec<_> = consumers.iter().map(|(name, schema, table)| (*name, *schema, *table, "")).collect();
        format!(
            "slug: reports
manifestVersion: 0
connections:
  - {{ slug: warehouse, config: {{ connectionType: postgres, url: \"{}\" }} }}
dataStores:
  - {{ connectionSlug: warehouse }}
{service}{}",
            self.destination.url(),
            consuming(&consumers)
        )
    }

    /// `syncServices` with the owner's address.
    pub fn service(&self) -> String {
        format!("syncServices:\n  - {{ manifestSlug: shop, url: \"http://127.0.0.1:{}\" }}\n", self.port)
    }

    pub fn owner(&self, tables: &[&str]) -> Pelton {
        let address = format!("127.0.0.1:{}", self.port);
        Pelton::new(["sync", "--http", &address]).file("pelton.yaml", self.owner_manifest(tables))
    }

    pub fn consumer(&self, consumers: &[Consumer<'_>]) -> Pelton {
        Pelton::new(["sync"]).file("pelton.yaml", self.consumer_manifest(consumers, &self.service()))
    }

    /// Publishes what the source has, and ends.
    pub async fn publish(&self, tables: &[&str]) {
        let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", self.owner_manifest(tables));
        let status = pelton.run().await;
        assert_eq!(status.code(), Some(0), "{}", pelton.stderr());
    }

    pub async fn assert_equal(&self, table: &str) {
        let sql = format!("SELECT * FROM public.{table}");
        assert_same(&self.source, &sql, &self.destination, &sql).await;
    }

    pub async fn ask(&self, request: &str) -> Answer {
        ask(self.port, request, "", "").await
    }
}

/// Starts it, and waits until it serves.
pub async fn serving(mut owner: Pelton) -> Pelton {
    owner.start();
    owner.says("serving the event stores").await;
    owner
}

/// Ends it as an operator would.
pub async fn end(pelton: &mut Pelton) {
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
}

/// Returns a port that nobody has.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Sends a request, `GET /path`, over a connection of its own.
pub async fn ask(port: u16, request: &str, headers: &str, body: &str) -> Answer {
    let asking = async {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.expect("somebody listens");
        let text = format!(
            "{request} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        socket.write_all(text.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("it answers");
        answer
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await.expect("it answers in time");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {request}: {answer}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// Percent-encodes all but letters and digits.
pub fn encoded(text: &str) -> String {
    let fit = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => (byte as char).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(fit).collect()
}

/// A cursor of one of the owner's public schemas.
pub fn cursor(schema: &str, id: Option<&str>) -> serde_json::Value {
    serde_json::json!({
        "schema": { "manifest": { "slug": "shop" }, "schema": { "name": schema, "version": { "major": 1 } } },
        "transactionId": id,
    })
}

/// Sends JSON.
pub async fn post(port: u16, path: &str, body: &serde_json::Value) -> Answer {
    ask(port, &format!("POST {path}"), "Content-Type: application/json\r\n", &body.to_string()).await
}

/// A stream that is read.
pub struct Reading {
    socket: TcpStream,
    bytes: Vec<u8>,
    /// What has come, head included.
    pub text: String,
}

impl Reading {
    /// Asks for a stream, and reads nothing yet.
    pub async fn open(port: u16, body: &serde_json::Value) -> Reading {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.expect("somebody listens");
        let body = body.to_string();
        // HTTP/1.0: lines come as they are, not in chunks.
        let head = format!("POST /stream HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
        socket.write_all((head + &body).as_bytes()).await.expect("it reads");
        Reading { socket, bytes: Vec::new(), text: String::new() }
    }

    /// Reads until a text has come.
    pub async fn until(&mut self, text: &str) {
        let reading = async {
            let mut piece = vec![0; 1 << 16];
            let mut looked = 0;
            while !self.text[looked..].contains(text) {
                // No line is looked at twice.
                looked = self.text.len();
                let count = self.socket.read(&mut piece).await.expect("it sends");
                assert!(count > 0, "it ended: {}", self.text);
                self.bytes.extend_from_slice(&piece[..count]);
                let whole = self.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                let lines: Vec<u8> = self.bytes.drain(..whole).collect();
                self.text.push_str(std::str::from_utf8(&lines).expect("text"));
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("`{text}` does not come"));
    }
}
