//! Two programs: whatever happens to either, the destination ends as the source is.

use std::time::{Duration, Instant};

use super::{BOTH, Services, end, serving};
use crate::events_line::{CHANGES, EMPTIED, ITEMS, WORK, assert_notes_equal, work_until_ended};
use crate::support::{Pelton, assert_same};

const TABLES: &[&str] = &["items", "notes"];

#[tokio::test]
async fn what_one_publishes_another_one_consumes() {
    let services = Services::new(ITEMS).await;
    // The consumer may well be there first.
    let mut consumer = services.consumer(BOTH);
    consumer.start();
    consumer.says("cannot reach http://127.0.0.1").await;
    let mut owner = serving(services.owner(TABLES)).await;
    services.destination.wait_until("to_regclass('public.items') IS NOT NULL").await;
    services.destination.wait_until("(SELECT count(*) FROM items) = 1000").await;
    services.source.execute(CHANGES).await;
    services.destination.wait_until("to_regclass('public.notes') IS NOT NULL").await;
    services.destination.wait_until("EXISTS (SELECT FROM notes WHERE id = 2)").await;
    services.assert_equal("items").await;
    services.assert_equal("notes").await;
    services.source.execute(EMPTIED).await;
    services.destination.wait_until("EXISTS (SELECT FROM notes WHERE id = 3)").await;
    services.assert_equal("items").await;
    // A column that is added is another shape: it travels too.
    services
        .source
        .execute("ALTER TABLE items ADD COLUMN more text; INSERT INTO items (id, more) VALUES (7, 'm')")
        .await;
    services.destination.execute("ALTER TABLE items ADD COLUMN more text").await;
    services.destination.wait_until("EXISTS (SELECT FROM items WHERE more = 'm')").await;
    services.assert_equal("items").await;

    // The owner knows how far they are, so that nothing is removed that they have not read.
    services
        .events
        .wait_until(
            "(SELECT count(*) FROM rejot_events.consumer AS c WHERE manifest_slug = 'reports' \
             AND (epoch, commit_lsn, ordinal) = (SELECT epoch, commit_lsn, ordinal FROM rejot_events.event AS e \
             WHERE e.stream_id = c.stream_id ORDER BY epoch DESC, commit_lsn DESC, ordinal DESC LIMIT 1)) = 2",
        )
        .await;
    // A stream holds nobody up who is asked to end.
    let begun = Instant::now();
    end(&mut owner).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    end(&mut consumer).await;
}

/// Five transactions of a thousand rows, one of 70,000, and each program is ended and begun again: nothing is seen in part,
/// lost, or applied twice.
#[tokio::test]
async fn transactions_stay_whole_over_restarts_of_both() {
    let services =
        Services::new("CREATE TABLE items (id int PRIMARY KEY, v int); CREATE TABLE notes (id int PRIMARY KEY)").await;
    let mut owner = serving(services.owner(TABLES)).await;
    let mut consumer = services.consumer(BOTH);
    consumer.start();
    // While tables are copied, and until both consumers are there, one is ahead of the other.
    consumer.says("items-there, notes-there").await;
    services.events.wait_until("(SELECT count(*) FROM rejot_data_store.flow WHERE backfill IS NULL) = 2").await;
    for n in 0..5 {
        let rows = format!("INSERT INTO items SELECT i, 0 FROM generate_series({n} * 1000, {n} * 1000 + 999) AS i");
        services.source.execute(&format!("BEGIN; {rows}; INSERT INTO notes VALUES ({n}); COMMIT")).await;
    }
    whole(
        &services,
        "SELECT count(*) - 1000 * (SELECT count(*) FROM notes) FROM items",
        "(SELECT count(*) FROM notes) = 5",
    )
    .await;
    services.assert_equal("items").await;

    // The owner is away for a while; the consumer waits.
    end(&mut owner).await;
    services
        .source
        .execute("BEGIN; INSERT INTO items SELECT i, 0 FROM generate_series(100000, 169999) AS i; INSERT INTO notes VALUES (10); COMMIT")
        .await;
    consumer.says("trying again").await;
    let mut owner = serving(owner).await;
    whole(
        &services,
        "SELECT (SELECT count(*) FROM items WHERE id >= 100000) - 70000 * (SELECT count(*) FROM notes WHERE id = 10)",
        "EXISTS (SELECT FROM notes WHERE id = 10)",
    )
    .await;
    services.assert_equal("items").await;

    // And the other way round.
    end(&mut consumer).await;
    services.source.execute("UPDATE items SET v = 1 WHERE id < 5000; INSERT INTO notes VALUES (11)").await;
    consumer.start();
    services.destination.wait_until("EXISTS (SELECT FROM notes WHERE id = 11)").await;
    services.assert_equal("items").await;
    end(&mut consumer).await;
    end(&mut owner).await;
}

