//! Promise 3: whatever is killed and whenever, nothing is lost and nothing takes effect twice.
//!
//! A random workload goes on while the process is killed again and again, at random moments and at named points, from
//! its first start on, so that rows are still being copied. In the end it may catch up, and Postgres compares.
//! `PELTON_TEST_SEED=17 cargo nextest run -E 'test(a_seed_of_choice)'` repeats one seed; the statements are the same
//! then, the moments at which a machine kills are not quite.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use fastrand::Rng;

use super::pair::Pair;
use super::workload::{FLOWS, TABLES, Workload};

/// Where the process can be told to die.
const POINTS: [&str; 8] = [
    "before-guest",
    "after-guest",
    "before-copy",
    "after-copy",
    "before-commit",
    "after-commit",
    "before-feedback",
    "after-feedback",
];

/// How often the process is killed for one seed.
const KILLS: u32 = 8;
/// The workload takes at least this many statements.
const STEPS_MIN: u32 = 1_000;
/// A process that does not come to its point is killed after this.
const LIFE_MAX: Duration = Duration::from_millis(1_500);

/// Kills the process [`KILLS`] times.
async fn kill_again_and_again(pair: &Pair, rng: &mut Rng) {
    let mut pelton = pair.sync();
    for _ in 0..KILLS {
        let point = POINTS[rng.usize(..POINTS.len())];
        let fault = format!("{point}:{}", rng.u32(1..10));
        let moment = Duration::from_millis(rng.u64(0..900));
        let kind = rng.u32(0..9);
        let by_itself = kind < 5;
        pelton.set("PELTON_FAULT", by_itself.then_some(&fault[..]));
        pelton.start();
        let life = if by_itself { LIFE_MAX } else { moment };
        match tokio::time::timeout(life, pelton.ended()).await {
            Ok(status) => assert_eq!(status.signal(), Some(9), "it ends when it is killed, not before: {status}"),
            Err(_) if kind == 8 => {
                pelton.terminate();
                let status = pelton.ended().await;
                // Before it listens to signals, it ends as any process does.
                assert!(status.success() || status.signal() == Some(15), "{status}");
            }
            Err(_) => pelton.kill().await,
        }
        pair.check_feedback().await.unwrap();
    }
}

async fn survives(seed: u64) {
    println!("PELTON_TEST_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let pair = Pair::new(TABLES, FLOWS).await;
    // What a delete sends of an order is its key, or all of it.
    if rng.bool() {
        pair.source.execute("ALTER TABLE orders REPLICA IDENTITY FULL").await;
    }
    let mut workload = Workload::begin(&pair, seed).await;
    let mut steps = 0;
    {
        let mut killing = std::pin::pin!(kill_again_and_again(&pair, &mut rng));
        let mut killed = false;
        while !killed || steps < STEPS_MIN {
            tokio::select! {
                () = &mut killing, if !killed => killed = true,
                () = tokio::time::sleep(Duration::from_millis(1)) => {
                    workload.step().await;
                    steps += 1;
                }
            }
        }
    }
    workload.finish().await;
    let equal = pair.catch_up().await;
    pair.check_feedback().await.unwrap();
    equal.unwrap_or_else(|difference| panic!("PELTON_TEST_SEED={seed}, {steps} statements: {difference}"));
}

macro_rules! seeds {
    ($($name:ident = $seed:literal),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                survives($seed).await;
            }
        )*
    };
}

seeds! {
    survives_seed_01 = 1, survives_seed_02 = 2, survives_seed_03 = 3, survives_seed_04 = 4, survives_seed_05 = 5,
    survives_seed_06 = 6, survives_seed_07 = 7, survives_seed_08 = 8, survives_seed_09 = 9, survives_seed_10 = 10,
    survives_seed_11 = 11, survives_seed_12 = 12, survives_seed_13 = 13, survives_seed_14 = 14, survives_seed_15 = 15,
    survives_seed_16 = 16, survives_seed_17 = 17, survives_seed_18 = 18, survives_seed_19 = 19,
}

/// The twentieth is another one every time, or the one that is asked for.
#[tokio::test]
async fn survives_a_seed_of_choice() {
    let seed = match std::env::var("PELTON_TEST_SEED") {
        Ok(seed) => seed.parse().expect("PELTON_TEST_SEED is a number"),
        Err(_) => fastrand::u64(..),
    };
    survives(seed).await;
}

/// A point that is never passed would make the kills at it worth nothing.
#[tokio::test]
async fn every_point_is_reached() {
    let pair = Pair::new(TABLES, FLOWS).await;
    let mut n = 0;
    for point in POINTS {
        // Once while rows are being copied or shortly after, and again where nothing but the stream is left.
        for pass in [1, 4] {
            let mut pelton = pair.sync();
            pelton.set("PELTON_FAULT", Some(&format!("{point}:{pass}")));
            pelton.start();
            let died = {
                let mut ended = std::pin::pin!(pelton.ended());
                loop {
                    n += 1;
                    let insert = format!("INSERT INTO visits VALUES ({n}, '{point}', 'x')");
                    tokio::select! {
                        status = &mut ended => break status,
                        () = tokio::time::sleep(Duration::from_millis(10)) => pair.source.execute(&insert).await,
                    }
                }
            };
            assert_eq!(died.signal(), Some(9), "{point}:{pass}: {died}\n{}", pelton.stderr());
            pair.check_feedback().await.unwrap();
        }
    }
    pair.catch_up().await.unwrap();
}
