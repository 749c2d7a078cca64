//! The server's settings: what decoding needs, and room for one more slot and one more stream.

use crate::setup::facts::{Facts, SourceFacts};
use crate::setup::target::Target;
use crate::setup::{Item, Severity};

/// Decoding on a standby came with this version.
const VERSION_STANDBY_MIN: u32 = 16;

/// What is added where slots or senders are all taken.
const ROOM: i64 = 5;

pub fn of_source(target: &Target, facts: &Facts, source: &SourceFacts) -> Vec<Item> {
    let mut items = vec![encoding(target, facts), standby(target, facts), wal_level(target, facts)];
    items.push(free(
        target,
        facts,
        ("free-slots", "max_replication_slots", "replication slots"),
        facts.server.slots,
        source.slot.is_some(),
    ));
    items.push(free(
        target,
        facts,
        ("free-senders", "max_wal_senders", "WAL senders"),
        facts.server.senders,
        source.reader.is_some(),
    ));
    items.extend(idle_slots(target, facts));
    items
}

fn encoding(target: &Target, facts: &Facts) -> Item {
    const RULE: &str = "encoding";
    let encoding = &facts.server.encoding;
    if encoding != "SQL_ASCII" {
        return Item::right(RULE, target.place(), format!("the database's encoding is {encoding}"));
    }
    let what = format!("database {} has the encoding SQL_ASCII", facts.server.database);
    let why = "its texts are bytes of no known encoding, so nobody can say what they mean elsewhere";
    Item::amiss(Severity::Error, RULE, target.place(), what, why)
        .step("dump the database and load it into one with ENCODING 'UTF8'")
}

fn standby(target: &Target, facts: &Facts) -> Item {
    const RULE: &str = "standby";
    if !facts.server.in_recovery {
        return Item::right(RULE, target.place(), "it is a primary");
    }
    let version = &facts.server.version_text;
    if facts.server.version >= VERSION_STANDBY_MIN {
        return Item::right(RULE, target.place(), format!("it is a standby, which PostgreSQL {version} can decode"));
    }
    let what = format!("it is a standby of PostgreSQL {version}");
    let why = "up to PostgreSQL 15 only a primary can decode its log";
    Item::amiss(Severity::Error, RULE, target.place(), what, why).step("name the primary in the connection")
}

fn wal_level(target: &Target, facts: &Facts) -> Item {
    const RULE: &str = "wal-level";
    let settings = &facts.server.settings;
    // PostgreSQL 19 raises the level by itself, with the first slot.
    let level = settings.get("wal_level").map_or("unknown", |level| level);
    let raises = settings.contains_key("effective_wal_level") && level == "replica";
    if level == "logical" || raises {
        return Item::right(RULE, target.place(), format!("wal_level is {level}"));
    }
    let why = "the log holds no more than a standby needs: nothing can be decoded from it";
    let what = format!("wal_level is {level}, and a stream needs logical");
    let mut item = Item::amiss(Severity::Error, RULE, target.place(), what, why);
    item.mends = facts.provider.wal_level();
    item
}

/// `taken` is ours already where `has_own`.
fn free(
    target: &Target,
    facts: &Facts,
    (rule, setting, things): (&'static str, &'static str, &str),
    taken: u32,
    has_own: bool,
) -> Item {
    let Some(max) = facts.server.number(setting) else {
        return Item::right(rule, target.place(), format!("{setting} can't be seen"));
    };
    let free = (max - i64::from(taken)).max(0);
    let what = format!("{taken} of {max} {things} are taken");
    let (severity, why) = match (free, has_own) {
        (0, false) => (Severity::Error, "a stream needs one slot and one sender of its own"),
        (0, true) => (Severity::Advice, "the copy of a table without a usable key takes one more for a while"),
        _ => return Item::right(rule, target.place(), what),
    };
    let mut item = Item::amiss(severity, rule, target.place(), what, why);
    item.mends = facts.provider.set(setting, &(max + ROOM).to_string(), true);
    match rule {
        "free-slots" => {
            item.step("or drop a slot that nobody uses: SELECT slot_name, active FROM pg_replication_slots")
        }
        _ => item,
    }
}

/// Slots that nobody has read for less than this may be missed by a weekend.
const IDLE_MIN_S: i64 = 4 * 86_400;

fn idle_slots(target: &Target, facts: &Facts) -> Option<Item> {
    const RULE: &str = "slot-idle-timeout";
    // PostgreSQL 18 is the first with it; in seconds.
    let seconds = facts.server.number("idle_replication_slot_timeout")?;
    if seconds == 0 || seconds >= IDLE_MIN_S {
        return Some(Item::right(RULE, target.place(), "idle slots are kept for long enough"));
    }
    let what = format!("idle_replication_slot_timeout is {} h", seconds / 3600);
    let why = "a slot that nobody has read for so long is given up, and with it what flows have not read: they stop \
               until they are repaired";
    let mut item = Item::amiss(Severity::Warning, RULE, target.place(), what, why);
    item.mends = facts.provider.set("idle_replication_slot_timeout", "0", false);
    Some(item)
}
