//! Connection URLs: what is read, what is refused, and that no refusal tells a password.

use super::*;

/// Prints what was read, the password included.
fn read(url: &str) -> String {
    match PostgresConnection::from_url(url) {
        Ok(connection) => {
            let password = connection.password.as_ref().map_or("-", Secret::reveal);
            let mut text = format!("{connection} password={password} {:?}", connection.sslmode);
            for (name, path) in [("root", &connection.sslrootcert), ("cert", &connection.sslcert)] {
                if let Some(path) = path {
                    text += &format!(" {name}={}", path.display());
                }
            }
            text
        }
        Err(error) => format!("{error:?}"),
    }
}

#[track_caller]
fn check(url: &str, expected: &str) {
    assert_eq!(read(url), expected, "{url}");
}

#[test]
fn urls_are_read_as_libpq_reads_them() {
    check("postgres://me@db", "me@db:5432/me password=- Prefer");
    check("postgresql://me:pw@db:6000/shop", "me@db:6000/shop password=pw Prefer");
    check("postgres://me:@db:/", "me@db:5432/me password=- Prefer");
    check("postgres://m%40e:p%3Aw%2F%25@db/a%20b", "m@e@db:5432/a b password=p:w/% Prefer");
    check("postgres://me:a:b?c@db/x", "me@db:5432/x password=a:b?c Prefer");
    check("postgres://me@[::1]:7/x", "me@::1:7/x password=- Prefer");
    check("postgres://me@[fe80::1%25eth0]/x", "me@fe80::1%eth0:5432/x password=- Prefer");
    check("postgres:///shop?host=/run/pg&user=me&port=7", "me@/run/pg:7/shop password=- Prefer");
    check("postgres://me@%2Frun%2Fpg/shop", "me@/run/pg:5432/shop password=- Prefer");
    check("postgres://db?user=me&dbname=d&password=p", "me@db:5432/d password=p Prefer");
    check("postgres://me@db?sslmode=verify-full&sslrootcert=ca.pem", "me@db:5432/me password=- VerifyFull root=ca.pem");
    check("postgres://me@db?sslrootcert=system", "me@db:5432/me password=- VerifyFull");
    check("postgres://me@db?sslrootcert=system&sslmode=verify-full", "me@db:5432/me password=- VerifyFull");
    check("postgres://me@db?sslcert=c&sslkey=k&", "me@db:5432/me password=- Prefer cert=c");
}

#[test]
fn wrong_urls_say_what_is_wrong() {
    check("mysql://me@db", "Scheme");
    check("", "Scheme");
    check("postgres://me@db/%zz", "Encoding");
    check("postgres://me@db/%0", "Encoding");
    check("postgres://me@db/%00", "Encoding");
    check("postgres://me@db/%ff", "Encoding");
    check("postgres://me:p@w@db/x", "SecondAt");
    check("postgres://me@a,b/x", "SeveralHosts");
    check("postgres://me@[::1/x", "Ipv6");
    check("postgres://me@[::g]/x", "Ipv6");
    check("postgres://me@[::1]x/x", "Ipv6");
    for port in ["0", "65536", "a", "+1", "-1"] {
        check(&format!("postgres://me@db:{port}/x"), "Port");
    }
    check("postgres://me@db?sslmode", "NoValue");
    check("postgres://me@db?sslmod=x", r#"UnknownParameter { name: "sslmod" }"#);
    check("postgres://me@db?user=you", r#"Twice { name: "user" }"#);
    check("postgres://me@db?sslmode=allow", r#"SslMode(BadSslMode("allow"))"#);
    for mode in ["disable", "prefer", "require", "verify-ca"] {
        let url = format!("postgres://me@db?sslrootcert=system&sslmode={mode}");
        assert!(read(&url).starts_with("SystemRoots"), "{url}: {}", read(&url));
    }
    check("postgres://me@/x", "NoHost");
    check("postgres://db/x", "NoUser");
    check("postgres://me@db?sslkey=k", r#"HalfCertificate { has: "sslkey", lacks: "sslcert" }"#);
}

#[test]
fn hints_name_what_was_meant() {
    let hint = |url: &str| PostgresConnection::from_url(url).unwrap_err().hint().unwrap();
    assert_eq!(hint("postgres://me@db?sslmod=require"), "did you mean `sslmode`?");
    assert_eq!(hint("postgres://me@db?sslmode=required"), "did you mean `require`?");
    assert!(hint("postgres://me@db?sslmode=allow").contains("`prefer`"));
    assert!(hint("postgres://me@db?sslrootcert=system&sslmode=require").contains("`sslmode=verify-full`"));
    assert!(hint("postgres://me@db?application_name=x").contains("leave `application_name` out"));
}

#[test]
fn no_error_tells_a_piece_of_a_password() {
    // Every special character at every place of a password that is written as it is.
    for special in "@/?#:[]%&=, ,+\\\"".chars() {
        for password in [format!("{special}hunter"), format!("hun{special}ter"), format!("hunter{special}")] {
            for url in [format!("postgres://me:{password}@db/x"), format!("postgres://me:{password}@db:{password}")] {
                let Err(error) = PostgresConnection::from_url(&url) else { continue };
                let told = format!("{error} {:?}", error.hint());
                assert!(!told.contains("hun") && !told.contains("ter:"), "{url}: {told}");
            }
        }
    }
}
