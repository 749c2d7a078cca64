//! Makes the fuzzer's corpus: every transaction of the recordings, behind the descriptions of its tables.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use bytes::Bytes;
use pelton_fuzz::{join, streams};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/decode");
    std::fs::create_dir_all(folder)?;
    let mut seeds = BTreeSet::new();
    for stream in (14..=18).flat_map(streams) {
        // By OID, the newest description of each relation.
        let mut described = BTreeMap::<&[u8], &Bytes>::new();
        let mut transaction = Vec::new();
        for message in &stream {
            let needs = match message[0] {
                b'I' | b'U' | b'D' => described.get(&message[1..5]),
                _ => None,
            };
            if let Some(description) = needs.filter(|description| !transaction.contains(*description)) {
                transaction.insert(0, *description);
            }
            transaction.push(message);
            if message[0] == b'R' {
                described.insert(&message[1..5], message);
            }
            if matches!(message[0], b'C' | b'M') {
                seeds.insert(join(transaction.drain(..)));
            }
        }
    }
    for (index, seed) in seeds.iter().enumerate() {
        std::fs::write(format!("{folder}/{index:04}"), seed)?;
    }
    println!("Wrote {} seeds to {folder}.", seeds.len());
    Ok(())
}
