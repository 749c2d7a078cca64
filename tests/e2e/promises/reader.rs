//! Promise 1: a reader at the destination sees whole source transactions, each with all that came before it.

use fastrand::Rng;

use super::pair::{Flow, Pair};

/// Two tables whose sums stay the same in every transaction, and a third that counts the transactions.
const TABLES: &str = "
CREATE TABLE savings (id int PRIMARY KEY, amount int NOT NULL);
CREATE TABLE current (id int PRIMARY KEY, amount int NOT NULL);
CREATE TABLE transfers (id int PRIMARY KEY);
";

const FLOWS: &[Flow] = &[
    Flow {
        name: "savings",
        config: "publicSchemaType: table, table: public.savings",
        columns: "id, amount",
        expected: "SELECT id, amount FROM public.savings",
    },
    Flow {
        name: "current",
        config: "publicSchemaType: table, table: public.current",
        columns: "id, amount",
        expected: "SELECT id, amount FROM public.current",
    },
    Flow {
        name: "transfers",
        config: "publicSchemaType: table, table: public.transfers",
        columns: "id",
        expected: "SELECT id FROM public.transfers",
    },
];

/// Reads the tables one after the other, in one snapshot, for as long as it is polled.
async fn look(pair: &Pair) {
    let mut client = pair.destination.connect().await;
    loop {
        let transaction = client.build_transaction();
        let transaction = transaction.isolation_level(tokio_postgres::IsolationLevel::RepeatableRead);
        let transaction = transaction.start().await.unwrap();
        let mut numbers = Vec::new();
        for sql in [
            "SELECT coalesce(sum(amount), 0) FROM public.savings",
            "SELECT coalesce(sum(amount), 0) FROM public.current",
            "SELECT count(*) FROM public.transfers",
            "SELECT coalesce(max(id), 0)::bigint FROM public.transfers",
        ] {
            numbers.push(transaction.query_one(sql, &[]).await.unwrap().get::<_, i64>(0));
        }
        let [savings, current, transfers, last] = numbers[..] else { unreachable!("four queries") };
        assert_eq!(savings + current, if last == 0 { 0 } else { 20_000 }, "half of a transaction");
        assert_eq!(transfers, last, "a transaction without its predecessors");
        transaction.commit().await.unwrap();
    }
}

async fn transfer(pair: &Pair, rng: &mut Rng, n: u32) {
    let mut sql = format!("BEGIN; INSERT INTO transfers VALUES ({n});");
    for _ in 0..rng.u32(1..20) {
        let (from, to, amount) = (rng.u32(0..10), rng.u32(0..10), rng.i32(-100..100));
        sql += &format!(
            "UPDATE savings SET amount = amount - {amount} WHERE id = {from};
             UPDATE current SET amount = amount + {amount} WHERE id = {to};"
        );
    }
    pair.source.execute(&format!("{sql} COMMIT")).await;
}

#[tokio::test]
async fn a_reader_never_sees_half_of_a_transaction() {
    let pair = Pair::new(TABLES, FLOWS).await;
    let mut pelton = pair.live().await;
    let begin = "BEGIN; INSERT INTO savings SELECT i, 1000 FROM generate_series(0, 9) AS i;
                 INSERT INTO current SELECT i, 1000 FROM generate_series(0, 9) AS i; INSERT INTO transfers VALUES (1); COMMIT";
    pair.source.execute(begin).await;
    let work = async {
        let mut rng = Rng::with_seed(7);
        let mut n = 1;
        pelton.kill().await;
        for point in ["before-commit:9", "after-copy:5", "after-commit:12", "before-copy:20", "after-guest:3"] {
            pelton.set("PELTON_FAULT", Some(point));
            pelton.start();
            while !pelton.has_ended() {
                n += 1;
                transfer(&pair, &mut rng, n).await;
            }
        }
    };
    tokio::select! {
        () = look(&pair) => unreachable!("it looks for ever"),
        () = work => {}
    }
    pair.catch_up().await.unwrap();
}
