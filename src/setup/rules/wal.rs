//! How much log a slot that nobody reads may hold back, how much it does, and what that leads to.

use std::time::Duration;

use crate::setup::facts::{Facts, SourceFacts};
use crate::setup::foretell::{bytes, time};
use crate::setup::target::{Side, Target};
use crate::setup::{Item, Severity};

/// A limit below this is used up by one large transaction.
const LIMIT_MIN: u64 = 1 << 30;
/// A stop that should be outlasted at least: somebody reads the alarm.
const STOP_MIN: Duration = Duration::from_secs(3600);
/// A day of log, and no less than this, is what is proposed.
const LIMIT_PROPOSED_MIN_GB: u64 = 10;
/// Without a limit, holding back more than this is worth a word.
const RETAINED_MUCH: u64 = 10 << 30;

pub fn rules(target: &Target, facts: &Facts, source: &SourceFacts) -> Vec<Item> {
    let mut items = vec![limit(target, facts, source)];
    items.extend(horizon(target, facts, source));
    items
}

/// `max_slot_wal_keep_size` in bytes; `None` without a limit.
fn keep_size(facts: &Facts) -> Option<u64> {
    let megabytes = facts.server.number("max_slot_wal_keep_size")?;
    u64::try_from(megabytes).ok().map(|megabytes| megabytes << 20)
}

fn limit(target: &Target, facts: &Facts, source: &SourceFacts) -> Item {
    const RULE: &str = "slot-keep-size";
    let wal = &source.wal;
    let provider = facts.provider;
    let Some(limit) = keep_size(facts) else {
        let fills = match wal.per_hour() {
            Some(rate) => {
                format!("a slot that nobody reads holds back {rate} at the present rate, until the disk is full")
            }
            None => "a slot that nobody reads holds back log until the disk is full".to_owned(),
        };
        let why = format!("{fills} and the database stops; how much is free on the disk can't be seen by SQL");
        let what = "max_slot_wal_keep_size is -1: slots have no limit";
        let item = Item::amiss(Severity::Advice, RULE, target.place(), what, why);
        let alarm = "set an alarm on the disk's free space";
        return match provider.limits_slots() {
            false => item.step(format!("{alarm}: {} lets nobody limit slots", provider.name())),
            // Not as a statement: to limit slots is to decide which of the two is worse, and needs the disk's size.
            true if provider.has_superuser() => item.step(format!(
                "{alarm}; or decide on a limit, well below what is free: ALTER SYSTEM SET max_slot_wal_keep_size = '{}'; SELECT \
                 pg_reload_conf()",
                proposed(source)
            )),
            true => item
                .step(format!("{alarm}; or decide on a limit for max_slot_wal_keep_size, well below what is free: {}", proposed(source))),
        };
    };
    let (severity, what, why) = match (limit, wal.usual().lasts(limit)) {
        (0, _) => (
            Severity::Error,
            "max_slot_wal_keep_size is 0".to_owned(),
            "a slot that is behind at a checkpoint is lost, and flows stop until they are repaired".to_owned(),
        ),
        (limit, lasts) if limit < LIMIT_MIN || lasts.is_some_and(|lasts| lasts < STOP_MIN) => {
            let lasts = lasts.map_or(String::new(), |lasts| format!(", which is usually written in {}", time(lasts)));
            (
                Severity::Warning,
                format!("max_slot_wal_keep_size is {}{lasts}", bytes(limit)),
                "a stop for longer than that, or one large transaction, loses the slot, and flows stop until they are repaired"
                    .to_owned(),
            )
        }
        (limit, lasts) => {
            let lasts = lasts.map_or(String::new(), |lasts| format!(", which is usually written in {}", time(lasts)));
            return Item::right(RULE, target.place(), format!("max_slot_wal_keep_size is {}{lasts}", bytes(limit)));
        }
    };
    let mut item = Item::amiss(severity, RULE, target.place(), what, why);
    item.mends = provider.set("max_slot_wal_keep_size", &proposed(source), false);
    item.by_person("check first that so much is free on the disk, with room to spare")
}

/// A day of log, in whole gigabytes.
fn proposed(source: &SourceFacts) -> String {
    let day = source.wal.usual().rate().map_or(0.0, |rate| rate * 86_400.0 / (1u64 << 30) as f64).ceil() as u64;
    format!("{}GB", day.max(LIMIT_PROPOSED_MIN_GB))
}

