//! Whatever the bytes, the decoder returns; what it accepts can be written again and means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pelton_fuzz::messages;
use pelton_fuzz::pgoutput::{Decoder, writer};

fuzz_target!(|input: &[u8]| {
    let mut decoder = Decoder::new();
    for data in messages(input) {
        match decoder.decode(data) {
            Ok(message) => {
                let written = writer::write(&message, |index| decoder.relation(index));
                assert_eq!(decoder.decode(written), Ok(message));
            }
            Err(error) => assert!(!error.to_string().is_empty() && error.hint().is_some()),
        }
    }
});
