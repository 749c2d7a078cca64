//! Runs `script.sql` on an empty server and records what pgoutput makes of it; `README.md` here has the format.
//!
//! `scripts/record-pgoutput.sh` starts the servers and calls it: `record-pgoutput CONNECTION FILE`.

use std::error::Error;

use tokio_postgres::{Client, NoTls};

/// The stream's byte, its slot, and the options of pgoutput.
const STREAMS: [(u8, &str, &str); 3] = [
    (b't', "in_text", "'publication_names', 'everything'"),
    (b'b', "in_binary", "'publication_names', 'everything', 'binary', 'true'"),
    (b'n', "narrow", "'publication_names', 'narrow'"),
];

/// What the host pins on its connections.
const SETTINGS: &str = "SET datestyle = ISO; SET intervalstyle = postgres; SET extra_float_digits = 3; \
    SET bytea_output = hex; SET timezone = UTC; SET lc_monetary = 'C'";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [connection, file] = &arguments[..] else { return Err("usage: record-pgoutput CONNECTION FILE".into()) };
    let clients = [connect(connection).await?, connect(connection).await?];
    let setup =
        "CREATE PUBLICATION everything FOR ALL TABLES; CREATE PUBLICATION narrow WITH (publish_via_partition_root)";
    clients[0].batch_execute(setup).await?;
    for (_, slot, _) in STREAMS {
        clients[0].execute("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", &[&slot]).await?;
    }
    run(&clients, include_str!("script.sql")).await?;

    let mut recording = Vec::new();
    for (stream, slot, options) in STREAMS {
        let changes = format!(
            "SELECT (lsn - '0/0')::int8, data FROM pg_logical_slot_get_binary_changes(\
             '{slot}', NULL, NULL, 'proto_version', '1', 'messages', 'true', {options})"
        );
        for row in clients[0].query(&changes, &[]).await? {
            let (lsn, message): (i64, &[u8]) = (row.get(0), row.get(1));
            recording.push(stream);
            recording.extend(lsn.to_be_bytes());
            recording.extend((message.len() as u32).to_be_bytes());
            recording.extend(message);
        }
    }
    std::fs::write(file, recording)?;
    Ok(())
}

async fn connect(to: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(to, NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute(SETTINGS).await?;
    Ok(client)
}

/// Runs the statements one by one, on the session and from the version that the comments before them say.
async fn run(clients: &[Client; 2], script: &str) -> Result<(), Box<dyn Error>> {
    let version: i32 =
        clients[0].query_one("SELECT current_setting('server_version_num')::integer / 10000", &[]).await?.get(0);
    let (mut session, mut from, mut statement) = (0, 0, String::new());
    for line in script.lines() {
        if let Some(comment) = line.strip_prefix("--") {
            match comment.trim().split_once(' ') {
                Some(("session", number)) if !number.contains(' ') => session = number.parse::<usize>()? - 1,
                Some(("from", number)) if !number.contains(' ') => from = number.parse()?,
                _ => {}
            }
            continue;
        }
        statement.push_str(line);
        statement.push('\n');
        if line.ends_with(';') {
            if version >= from {
                clients[session].batch_execute(&statement).await.map_err(|e| format!("{e:?}\nin: {statement}"))?;
            }
            statement.clear();
            from = 0;
        }
    }
    Ok(())
}
