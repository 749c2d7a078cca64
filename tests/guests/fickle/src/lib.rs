//! Does what a row tells it to: the ways in which a transform can fail.

use pelton_sdk::prelude::*;

/// `CREATE TABLE public.orders_to_fail (id bigint PRIMARY KEY, act text NOT NULL)`
#[derive(Source)]
#[source(table = "public.orders_to_fail")]
struct Told<'a> {
    #[key]
    id: i64,
    act: &'a str,
}

#[derive(Public)]
#[public(name = "done", version = "1.0")]
struct Done {
    #[key]
    id: i64,
    /// The setting `greeting` and the act.
    done: String,
    /// How often this key was seen, by the state.
    times: i64,
}

#[derive(Settings)]
struct Options {
    /// Stands before what was done.
    #[setting(default = "did")]
    greeting: String,
    /// What `init` itself does: nothing, or `fail`.
    init: Option<String>,
}

struct Fickle {
    options: Options,
}

const TIMES: Map<i64, i64> = Map::new("times");

#[transform(name = "fickle", publishes(Done), stateful, state_version = 1)]
impl Fickle {
    fn init(options: Options) -> Result<Self> {
        match options.init.as_deref() {
            Some("fail") => Err(Error::fatal("told to fail at the start")),
            _ => Ok(Fickle { options }),
        }
    }

    fn told(&self, change: Change<Told<'_>>, out: &mut Out) -> Result<()> {
        let id = change.new_row().map(|row| row.id).or(change.old_key());
        let times = match id {
            Some(id) => {
                let times = TIMES.get(&id)?.unwrap_or(0) + 1;
                TIMES.put(&id, &times)?;
                times
            }
            None => 0,
        };
        if let Some(row) = change.new_row() {
            act(row)?;
        }
        out.map(change, |row| Some(Done { id: row.id, done: format!("{} {}", self.options.greeting, row.act), times }))
    }
}

fn act(row: &Told<'_>) -> Result<()> {
    match row.act {
        "reject" => reject!("told-to", "row {} is rejected", row.id),
        "retry" => Err(Error::retry("told to wait", 10)),
        "fatal" => Err(Error::fatal("told to stop")),
        "panic" => panic!("told to panic"),
        "loop" => loop {
            std::hint::black_box(());
        },
        "grow" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(vec![1u8; 1 << 20]);
                std::hint::black_box(&hoard);
            }
        }
        "recurse" => {
            info!("{} deep", recurse(1));
            Ok(())
        }
        "log" => {
            warn!(id = row.id, "told to log");
            Ok(())
        }
        _ => Ok(()),
    }
}

fn recurse(depth: u64) -> u64 {
    if std::hint::black_box(depth) == 0 { 0 } else { recurse(depth + 1).wrapping_add(depth) }
}
