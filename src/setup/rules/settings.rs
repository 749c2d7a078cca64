//! The server's settings: what decoding needs, and room for one more slot and one more stream.

use crate::setup::facts::{Facts, SourceFacts};
use crate::setup::target::Target;
use crate::setup::{Item, Severity};

/// Decoding on a standby came with this version.
const VERSION_STANDBY_MIN: u32 = 16;

/// Slots and senders that there should be at least: one for each source, one for a copy, and some for others.
const SLOTS_MIN: i64 = 5;

/// The rule's name of what was set and is not in effect yet.
pub const RESTART: &str = "restart";

/// What nobody can set.
pub fn of_server(target: &Target, facts: &Facts) -> [Item; 2] {
    [encoding(target, facts), standby(target, facts)]
}

/// Raised to what a stream needs, never lowered.
pub fn rules(target: &Target, facts: &Facts, source: &SourceFacts) -> Vec<Item> {
    let slots = ("free-slots", "max_replication_slots", "replication slots");
    let senders = ("free-senders", "max_wal_senders", "WAL senders");
    let mut items = vec![
        wal_level(target, facts),
        free(target, facts, slots, facts.server.slots, source.slot.is_some()),
        free(target, facts, senders, facts.server.senders, source.reader.is_some()),
    ];
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

/// Returns true when nothing can be decoded until the server was restarted, and can be from then on.
pub fn waits_for_restart(facts: &Facts) -> bool {
    !decodes(facts) && is_set(facts, "wal_level", |next| next == "logical")
}

fn decodes(facts: &Facts) -> bool {
    let settings = &facts.server.settings;
    let is = |wanted: &str| settings.get("wal_level").is_some_and(|level| level == wanted);
    // PostgreSQL 19 raises the level by itself, with the first slot.
    is("logical") || settings.contains_key("effective_wal_level") && is("replica")
}

/// The configuration has such a value, as far as it may be read.
fn is_set(facts: &Facts, name: &str, is_enough: impl Fn(&str) -> bool) -> bool {
    match facts.server.next.get(name) {
        Some(next) => is_enough(next),
        None => facts.server.pending.contains(name),
    }
}

fn restart(target: &Target, facts: &Facts, severity: Severity, name: &str) -> Item {
    let what = format!("{name} was set, which waits for a restart of the server");
    Item::amiss(severity, RESTART, target.place(), what, "it is read when the server starts")
        .step(facts.provider.restart())
}

fn wal_level(target: &Target, facts: &Facts) -> Item {
    const RULE: &str = "wal-level";
    let level = facts.server.settings.get("wal_level").map_or("unknown", |level| level);
    if decodes(facts) {
        return Item::right(RULE, target.place(), format!("wal_level is {level}"));
    }
    if waits_for_restart(facts) {
        return restart(target, facts, Severity::Error, "wal_level");
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
    let taken = i64::from(taken);
    let needed = (taken + 1 + i64::from(!has_own)).max(SLOTS_MIN);
    let what = format!("{setting} is {max}, {taken} of these {things} are taken");
    if max >= needed {
        return Item::right(rule, target.place(), what);
    }
    let (severity, why) = match max <= taken && !has_own {
        true => (Severity::Error, "a stream needs one slot and one sender of its own"),
        false => (Severity::Advice, "the copy of a table without a usable key takes one more for a while"),
    };
    if is_set(facts, setting, |next| next.parse::<i64>().is_ok_and(|next| next >= needed)) {
        return restart(target, facts, severity, setting);
    }
    let mut item = Item::amiss(severity, rule, target.place(), what, why);
    item.mends = facts.provider.set(setting, &needed.to_string(), true);
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
    Some(item.by_person("or keep it, where no stop may last so long that the disk fills"))
}
