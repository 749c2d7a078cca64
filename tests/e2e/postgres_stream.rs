//! The replication stream against a real server: what it delivers, what it acknowledges, how it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pelton::lsn::Lsn;
use pelton::manifest::PostgresConnection;
use pelton::postgres::replication::{
    Gulp, ReplicationError, ReplicationStream, SnapshotSlot, StreamOptions, WalMessage, create_slot_with_snapshot,
};
use pelton::postgres::slot;
use pelton::postgres::throwaway::{Server, Shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio_postgres::Client;

use crate::postgres_connect::tcp;
use crate::support::{self, PATIENCE};

const TABLE: &str = "CREATE TABLE t (id bigint PRIMARY KEY, v text); CREATE PUBLICATION p FOR TABLE t";

/// A server with a table, a publication and a slot `s`.
async fn source_with(settings: &[(&str, &str)]) -> (Server, Client) {
    let set = |builder| {
        settings.iter().fold(builder, |builder: pelton::postgres::throwaway::Builder, (k, v)| builder.setting(*k, *v))
    };
    let server = support::server_with(set).await;
    let client = server.connect("postgres").await.unwrap();
    client.batch_execute(TABLE).await.unwrap();
    slot::create(&client, "s").await.unwrap();
    (server, client)
}

fn options() -> StreamOptions {
    StreamOptions::new("s", "p", Lsn::ZERO)
}

async fn start(to: &PostgresConnection) -> ReplicationStream {
    ReplicationStream::start(to, options()).await.unwrap()
}

/// The first letters of the messages, and the end of the last commit.
#[derive(Default)]
struct Seen {
    kinds: String,
    end: Lsn,
    bytes_max: usize,
}

impl Seen {
    fn take(&mut self, gulp: &Gulp) {
        for message in &gulp.messages {
            let WalMessage::Data { data, .. } = message else { continue };
            self.kinds.push(char::from(data[0]));
            self.bytes_max = self.bytes_max.max(data.len());
            if data[0] == b'C' {
                self.end = Lsn(u64::from_be_bytes(data[10..18].try_into().unwrap()));
            }
        }
    }

    fn commits(&self) -> usize {
        self.kinds.matches('C').count()
    }
}

async fn until(stream: &mut ReplicationStream, commits: usize) -> Seen {
    let mut seen = Seen::default();
    let reading = async {
        while seen.commits() < commits {
            seen.take(&stream.next().await.unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the commits come");
    seen
}

/// Waits for the end of the stream.
async fn end_of(stream: &mut ReplicationStream) -> ReplicationError {
    let reading = async {
        loop {
            if let Err(error) = stream.next().await {
                return error;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the stream ends")
}

async fn text(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get::<_, Option<String>>(0).unwrap_or_default()
}

async fn confirmed(client: &Client) -> Lsn {
    slot::look_up(client, "s").await.unwrap().unwrap().confirmed_flush.unwrap()
}

async fn wait_for(client: &Client, condition: &str) {
    let begun = Instant::now();
    while text(client, &format!("SELECT coalesce(({condition})::bool, false)::text")).await != "true" {
        assert!(begun.elapsed() < PATIENCE, "did not come true: {condition}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn delivers_transactions_and_acknowledges_what_is_confirmed_alone() {
    let (server, client) = source_with(&[]).await;
    let mut stream = start(&tcp(&server)).await;
    client.batch_execute("INSERT INTO t VALUES (1, 'a'); UPDATE t SET v = 'b'").await.unwrap();
    client.batch_execute("SELECT pg_logical_emit_message(true, 'x', 'y')").await.unwrap();
    let seen = until(&mut stream, 2).await;
    assert!(seen.kinds.starts_with("BRI"), "{}", seen.kinds);
    let system = text(&client, "SELECT system_identifier::text FROM pg_control_system()").await;
    assert_eq!(stream.identity().system_identifier.to_string(), system);

    // Keepalives at positions beyond, replies included, acknowledge nothing.
    let before = confirmed(&client).await;
    client.batch_execute("CREATE TABLE other (); SELECT pg_switch_wal()").await.unwrap();
    let waiting = async {
        loop {
            for message in stream.next().await.unwrap().messages {
                if let WalMessage::Keepalive { wal_end, .. } = message
                    && wal_end > seen.end
                {
                    return wal_end;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    assert_eq!(confirmed(&client).await, before);

    stream.confirm(seen.end);
    stream.confirm(Lsn(1));
    wait_for(&client, &format!("SELECT confirmed_flush_lsn = '{}' FROM pg_replication_slots", seen.end)).await;
    stream.close().await.unwrap();
}

#[tokio::test]
async fn closing_hands_over_the_last_status_and_frees_the_slot() {
    let (server, client) = source_with(&[]).await;
    for round in 0..3 {
        let mut stream = ReplicationStream::start(&tcp(&server), options()).await.unwrap();
        client.execute("INSERT INTO t VALUES ($1)", &[&i64::from(round)]).await.unwrap();
        let seen = until(&mut stream, 1).await;
        stream.confirm(seen.end);
        stream.close().await.unwrap();
        let slot = slot::look_up(&client, "s").await.unwrap().unwrap();
        assert_eq!((slot.confirmed_flush, slot.active_pid), (Some(seen.end), None), "round {round}");
    }
}

#[tokio::test]
async fn closing_within_a_backlog_hands_over_the_last_status() {
    let (server, client) = source_with(&[]).await;
    client.batch_execute("INSERT INTO t VALUES (-1)").await.unwrap();
    client.batch_execute("INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 300000) i").await.unwrap();
    let mut stream = start(&tcp(&server)).await;
    let seen = until(&mut stream, 1).await;
    stream.confirm(seen.end);
    stream.close().await.unwrap();
    assert_eq!(confirmed(&client).await, seen.end);
}

#[tokio::test]
async fn dropping_a_stream_ends_it_at_once() {
    let (server, client) = source_with(&[]).await;
    let mut stream = start(&tcp(&server)).await;
    client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
    let seen = until(&mut stream, 1).await;
    let before = confirmed(&client).await;
    drop(stream);
    wait_for(&client, "SELECT active_pid IS NULL FROM pg_replication_slots").await;
    assert!(confirmed(&client).await <= before.max(seen.end));
    // What was not confirmed comes again.
    assert_eq!(until(&mut start(&tcp(&server)).await, 1).await.end, seen.end);
}

#[tokio::test]
async fn a_slot_in_use_names_its_process_and_is_worth_another_try() {
    let (server, client) = source_with(&[]).await;
    let holder = start(&tcp(&server)).await;
    let error = ReplicationStream::start(&tcp(&server), options()).await.unwrap_err();
    let pid = text(&client, "SELECT active_pid::text FROM pg_replication_slots").await;
    assert_eq!(error.to_string(), format!("replication slot \"s\" is in use by process {pid}"));
    assert!(error.is_transient());
    holder.close().await.unwrap();
    start(&tcp(&server)).await.close().await.unwrap();
}

#[tokio::test]
async fn a_slot_that_cannot_be_read_says_so() {
    let (server, client) = source_with(&[]).await;
    let to = tcp(&server);
    let said = async |slot: &str, publication: &str| {
        let stream = ReplicationStream::start(&to, StreamOptions::new(slot, publication, Lsn::ZERO)).await;
        match stream {
            Err(error) => error,
            Ok(mut stream) => end_of(&mut stream).await,
        }
    };
    client.batch_execute("SELECT pg_create_physical_replication_slot('physical', true)").await.unwrap();
    let error = said("physical", "p").await;
    assert!(matches!(error, ReplicationError::WrongSlot { .. }), "{error:?}");
    client.batch_execute("SELECT pg_create_logical_replication_slot('decoding', 'test_decoding')").await.ok();
    if slot::look_up(&client, "decoding").await.unwrap().is_some() {
        let error = said("decoding", "p").await;
        assert!(matches!(error, ReplicationError::WrongSlot { .. }), "{error:?}");
    }
    server.create_database("other").await.unwrap();
    let other = PostgresConnection { database: "other".to_owned(), ..to.clone() };
    let error = ReplicationStream::start(&other, options()).await.unwrap_err();
    assert!(matches!(error, ReplicationError::WrongSlot { .. }), "{error:?}");
    assert!(!error.is_transient() && error.hint().is_some());

    // Odd names arrive as they are. From PostgreSQL 18 on a missing publication is a warning.
    client.batch_execute("CREATE PUBLICATION \"o'd\"\"d\\,x\" FOR TABLE t; INSERT INTO t VALUES (1)").await.unwrap();
    slot::create(&client, "odd").await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    let mut odd = ReplicationStream::start(&to, StreamOptions::new("odd", "o'd\"d\\,x", Lsn::ZERO)).await.unwrap();
    assert_eq!(until(&mut odd, 1).await.kinds, "BRIC");
    if server.major() < 18 {
        let error = said("s", "missing").await;
        assert!(matches!(error, ReplicationError::PublicationMissing { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_lost_slot_is_told_before_and_by_the_stream() {
    let settings = [("max_slot_wal_keep_size", "1MB"), ("min_wal_size", "32MB"), ("max_wal_size", "32MB")];
    let (server, client) = source_with(&settings).await;
    for _ in 0..6 {
        client.batch_execute("INSERT INTO t VALUES (0) ON CONFLICT DO NOTHING; SELECT pg_switch_wal()").await.unwrap();
    }
    client.batch_execute("CHECKPOINT").await.unwrap();
    wait_for(&client, "SELECT wal_status = 'lost' FROM pg_replication_slots").await;
    let slot = slot::look_up(&client, "s").await.unwrap().unwrap();
    let error = slot.usable("postgres").unwrap_err();
    assert!(matches!(error, slot::SlotError::Lost { .. }) && !error.is_transient(), "{error:?}");
    let error = ReplicationStream::start(&tcp(&server), options()).await.unwrap_err();
    assert!(matches!(error, ReplicationError::SlotLost { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("pg_drop_replication_slot('s')"));
}

#[tokio::test]
async fn a_stopped_server_ends_the_stream_for_now() {
    for how in [Shutdown::Immediate, Shutdown::Kill] {
        let (mut server, _) = source_with(&[]).await;
        let mut stream = start(&tcp(&server)).await;
        server.stop(how).await.unwrap();
        let error = end_of(&mut stream).await;
        assert!(error.is_transient(), "{how:?}: {error:?}");
        assert!(matches!(stream.next().await, Err(ReplicationError::Ended)));
        let refused = ReplicationStream::start(&tcp(&server), options()).await.unwrap_err();
        assert!(refused.is_transient(), "{refused:?}");
        server.start().await.unwrap();
        start(&tcp(&server)).await.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_fast_shutdown_waits_for_what_is_confirmed() {
    let (mut server, client) = source_with(&[]).await;
    let mut stream = start(&tcp(&server)).await;
    client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
    drop(client);
    let confirmer = stream.confirmer();
    let reading = tokio::spawn(async move {
        loop {
            match stream.next().await {
                // As the engine does it while nothing is in flight: first durable, then confirmed.
                Ok(gulp) => gulp.messages.iter().for_each(|message| {
                    if let WalMessage::Keepalive { wal_end, .. } = message {
                        confirmer.confirm(*wal_end);
                    }
                }),
                Err(error) => return error,
            }
        }
    });
    server.stop(Shutdown::Fast).await.unwrap();
    let error = tokio::time::timeout(PATIENCE, reading).await.unwrap().unwrap();
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_large_row_arrives_whole_and_alone() {
    let (server, client) = source_with(&[]).await;
    let mut stream = start(&tcp(&server)).await;
    let sql = "INSERT INTO t SELECT i, CASE i WHEN 2 THEN repeat('0123456789', 5000000) ELSE 'small' END \
               FROM generate_series(1, 3) i";
    client.batch_execute(sql).await.unwrap();
    let seen = until(&mut stream, 1).await;
    assert_eq!(seen.kinds, "BRIIIC");
    assert!(seen.bytes_max > 50_000_000);
}

#[tokio::test]
async fn a_consumer_that_stands_still_stays_connected() {
    let (server, client) = source_with(&[("wal_sender_timeout", "2s")]).await;
    let mut stream = start(&tcp(&server)).await;
    client.batch_execute("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 60000) i").await.unwrap();
    let pid = text(&client, "SELECT active_pid::text FROM pg_replication_slots").await;
    // More than three times as long as the server waits for a sign of life.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(text(&client, "SELECT active_pid::text FROM pg_replication_slots").await, pid);
    let seen = until(&mut stream, 1).await;
    assert_eq!(seen.kinds.matches('I').count(), 60_000);
    stream.confirm(seen.end);
    wait_for(&client, &format!("SELECT confirmed_flush_lsn = '{}' FROM pg_replication_slots", seen.end)).await;
}

#[tokio::test]
async fn what_waits_for_a_consumer_is_bounded() {
    let (server, client) = source_with(&[]).await;
    let mut options = options();
    options.queue_bytes = 2 << 20;
    let mut stream = ReplicationStream::start(&tcp(&server), options).await.unwrap();
    client.batch_execute("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 60000) i").await.unwrap();
    // 60 MB were written. Once the server's socket is full it waits for us.
    wait_for(
        &client,
        "SELECT wait_event = 'WalSenderWriteData' FROM pg_stat_activity WHERE backend_type = 'walsender'",
    )
    .await;
    let (mut waiting, mut gulps) = (0, 0);
    while let Some(gulp) = stream.try_next() {
        waiting += gulp.unwrap().bytes;
        gulps += 1;
        // The thread refills what is taken while this counts; the bound is what was there at once, and a little.
        if gulps > 8 {
            break;
        }
    }
    assert!(waiting <= 8 << 20, "{waiting} bytes in {gulps} gulps");
}

/// A proxy in front of a server that can stop to forward without hanging up.
async fn proxy(port: u16) -> (u16, watch::Sender<bool>) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let (freeze, frozen) = watch::channel(false);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (client, server) = (client.into_split(), server.into_split());
            for (mut from, mut to) in [(client.0, server.1), (server.0, client.1)] {
                let mut frozen = frozen.clone();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 8192];
                    loop {
                        frozen.wait_for(|frozen| !frozen).await.ok();
                        match from.read(&mut buffer).await {
                            Ok(0) | Err(_) => break,
                            Ok(n) => {
                                frozen.wait_for(|frozen| !frozen).await.ok();
                                if to.write_all(&buffer[..n]).await.is_err() {
                                    break;
                                }
                            }
                        }
                    }
                });
            }
        }
    });
    (own, freeze)
}

#[tokio::test]
async fn a_silent_server_is_given_up_and_a_quiet_one_is_not() {
    let (server, _client) = source_with(&[]).await;
    let (port, freeze) = proxy(server.port()).await;
    let to = PostgresConnection { port, ..tcp(&server) };
    let mut options = options();
    options.silence_max = Duration::from_secs(1);
    let mut stream = ReplicationStream::start(&to, options).await.unwrap();
    // Nothing happens at the server, and it answers when it is asked.
    let quiet = tokio::time::timeout(Duration::from_secs(4), end_of(&mut stream)).await;
    assert!(quiet.is_err(), "{quiet:?}");
    freeze.send(true).unwrap();
    let begun = Instant::now();
    let error = end_of(&mut stream).await;
    assert!(matches!(error, ReplicationError::Silent { .. }) && error.is_transient(), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_snapshot_sees_exactly_what_its_slot_does_not_deliver() {
    let (server, client) = source_with(&[]).await;
    client.batch_execute("INSERT INTO t VALUES (1), (2)").await.unwrap();
    let wanted = SnapshotSlot { name: "snap".to_owned(), temporary: false, failover: false };
    let mut snapshot = create_slot_with_snapshot(&tcp(&server), "test", &wanted).await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (3)").await.unwrap();
    let reader = server.connect("postgres").await.unwrap();
    let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '{}'", snapshot.name);
    reader.batch_execute(&begin).await.unwrap();
    assert_eq!(text(&reader, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM t").await, "1 2");
    let slot = slot::look_up(&client, "snap").await.unwrap().unwrap();
    assert_eq!(slot.confirmed_flush, Some(snapshot.consistent_point));
    let exists = create_slot_with_snapshot(&tcp(&server), "test", &wanted).await.unwrap_err();
    assert!(matches!(exists, ReplicationError::SlotExists { .. }), "{exists:?}");

    // The session's end is the end of the snapshot, and is told.
    client
        .batch_execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'")
        .await
        .unwrap();
    let lost = tokio::time::timeout(PATIENCE, snapshot.keeper.lost()).await.unwrap();
    assert!(lost.is_transient(), "{lost:?}");
    let mut stream = ReplicationStream::start(&tcp(&server), StreamOptions::new("snap", "p", Lsn::ZERO)).await.unwrap();
    assert_eq!(until(&mut stream, 1).await.kinds, "BRIC");

    // A temporary slot goes with its keeper.
    let temporary = SnapshotSlot { name: "brief".to_owned(), temporary: true, failover: false };
    let snapshot = create_slot_with_snapshot(&tcp(&server), "test", &temporary).await.unwrap();
    assert!(slot::look_up(&client, "brief").await.unwrap().unwrap().temporary);
    drop(snapshot);
    wait_for(&client, "SELECT NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'brief')").await;
}

/// Prints what a stream to nowhere makes of a backlog, and how soon a single change arrives. Run it by name:
/// `cargo nextest run --run-ignored only null_sink --no-capture`
#[tokio::test]
#[ignore = "a measurement"]
async fn null_sink_throughput_and_latency() {
    let (server, client) = source_with(&[("max_wal_size", "8GB")]).await;
    let rows = 500_000;
    client
        .batch_execute(
            "CREATE TABLE o (id bigint PRIMARY KEY, a text, b text, n numeric, f bool, at timestamptz, j jsonb, u uuid); \
             ALTER PUBLICATION p ADD TABLE o; \
             CREATE PROCEDURE fill(n int, per int) LANGUAGE plpgsql AS $$ BEGIN FOR i IN 0 .. n / per - 1 LOOP \
             INSERT INTO o SELECT i * per + k, 'customer ' || k, md5(k::text), k * 1.25, k % 2 = 0, now(), \
             jsonb_build_object('k', k), gen_random_uuid() FROM generate_series(1, per) k; COMMIT; END LOOP; END $$",
        )
        .await
        .unwrap();
    for (per, rows) in [(1000, rows), (1, 200_000)] {
        let row = client.query_one("SELECT pg_current_wal_lsn()::text", &[]).await.unwrap().get::<_, String>(0);
        client.batch_execute("TRUNCATE o").await.unwrap();
        // Commits within, so it stands alone.
        client.batch_execute(&format!("CALL fill({rows}, {per})")).await.unwrap();
        for unix in [false, true, false, true] {
            let mut to = tcp(&server);
            if unix {
                to.host = server.folder().to_str().unwrap().to_owned();
            }
            let mut options = options();
            options.start = row.parse().unwrap();
            let mut stream = ReplicationStream::start(&to, options).await.unwrap();
            let (begun, cpu) = (Instant::now(), cpu_seconds());
            let (mut inserts, mut gulps, mut bytes) = (0, 0, 0);
            while inserts < rows {
                let gulp = stream.next().await.unwrap();
                (gulps, bytes) = (gulps + 1, bytes + gulp.bytes);
                for message in &gulp.messages {
                    inserts += i32::from(matches!(message, WalMessage::Data { data, .. } if data[0] == b'I'));
                }
            }
            let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
            println!(
                "{per} a transaction, {}: {:.0} rows/s, {:.2} µs CPU a row, {} bytes a gulp",
                if unix { "socket" } else { "TCP" },
                f64::from(rows) / seconds,
                cpu * 1e6 / f64::from(rows),
                bytes / gulps,
            );
            drop(stream);
            wait_for(&client, "SELECT active_pid IS NULL FROM pg_replication_slots").await;
        }
    }
    let mut options = options();
    options.start = text(&client, "SELECT pg_current_wal_lsn()::text").await.parse().unwrap();
    let mut stream = ReplicationStream::start(&tcp(&server), options).await.unwrap();
    let writer = Arc::new(client);
    let mut waits = Vec::new();
    for id in 0..500i64 {
        writer.execute("INSERT INTO t VALUES ($1)", &[&id]).await.unwrap();
        let begun = Instant::now();
        until(&mut stream, 1).await;
        waits.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    waits.sort();
    println!("from commit to gulp: p50 {:?}, p99 {:?}", waits[250], waits[495]);
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