/// Waits for `end`; `rest`, which counts the rows of a transaction that is there in part, is 0 at any time.
async fn whole(services: &Services, rest: &str, end: &str) {
    services
        .destination
        .wait_until("to_regclass('public.items') IS NOT NULL AND to_regclass('public.notes') IS NOT NULL")
        .await;
    let begun = Instant::now();
    loop {
        let found = services.destination.value(&format!("SELECT ({rest}) || ' ' || ({end})")).await;
        let (rest, ended) = found.split_once(' ').expect("two values");
        assert_eq!(rest, "0", "a transaction is there in part");
        if ended == "true" {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing comes");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Killed at every point of both lines, nothing is lost and nothing takes effect twice.
#[tokio::test]
async fn nothing_is_lost_and_nothing_comes_twice_whatever_is_killed() {
    let services = Services::new(WORK).await;
    let points = [
        ("owner", "after-copy:2"),
        ("consumer", "after-consumed:1"),
        ("owner", "before-commit:2"),
        ("consumer", "before-cursor:1"),
        ("consumer", "after-cursor:1"),
        ("owner", "after-commit:3"),
        ("consumer", "after-consumed:3"),
        ("consumer", "before-cursor:2"),
        ("owner", "before-commit:4"),
        ("consumer", "after-cursor:3"),
    ];
    let mut programs = [services.owner(TABLES), services.consumer(BOTH)];
    for (round, (who, point)) in points.iter().enumerate() {
        let index = usize::from(*who == "consumer");
        for (other, program) in programs.iter_mut().enumerate() {
            program.set("PELTON_FAULT", (other == index).then_some(*point));
            program.start();
        }
        work_until_ended(&services.source, &mut programs[index], round, point).await;
        // The other one is killed wherever it is.
        programs[1 - index].kill().await;
    }
    services.publish(TABLES).await;
    let mut owner = serving(services.owner(TABLES)).await;
    let consumer = services.consumer_manifest(BOTH, &services.service());
    let mut consumer = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", consumer);
    assert_eq!(consumer.run().await.code(), Some(0), "{}", consumer.stderr());
    end(&mut owner).await;
    services.assert_equal("items").await;
    assert_notes_equal(&services.source, &services.destination).await;
}

/// One that does not read makes the owner wait, and not collect.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_slow_reader_bounds_the_owners_memory_and_holds_nobody() {
    use tokio::io::AsyncWriteExt;

    let services = Services::new("CREATE TABLE items (id int PRIMARY KEY, v int, pad text)").await;
    services
        .source
        .execute("INSERT INTO items SELECT i, i, repeat('x', 1000) FROM generate_series(1, 150000) AS i")
        .await;
    services.publish(&["items"]).await;
    let mut owner = serving(services.owner(&["items"])).await;
    let before = resident_mib(&owner);
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", services.port)).await.unwrap();
        let cursors = super::encoded(&serde_json::json!([super::cursor("items", None)]).to_string());
        let request = format!("GET /stream?cursors={cursors} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        socket.readable().await.unwrap();
        readers.push(socket);
    }
    // Another one reads all of it meanwhile: over 150 MB.
    let mut consumer = services.consumer(&[("items-there", "items", "items")]);
    consumer.start();
    services.destination.wait_until("to_regclass('public.items') IS NOT NULL").await;
    services.destination.wait_until("(SELECT count(*) FROM items) = 150000").await;
    let after = resident_mib(&owner);
    println!("MiB resident: before {before}, after {after}");
    assert!(after < before + 60, "{before} MiB became {after}");
    end(&mut consumer).await;
    drop(readers);
    end(&mut owner).await;
}

#[cfg(target_os = "linux")]
fn resident_mib(pelton: &Pelton) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", pelton.pid().expect("it runs"))).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux tells");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number of KiB") / 1024
}

/// The service is found by the environment, in both ways, and on this machine.
#[tokio::test]
async fn a_service_is_found_by_the_environment() {
    let services = Services::new(ITEMS).await;
    let owner = serving(services.owner(TABLES)).await;
    services.source.execute("INSERT INTO notes VALUES (1, 'one')").await;
    let address = format!("127.0.0.1:{}", services.port);
    for (variable, table) in [("REJOT_SYNC_SERVICE_shop", "one"), ("PELTON_SYNC_SERVICE_SHOP", "two")] {
        let manifest = services.consumer_manifest(&[(table, "items", table)], "");
        let consumer = || Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", &manifest);
        let mut without = consumer();
        assert_eq!(without.run().await.code(), Some(1));
        assert!(without.stderr().contains("PELTON_SYNC_SERVICE_SHOP=host:port"), "{}", without.stderr());
        // What is published while it is being copied comes later.
        services.events.wait_until("to_regclass('rejot_events.events') IS NOT NULL").await;
        services
            .events
            .wait_until("(SELECT count(*) FROM rejot_events.events WHERE public_schema_name = 'items') = 1000")
            .await;
        let mut with = consumer().env(variable, &address);
        assert_eq!(with.run().await.code(), Some(0), "{}", with.stderr());
        assert_same(&services.source, "SELECT * FROM items", &services.destination, &format!("SELECT * FROM {table}"))
            .await;
    }
    drop(owner);
}

