//! What a logical message tells the transform to do.

use pelton_sdk::prelude::*;

use crate::Options;

#[derive(Public)]
#[public(name = "counts", version = "1.0")]
pub struct Counted {
    #[key]
    name: String,
    n: i64,
}

const COUNTS: Map<String, i64> = Map::new("counts");

pub fn obey(options: &Options, content: &[u8], transactional: bool, out: &mut Out) -> Result<()> {
    let Ok(command) = std::str::from_utf8(content) else { reject!("not-text", "a command is not UTF-8") };
    let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
    match word {
        "count" => count(options, rest, out),
        "clear" => {
            COUNTS.clear()?;
            out.truncate::<Counted>();
            Ok(())
        }
        "list" => COUNTS.for_each(|name, n| {
            if name.starts_with(rest) {
                out.update(&Counted { name: name.clone(), n });
            }
            Ok(())
        }),
        "reject" => reject!(rest, "told to reject"),
        "retry" => match rest.parse() {
            Ok(after_ms) => Err(Error::retry("told to wait", after_ms)),
            Err(_) => reject!("unknown-command", "there is no such command"),
        },
        "fatal" => Err(Error::fatal("told to stop")),
        "crash" => panic!("told to crash"),
        "log" => {
            let label = options.label.as_deref().unwrap_or("none");
            info!(label = label, transactional = transactional, "{}, told to log", options.greeting);
            Ok(())
        }
        _ => reject!("unknown-command", "there is no such command"),
    }
}

fn count(options: &Options, name: &str, out: &mut Out) -> Result<()> {
    let name = name.to_owned();
    let before = COUNTS.get(&name)?;
    let n = before.unwrap_or(0) + 1;
    COUNTS.put(&name, &n)?;
    if n > options.limit {
        reject!("too-many", "a name was counted {} times already", options.limit);
    }
    let row = Counted { name, n };
    match before {
        Some(_) => out.update(&row),
        None => out.insert(&row),
    }
    Ok(())
}
