//! Who may ask.

use std::net::IpAddr;

use hyper::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use sha2::{Digest, Sha256};

use super::answer::Refusal;
use crate::manifest::Secret;

/// The tokens that are taken: several, while one is replaced by another.
pub struct Access {
    digests: Vec<[u8; 32]>,
}

impl Access {
    pub fn new(tokens: &[Secret]) -> Access {
        Access { digests: tokens.iter().map(|token| Sha256::digest(token.reveal().as_bytes()).into()).collect() }
    }

    /// Checks a request's token; without tokens, that it was meant for this machine.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if self.digests.is_empty() {
            return is_for_this_machine(headers);
        }
        let Some(given) = headers.get(AUTHORIZATION) else {
            return Err(Refusal::token("this service asks for a token"));
        };
        let given = given.as_bytes();
        let token = match given.split_at_checked(7) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token,
            _ => return Err(Refusal::token("the header `Authorization` has no bearer token")),
        };
        let digest: [u8; 32] = Sha256::digest(token.trim_ascii()).into();
        // All of every digest is looked at, whatever differs.
        let differs = |known: &[u8; 32]| known.iter().zip(&digest).fold(0u8, |all, (a, b)| all | (a ^ b));
        let taken = self.digests.iter().fold(false, |any, known| any | (std::hint::black_box(differs(known)) == 0));
        if taken { Ok(()) } else { Err(Refusal::token("the token is not the one of this service")) }
    }
}

/// A page of somebody else's, open in a browser on this machine, may reach what listens here under a name of its own.
fn is_for_this_machine(headers: &HeaderMap) -> Result<(), Refusal> {
    // What a page of another site asks for says so, also where the browser asks nobody whether it may.
    let fetched = headers.get("sec-fetch-site").is_some_and(|site| site != "none" && site != "same-origin");
    if fetched || headers.contains_key(ORIGIN) {
        let what = "without a token, nothing is answered to pages of other sites";
        let hint = "give the service a token (--http-token-file, PELTON_HTTP_TOKEN)";
        return Err(Refusal::new(hyper::StatusCode::FORBIDDEN, what, hint));
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let what = "without a token, requests are taken for `localhost` and for addresses alone";
    let hint = "give the service a token (--http-token-file, PELTON_HTTP_TOKEN), or ask it by its address";
    Err(Refusal::new(hyper::StatusCode::FORBIDDEN, what, hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(access: &Access, headers: &[(&str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(hyper::header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        access.check(&map).map_or_else(|refusal| refusal.answer().status().as_u16(), |()| 200)
    }

    #[test]
    fn only_a_token_that_is_known_is_taken() {
        let access = Access::new(&[Secret::new("old-token"), Secret::new("new-token")]);
        let authorization = |value| status(&access, &[("authorization", value)]);
        assert_eq!(authorization("Bearer old-token"), 200);
        assert_eq!(authorization("bearer new-token"), 200);
        for wrong in ["Bearer ", "Bearer old-toke", "Bearer old-tokens", "Basic old-token", "old-token", "é", ""] {
            assert_eq!(authorization(wrong), 401, "{wrong}");
        }
        assert_eq!(status(&access, &[("host", "localhost")]), 401);
    }

    #[test]
    fn without_a_token_a_name_of_somebody_elses_is_refused() {
        let access = Access::new(&[]);
        for good in ["localhost", "localhost:3000", "127.0.0.1:3000", "[::1]:3000", "[::1]"] {
            assert_eq!(status(&access, &[("host", good)]), 200, "{good}");
        }
        for bad in ["evil.example", "evil.example:3000", "localhost.evil.example:80", "127.0.0.1.evil.example"] {
            assert_eq!(status(&access, &[("host", bad)]), 403, "{bad}");
        }
        assert_eq!(status(&access, &[("host", "127.0.0.1"), ("origin", "https://evil.example")]), 403);
        assert_eq!(status(&access, &[("host", "127.0.0.1"), ("sec-fetch-site", "cross-site")]), 403);
        assert_eq!(status(&access, &[("host", "127.0.0.1"), ("sec-fetch-site", "none")]), 200);
    }
}