#[tokio::test]
async fn a_consumer_of_a_service_is_paused_resumed_rewound_and_dropped() {
    let services = Services::new(ITEMS).await;
    let mut owner = serving(services.owner(TABLES)).await;
    let mut consumer = services.consumer(BOTH);
    consumer.start();
    services.destination.wait_until("to_regclass('public.items') IS NOT NULL").await;
    services.destination.wait_until("(SELECT count(*) FROM items) = 1000").await;
    let manifest = services.consumer_manifest(BOTH, &services.service());
    let run = async |arguments: &[&str]| {
        let mut pelton = Pelton::new(arguments).file("pelton.yaml", &manifest);
        assert_eq!(pelton.run().await.code(), Some(0), "{}{}", pelton.stdout(), pelton.stderr());
        pelton.stdout()
    };
    run(&["consumers", "pause", "items-there"]).await;
    services.source.execute("INSERT INTO items VALUES (2000); INSERT INTO notes VALUES (1, 'one')").await;
    services.destination.wait_until("EXISTS (SELECT FROM notes WHERE id = 1)").await;
    let list = run(&["consumers", "list"]).await;
    assert!(list.contains("service of shop") && list.contains("paused"), "{list}");
    assert_eq!(services.destination.value("SELECT count(*) FROM items").await, "1000");
    run(&["consumers", "resume", "items-there"]).await;
    services.destination.wait_until("EXISTS (SELECT FROM items WHERE id = 2000)").await;
    services.destination.execute("DELETE FROM items").await;
    run(&["consumers", "rewind", "items-there", "--to", "start"]).await;
    services.destination.wait_until("(SELECT count(*) FROM items) = 1001").await;
    services.assert_equal("items").await;
    run(&["consumers", "rewind", "items-there", "--to", "2000-01-01"]).await;
    run(&["consumers", "rewind", "items-there", "--to", "end"]).await;
    end(&mut consumer).await;
    run(&["consumers", "drop", "items-there"]).await;
    assert_eq!(
        services.events.value("SELECT string_agg(consumer, ' ') FROM rejot_events.consumer").await,
        "notes-there"
    );
    let mut wrong =
        Pelton::new(["consumers", "rewind", "notes-there", "--to", "noon-ish"]).file("pelton.yaml", &manifest);
    assert_eq!(wrong.run().await.code(), Some(1));
    assert!(wrong.stderr().contains("`noon-ish` is no place in a stream"), "{}", wrong.stderr());
    end(&mut owner).await;
}

/// The example, as it stands.
#[tokio::test]
async fn the_example_of_two_services_runs() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/two-services");
    let text = |file: &str| std::fs::read_to_string(folder.join(file)).expect("the example is there");
    // A server of its own: the example's slot has a name that nobody else may use.
    let server = crate::support::server().await;
    let services = Services::on(&server, &text("shop.sql")).await;
    let token = "0123456789abcdef0123456789abcdef";
    let address = format!("127.0.0.1:{}", services.port);
    let shop = Pelton::new(["sync", "shop.yaml", "--http", &address])
        .file("shop.yaml", text("shop.yaml"))
        .env("SHOP_URL", services.source.url())
        .env("SHOP_EVENTS_URL", services.events.url())
        .env("PELTON_HTTP_TOKEN", token);
    let mut shop = serving(shop).await;
    let mut reports = Pelton::new(["sync", "reports.yaml"])
        .file("reports.yaml", text("reports.yaml"))
        .env("REPORTS_URL", services.destination.url())
        .env("SHOP_SERVICE", format!("http://{address}"))
        .env("SHOP_TOKEN", token);
    reports.start();
    services.destination.wait_until("to_regclass('public.shop_orders') IS NOT NULL").await;
    services.destination.wait_until("(SELECT count(*) FROM shop_orders) = 2").await;
    services.source.execute("UPDATE orders SET amount = 8 WHERE customer_name = 'Bob'").await;
    services.destination.wait_until("(SELECT amount FROM shop_orders WHERE customer = 'Bob') = 8").await;
    let orders = "SELECT id, customer_name, amount, placed_at FROM orders";
    let there = "SELECT id, customer, amount, placed_at FROM shop_orders";
    assert_same(&services.source, orders, &services.destination, there).await;
    end(&mut reports).await;
    end(&mut shop).await;
}
