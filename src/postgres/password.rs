//! Passwords as a server keeps them: SCRAM-SHA-256 verifiers, made here, so that the password itself never leaves.
//!
//! What goes over the wire, and with it into the server's log and `pg_stat_activity`, is the verifier, as psql's
//! `\password` sends it.

use hmac::{Hmac, KeyInit, Mac};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use postgres_protocol::password::scram_sha_256;
use sha2::{Digest, Sha256};

use crate::manifest::Secret;

/// Returns a verifier of the password, with a salt of its own, to be given to `ALTER ROLE … PASSWORD`.
pub fn verifier(password: &Secret) -> String {
    scram_sha_256(password.reveal().as_bytes())
}

/// Returns true when `kept`, as `pg_authid` has it, is a SCRAM verifier of this password.
///
/// It plays both sides of a login, so that preparing and hashing the password stay where they are done for every login:
/// the client proves that it knows the password, and the proof is held against the stored key (RFC 5802, 3).
pub fn is_verifier_of(kept: &str, password: &Secret) -> bool {
    prove(kept, password).unwrap_or(false)
}

fn prove(kept: &str, password: &Secret) -> Option<bool> {
    let (parameters, keys) = kept.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
    let (iterations, salt) = parameters.split_once(':')?;
    let (stored_key, _) = keys.split_once(':')?;
    let mut client = ScramSha256::new(password.reveal().as_bytes(), ChannelBinding::unsupported());
    let first = std::str::from_utf8(client.message()).ok()?.to_owned();
    let nonce = first.split_once("r=")?.1;
    let challenge = format!("r={nonce}server,s={salt},i={iterations}");
    client.update(challenge.as_bytes()).ok()?;
    let answer = std::str::from_utf8(client.message()).ok()?;
    let (without_proof, proof) = answer.rsplit_once(",p=")?;
    let message = format!("{},{challenge},{without_proof}", first.strip_prefix("n,,")?);
    let stored_key = base64(stored_key)?;
    let mut hmac = Hmac::<Sha256>::new_from_slice(&stored_key).ok()?;
    hmac.update(message.as_bytes());
    let signature = hmac.finalize().into_bytes();
    let proof = base64(proof)?;
    if proof.len() != signature.len() {
        return Some(false);
    }
    let client_key: Vec<u8> = proof.iter().zip(signature).map(|(proof, signature)| proof ^ signature).collect();
    Some(Sha256::digest(&client_key)[..] == stored_key[..])
}

/// Decodes base64 in its usual alphabet, padded.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(u32::from(byte - b'A')),
        b'a'..=b'z' => Some(u32::from(byte - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(byte - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        bits = (bits << 6 | digit(byte)?) & 0xFF_FFFF;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xFF) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_knows_its_password_and_no_other() {
        for password in ["secret", "it's \\ \"quoted\"", "päss wörd", "I\u{AD}X"] {
            let kept = verifier(&Secret::new(password));
            assert!(!kept.contains(password));
            assert!(is_verifier_of(&kept, &Secret::new(password)), "{password}");
            assert!(!is_verifier_of(&kept, &Secret::new("another")));
        }
        assert!(!is_verifier_of("md5c0ffee", &Secret::new("secret")));
        assert!(!is_verifier_of("SCRAM-SHA-256$4096:!$a:b", &Secret::new("secret")));
    }
}