/// What the slot holds back, and when that ends.
fn horizon(target: &Target, facts: &Facts, source: &SourceFacts) -> Option<Item> {
    const RULE: &str = "slot-retained";
    let Side::Source(wanted) = &target.side else { return None };
    let slot = source.slot.as_ref()?;
    let place = target.within(format_args!("slot {}", wanted.slot));
    let Some(retained) = source.retained() else {
        return Some(Item::right(RULE, place, "how much log it holds back can't be seen"));
    };
    let what = format!("it holds back {} of write-ahead log", bytes(retained));
    let is_read = source.reader.is_some();
    let start = "start `pelton sync`, or drop the slot if its flows are given up";
    // A slot that is read gives back what it holds.
    let safe = slot.safe_wal_size.and_then(|size| u64::try_from(size).ok());
    if let Some((safe, lasts)) = safe.and_then(|safe| Some((safe, source.wal.lasts(safe)?))) {
        let what =
            format!("{what}; {} more, in about {} at the present rate, and it is lost", bytes(safe), time(lasts));
        // A limit that is hardly used is judged as a setting: one busy second says little.
        if !is_read && lasts < STOP_MIN && safe < retained {
            let why = "nobody reads from it; once it is lost, its flows stop until they are repaired";
            return Some(Item::amiss(Severity::Warning, RULE, place, what, why).step(start));
        }
        return Some(Item::right(RULE, place, what));
    }
    if keep_size(facts).is_none() && !is_read && retained > RETAINED_MUCH {
        let grows = source.wal.per_hour().map_or(String::new(), |rate| format!(", and {rate} more"));
        let why = format!("nobody reads from it{grows}, until the disk is full; its free space can't be seen by SQL");
        return Some(Item::amiss(Severity::Warning, RULE, place, what, why).step(start));
    }
    Some(Item::right(RULE, place, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;
    use crate::postgres::slot::Slot;
    use crate::setup::facts::ServerFacts;
    use crate::setup::foretell::Wal;
    use crate::setup::provider::Provider;
    use crate::setup::target::tests::{nowhere, source_of_all};

    /// What is said of a server with that limit, of which the slot holds back `retained`, and that writes `rate`.
    fn check(provider: Provider, megabytes: i64, retained: u64, rate: f64, expected: &[&str]) {
        let target = Target::new("shop", nowhere(), Side::Source(source_of_all()));
        let settings = [("max_slot_wal_keep_size".to_owned(), megabytes.to_string())].into_iter().collect();
        let server = ServerFacts { settings, ..ServerFacts::default() };
        let facts = Facts { server, provider, ..Facts::default() };
        let slot = Slot {
            name: "s".to_owned(),
            plugin: Some("pgoutput".to_owned()),
            database: Some("d".to_owned()),
            temporary: false,
            active_pid: None,
            restart_lsn: Some(Lsn(1 << 40)),
            confirmed_flush: Some(Lsn(1 << 40)),
            wal_status: None,
            safe_wal_size: (megabytes >= 0).then(|| (megabytes << 20) - retained.cast_signed()),
            two_phase: false,
            invalidation_reason: None,
        };
        let source = SourceFacts {
            slot: Some(slot),
            position: Some(Lsn((1 << 40) + retained)),
            wal: Wal { now: Some(rate), mean: Some(rate) },
            ..SourceFacts::default()
        };
        let said: Vec<String> = rules(&target, &facts, &source)
            .iter()
            .map(|item| format!("{:?} {}: {}", item.severity(), item.rule, item.what))
            .collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn what_is_held_back_is_set_against_the_limit_and_the_rate() {
        const MB: u64 = 1 << 20;
        check(
            Provider::SelfManaged,
            -1,
            20 << 30,
            MB as f64,
            &[
                "Some(Advice) slot-keep-size: max_slot_wal_keep_size is -1: slots have no limit",
                "Some(Warning) slot-retained: it holds back 20 GB of write-ahead log",
            ],
        );
        check(
            Provider::SelfManaged,
            20_480,
            100 * MB,
            MB as f64,
            &[
                "None slot-keep-size: max_slot_wal_keep_size is 20 GB, which is usually written in 5 h",
                "None slot-retained: it holds back 100 MB of write-ahead log; 19 GB more, in about 5 h at the present rate, \
                 and it is lost",
            ],
        );
        check(
            Provider::Rds,
            2_048,
            2_000 * MB,
            MB as f64,
            &[
                "Some(Warning) slot-keep-size: max_slot_wal_keep_size is 2048 MB, which is usually written in 34 min",
                "Some(Warning) slot-retained: it holds back 2000 MB of write-ahead log; 48 MB more, in about 48 s at the \
                 present rate, and it is lost",
            ],
        );
        check(
            Provider::SelfManaged,
            0,
            0,
            0.0,
            &[
                "Some(Error) slot-keep-size: max_slot_wal_keep_size is 0",
                "None slot-retained: it holds back 0 bytes of write-ahead log",
            ],
        );
    }
}
