//! Names of slots.

use sha2::{Digest, Sha256};

/// The most bytes that Postgres takes for a name.
const LENGTH_MAX: usize = 63;

/// Returns true for the names that Postgres allows for a slot.
///
/// PostgreSQL keeps names that begin with `pg_` to itself from some version on; so do we on all.
pub fn is_slot_name(name: &str) -> bool {
    (1..=LENGTH_MAX).contains(&name.len()) && name.bytes().all(is_allowed) && !name.starts_with("pg_")
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
}

/// Returns a name that belongs to one manifest, database and cluster, wherever Pelton runs:
/// `pelton_` manifest `_` database `_` system identifier.
///
/// Bytes that a slot's name can't have become `_`, and what is too long is cut. Where either happened, `_` and eight
/// hexadecimal digits of a SHA-256 digest of all three follow, so that `a-b` and `a.b` have different names.
///
/// A manifest that leaves `slotName` out has another default, `pelton_` and its slug, since names that are in use don't
/// change: this one is for who makes slots for several databases or clusters from one manifest, and `pelton slots`
/// knows it.
pub fn derived_name(system_identifier: u64, database: &str, manifest_slug: &str) -> String {
    let whole = format!("pelton_{manifest_slug}_{database}_{system_identifier}");
    // Without this one `a` of database `b_c` and a manifest with an underscore could meet.
    let plain = whole.bytes().all(is_allowed) && !manifest_slug.contains('_') && whole.len() <= LENGTH_MAX;
    if plain {
        return whole;
    }
    let digest = Sha256::digest(format!("{manifest_slug}\0{database}\0{system_identifier}").as_bytes());
    let hash = hex::encode(&digest[..4]);
    let fit = |byte: u8| if is_allowed(byte) { char::from(byte) } else { '_' };
    let kept: String = whole.bytes().take(LENGTH_MAX - 1 - hash.len()).map(fit).collect();
    format!("{kept}_{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_as_postgres_does() {
        for good in ["a", "pelton_shop", "0_9", &"x".repeat(63)] {
            assert!(is_slot_name(good), "{good}");
        }
        for bad in ["", "A", "a-b", "a b", "ä", "pg_x", &"x".repeat(64)] {
            assert!(!is_slot_name(bad), "{bad}");
        }
    }

    #[test]
    fn derived_names_are_allowed_and_differ_where_anything_does() {
        assert_eq!(derived_name(7398765432109876543, "orders", "shop"), "pelton_shop_orders_7398765432109876543");
        assert_eq!(derived_name(1, "Ünï", "@team/shop"), "pelton__team_shop___n___1_969ea421");
        let long = "x".repeat(100);
        let names: Vec<String> = [
            (1, "a_b", "c"),
            (1, "b", "c_a"),
            (1, "b", "c-a"),
            (1, "b", "c.a"),
            (1, &long, "c"),
            (2, &long, "c"),
            (1, "b", &long),
            (1, "c", &long),
        ]
        .map(|(system, database, manifest)| derived_name(system, database, manifest))
        .into();
        for (at, name) in names.iter().enumerate() {
            assert!(is_slot_name(name), "{name}");
            assert!(!names[..at].contains(name), "{name} twice");
        }
    }
}
