//! The slot: that it can be read from, that nobody else does, and that nothing was skipped.

use crate::postgres::quote_literal;
use crate::postgres::slot::{Slot, SlotError, WalStatus};
use crate::setup::facts::{Facts, SourceFacts};
use crate::setup::target::{SourceTarget, Target};
use crate::setup::{Item, Severity};

const REPAIR: &str =
    "`pelton repair`, then `pelton sync`: it makes the slot anew, compares the tables, and carries over what differs";

pub fn rules(target: &Target, wanted: &SourceTarget, facts: &Facts, source: &SourceFacts) -> Vec<Item> {
    let place = target.within(format_args!("slot {}", wanted.slot));
    let Some(slot) = &source.slot else { return vec![missing(place, wanted)] };
    if let Err(error) = slot.usable(&facts.server.database) {
        return vec![unusable(place, &error)];
    }
    let mut items = vec![Item::right("slot", place.clone(), "it exists, and can be read from")];
    items.extend(unreserved(&place, slot));
    items.push(skipped(&place, wanted, slot));
    items.extend(reader(&place, source));
    items.extend(younger(&place, wanted, source));
    items.extend(failover(&place, wanted, source));
    items
}

fn missing(place: String, wanted: &SourceTarget) -> Item {
    if wanted.begun.is_empty() {
        return Item::right("slot", place, "it does not exist yet: `pelton sync` makes it at its start");
    }
    let flows: Vec<&str> = wanted.begun.iter().map(|begun| begun.flow.as_str()).collect();
    let why = format!("what was changed since it was dropped is lost to flows {}", flows.join(", "));
    Item::amiss(Severity::Error, "slot", place, "it does not exist any more", why).step(REPAIR)
}

fn unusable(place: String, error: &SlotError) -> Item {
    let why = match error {
        SlotError::Lost { .. } => "the server has removed log that flows have not read",
        _ => "it is somebody else's, or made for something else: Pelton leaves it alone",
    };
    let item = Item::amiss(Severity::Error, "slot", place, error.to_string(), why);
    match (error, error.hint()) {
        (SlotError::Lost { .. }, _) => item.step(REPAIR),
        (_, Some(hint)) => item.step(hint),
        (_, None) => item,
    }
}

fn unreserved(place: &str, slot: &Slot) -> Option<Item> {
    if slot.wal_status != Some(WalStatus::Unreserved) {
        return None;
    }
    let what = "it needs log beyond max_slot_wal_keep_size, which the next checkpoint may remove";
    let why = "then the slot is lost, and its flows with it, until they are repaired";
    let item = Item::amiss(Severity::Error, "slot-unreserved", place, what, why);
    Some(item.step("start `pelton sync` now, so that it catches up; and raise max_slot_wal_keep_size"))
}

/// A slot that was made anew or moved begins behind what a flow has read.
fn skipped(place: &str, wanted: &SourceTarget, slot: &Slot) -> Item {
    const RULE: &str = "slot-position";
    let least = wanted.begun.iter().min_by_key(|begun| begun.lsn);
    match (least, slot.confirmed_flush) {
        (Some(least), Some(confirmed)) if confirmed > least.lsn => {
            let what = format!(
                "it is confirmed up to {confirmed}, beyond {}, the checkpoint of flow {}",
                least.lsn, least.flow
            );
            let why = "it was made anew or moved: what lies between is in no stream";
            Item::amiss(Severity::Error, RULE, place, what, why).step(REPAIR)
        }
        _ => Item::right(RULE, place, "it has everything that flows have not read"),
    }
}

fn reader(place: &str, source: &SourceFacts) -> Option<Item> {
    const RULE: &str = "slot-reader";
    let reader = source.reader.as_ref()?;
    let pid = reader.pid;
    let name = reader.application.as_deref().unwrap_or_default();
    Some(if name.is_empty() {
        Item::right(RULE, place, format!("process {pid} reads from it; which program that is can't be seen"))
    } else if name.starts_with("pelton") {
        Item::right(RULE, place, format!("`{name}` reads from it"))
    } else {
        let what = format!("process {pid} reads from it, which names itself `{name}`");
        let why = "what another program reads and confirms, Pelton never gets";
        Item::amiss(Severity::Error, RULE, place, what, why).step(format!(
            "stop that program, or take another slotName; SELECT pg_terminate_backend({pid}) ends its session"
        ))
    })
}

fn younger(place: &str, wanted: &SourceTarget, source: &SourceFacts) -> Option<Item> {
    const RULE: &str = "publication-younger";
    // Whoever reads has got past that point.
    if source.publication.is_none() || source.reader.is_some() {
        return None;
    }
    if !source.publication_may_be_younger {
        return Some(Item::right(RULE, place, "the publication is older than what it has to deliver"));
    }
    let what = format!("publication {} may have been made after it", wanted.publication);
    let why = "a slot decodes with the catalog of its time: up to PostgreSQL 17 it can't be read across changes from before \
               the publication was there. It can't be seen for certain: another slot, or a long transaction, looks the same";
    let drop = format!("SELECT pg_drop_replication_slot({})", quote_literal(&wanted.slot));
    let step = match wanted.begun.is_empty() {
        true => format!("if so: {drop}, and `pelton sync` makes it anew; no flow has read from it yet"),
        false => format!("if `pelton sync` says so: {drop}, and {REPAIR}"),
    };
    Some(Item::amiss(Severity::Advice, RULE, place, what, why).step(step))
}

/// Only where there are standbys that could be promoted.
fn failover(place: &str, wanted: &SourceTarget, source: &SourceFacts) -> Option<Item> {
    const RULE: &str = "slot-failover";
    let failover = source.failover?;
    if failover {
        return Some(Item::right(RULE, place, "it is kept on standbys"));
    }
    if !source.has_standbys {
        return None;
    }
    let why = "after a failover the promoted standby does not have it, and flows stop until they are repaired";
    Some(Item::amiss(Severity::Advice, RULE, place, "it is not kept on standbys (failover is false)", why).step(
        format!(
            "while nobody reads from it, over a replication connection (psql \"dbname=… replication=database\"): \
         ALTER_REPLICATION_SLOT {} ( FAILOVER ); and sync_replication_slots = on at the standby",
            wanted.slot
        ),
    ))
}
