//! Reaching a server: every way in, and every refusal with its hint, for ordinary sessions and for streams alike.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pelton::lsn::Lsn;
use pelton::manifest::{PostgresConnection, Secret, SslMode};
use pelton::postgres::replication::{ReplicationError, ReplicationStream, StreamOptions};
use pelton::postgres::throwaway::{Authentication, Server};
use pelton::postgres::{self, ConnectError, Session};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};

use crate::support;

/// How to reach a throwaway server over TCP, without TLS.
pub fn tcp(server: &Server) -> PostgresConnection {
    let password = match &server.address().authentication {
        Authentication::Trust => None,
        Authentication::Scram(password) | Authentication::Md5(password) => Some(Secret::new(password)),
    };
    PostgresConnection {
        host: "127.0.0.1".to_owned(),
        port: server.port(),
        user: "postgres".to_owned(),
        password,
        database: "postgres".to_owned(),
        sslmode: SslMode::Disable,
        sslrootcert: None,
        sslcert: None,
        sslkey: None,
    }
}

/// Opens an ordinary session and a stream, and returns what became of both: `session` is the pinned settings' names, so
/// only the outcome of connecting differs. A stream gets as far as its slot, which does not exist.
async fn outcome(to: &PostgresConnection) -> (Result<(), ConnectError>, Result<(), ConnectError>) {
    let session = postgres::connect(to, &Session::source("test")).await.map(drop);
    let stream = ReplicationStream::start(to, StreamOptions::new("no_such_slot", "p", Lsn::ZERO)).await;
    let stream = match stream {
        Err(ReplicationError::SlotMissing { .. }) => Ok(()),
        Err(ReplicationError::Connect(error)) => Err(error),
        other => panic!("a slot that does not exist gave {other:?}"),
    };
    (session, stream)
}

async fn gets_in(to: &PostgresConnection) {
    let (session, stream) = outcome(to).await;
    session.unwrap();
    stream.unwrap();
}

/// Both ways end in the same error: its text, with its causes and its hint.
async fn refusal(to: &PostgresConnection) -> String {
    let (session, stream) = outcome(to).await;
    let (session, stream) = (session.unwrap_err(), stream.unwrap_err());
    assert_eq!(std::mem::discriminant(&session), std::mem::discriminant(&stream), "{session:?} and {stream:?}");
    let mut text = session.to_string();
    let mut cause = std::error::Error::source(&session);
    while let Some(error) = cause {
        text += &format!(" / {error}");
        cause = error.source();
    }
    format!("{text} / Hint: {}", session.hint().unwrap_or_default())
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[tokio::test]
async fn every_password_method_works_on_both_ways() {
    for authentication in [Authentication::Scram("s3cret".to_owned()), Authentication::Md5("s3cret".to_owned())] {
        let server = support::server_with(|builder| builder.authentication(authentication)).await;
        let right = tcp(&server);
        gets_in(&right).await;
        let wrong = PostgresConnection { password: Some(Secret::new("t1ger")), ..right.clone() };
        let text = refusal(&wrong).await;
        assert_says(&text, &["refuses the password", "postgres@127.0.0.1", "28P01", "ALTER ROLE"]);
        assert!(!text.contains("t1ger"));
        let none = PostgresConnection { password: None, ..right };
        assert_says(&refusal(&none).await, &["asks for a password"]);
    }
    // Characters that SASLprep changes must be changed on both ways.
    let password = "p\u{a0}\u{2168}";
    let clear = |builder: pelton::postgres::throwaway::Builder| {
        builder
            .authentication(Authentication::Scram(password.to_owned()))
            .hba("host all clear all password")
            .hba("host all ident all ident")
    };
    let server = support::server_with(clear).await;
    gets_in(&tcp(&server)).await;
    let client = server.connect("postgres").await.unwrap();
    client.batch_execute("CREATE ROLE clear LOGIN REPLICATION PASSWORD 'x'; CREATE ROLE ident LOGIN").await.unwrap();
    let clear = PostgresConnection { user: "clear".into(), password: Some(Secret::new("x")), ..tcp(&server) };
    gets_in(&clear).await;
}

#[tokio::test]
async fn every_refusal_says_what_to_do() {
    let server =
        support::server_with(|builder| builder.setting("max_connections", "8").hba("host all banned all reject")).await;
    let to = tcp(&server);
    let client = server.connect("postgres").await.unwrap();
    let roles = "CREATE ROLE banned LOGIN REPLICATION; CREATE ROLE plain LOGIN; CREATE ROLE nologin REPLICATION; \
                 CREATE DATABASE closed; REVOKE CONNECT ON DATABASE closed FROM public; ALTER ROLE plain REPLICATION; \
                 CREATE ROLE single LOGIN REPLICATION CONNECTION LIMIT 0";
    for statement in roles.split(';') {
        client.batch_execute(statement).await.unwrap();
    }
    let user = |user: &str| PostgresConnection { user: user.to_owned(), ..to.clone() };

    assert_says(&refusal(&user("banned")).await, &["does not let this role in", "28000", "pg_hba.conf"]);
    assert_says(&refusal(&user("nologin")).await, &["does not let this role in", "ALTER ROLE"]);
    let missing = PostgresConnection { database: "nowhere".into(), ..to.clone() };
    assert_says(&refusal(&missing).await, &["does not exist", "127.0.0.1", "/nowhere", "CREATE DATABASE"]);
    let closed = PostgresConnection { database: "closed".into(), ..user("plain") };
    assert_says(&refusal(&closed).await, &["may not connect to this database", "GRANT CONNECT"]);
    // A role's limit does not count walsenders.
    let full = postgres::connect(&user("single"), &Session::source("x")).await.unwrap_err();
    assert!(full.is_transient() && full.hint().unwrap().contains("CONNECTION LIMIT"), "{full:?}");
    let nul = PostgresConnection { user: "a\0b".into(), ..to.clone() };
    assert_says(&refusal(&nul).await, &["user", "NUL"]);
    let nobody = PostgresConnection { port: 1, ..to.clone() };
    assert_says(&refusal(&nobody).await, &["cannot reach", "listen_addresses"]);
    let no_name = PostgresConnection { host: "no-such-host.invalid".into(), ..to.clone() };
    assert_says(&refusal(&no_name).await, &["no-such-host.invalid", "is not known", "DNS"]);
    let no_socket = PostgresConnection { host: "/nonexistent".into(), ..to.clone() };
    assert_says(&refusal(&no_socket).await, &["cannot reach", "unix_socket_directories"]);
    let no_tls = PostgresConnection { sslmode: SslMode::Require, ..to.clone() };
    assert_says(&refusal(&no_tls).await, &["does not speak TLS", "sslmode=disable"]);
    gets_in(&PostgresConnection { sslmode: SslMode::Prefer, ..to.clone() }).await;

    client.batch_execute("ALTER ROLE plain NOREPLICATION").await.unwrap();
    let (session, stream) = outcome(&user("plain")).await;
    session.unwrap();
    assert_says(&stream.unwrap_err().hint().unwrap(), &["REPLICATION"]);
}

/// What a role or a database sets for people, to end what takes long, must not end what we do.
#[tokio::test]
async fn settings_of_the_role_hold_no_session_up() {
    let server = support::server_with(|builder| builder).await;
    let client = server.connect("postgres").await.unwrap();
    client.batch_execute("CREATE ROLE hasty LOGIN REPLICATION").await.unwrap();
    let sql = "SELECT name FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout', 'transaction_timeout', \
               'idle_in_transaction_session_timeout', 'idle_session_timeout') ORDER BY 1";
    let timeouts: Vec<String> = client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(timeouts.len() >= 4, "{timeouts:?}");
    for name in &timeouts {
        client.batch_execute(&format!("ALTER ROLE hasty SET {name} = '1234ms'")).await.unwrap();
    }
    client.batch_execute("ALTER ROLE hasty SET client_min_messages = debug1").await.unwrap();
    let to = PostgresConnection { user: "hasty".into(), ..tcp(&server) };
    for session in [Session::source("x"), Session::destination("x"), Session::user_sql("x")] {
        let client = postgres::connect(&to, &session).await.unwrap();
        for name in &timeouts {
            let value: String = client.query_one(&format!("SHOW {name}"), &[]).await.unwrap().get(0);
            assert_eq!(value, "0", "{name}");
        }
        let value: String = client.query_one("SHOW client_min_messages", &[]).await.unwrap().get(0);
        assert_eq!(value, "error", "what a trigger notes may quote a row");
    }
}

#[tokio::test]
async fn something_else_that_listens_is_no_postgres() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut peer, _) = listener.accept().await.unwrap();
            let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut peer, answer).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    for sslmode in [SslMode::Disable, SslMode::Prefer] {
        let to = PostgresConnection {
            host: "127.0.0.1".to_owned(),
            port,
            user: "u".to_owned(),
            password: None,
            database: "d".to_owned(),
            sslmode,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
        };
        let (session, stream) = outcome(&to).await;
        assert!(matches!(stream, Err(ConnectError::NotPostgres { .. })), "{stream:?}");
        assert!(matches!(session, Err(ConnectError::NotPostgres { .. } | ConnectError::Lost { .. })), "{session:?}");
    }
}

#[tokio::test]
async fn a_unix_socket_leads_in_whatever_sslmode_says() {
    let server = support::server().await;
    let host = server.folder().to_str().unwrap().to_owned();
    gets_in(&PostgresConnection { host, sslmode: SslMode::VerifyFull, ..tcp(&server) }).await;
}

#[tokio::test]
async fn settings_are_pinned_whatever_the_role_has() {
    let server = support::server().await;
    let client = server.connect("postgres").await.unwrap();
    let defaults = "ALTER ROLE postgres SET datestyle = 'German'; ALTER ROLE postgres SET timezone = 'Asia/Tokyo'; \
                    ALTER ROLE postgres SET bytea_output = 'escape'; ALTER ROLE postgres SET extra_float_digits = 0; \
                    ALTER ROLE postgres SET intervalstyle = 'iso_8601'; ALTER ROLE postgres SET search_path = public";
    client.batch_execute(defaults).await.unwrap();
    let client = postgres::connect(&tcp(&server), &Session::source("pelton test")).await.unwrap();
    let sql = "SELECT concat_ws(' ', '2024-05-06 07:08:09+00'::timestamptz, '\\x01'::bytea, 0.1::float4::float8, \
               '1 day'::interval, current_setting('search_path'), current_setting('application_name'), \
               current_setting('row_security'))";
    let row = client.query_one(sql, &[]).await.unwrap();
    let expected = "2024-05-06 07:08:09+00 \\x01 0.10000000149011612 1 day pg_catalog pelton test off";
    assert_eq!(row.get::<_, String>(0), expected);
}

#[tokio::test]
async fn a_running_statement_is_cancelled() {
    let server = support::server().await;
    let client = postgres::connect(&tcp(&server), &Session::user_sql("x")).await.unwrap();
    let token = client.cancel_token();
    let sleeping = tokio::spawn(async move { client.batch_execute("SELECT pg_sleep(600)").await });
    let watcher = server.connect("postgres").await.unwrap();
    let begun = std::time::Instant::now();
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    while watcher.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(begun.elapsed() < support::PATIENCE, "the statement never began");
    }
    postgres::cancel(&tcp(&server), &token).await.unwrap();
    let error = sleeping.await.unwrap().unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014");
}

/// An authority that signs certificates for servers and clients.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Authority { issuer, folder: tempfile::tempdir().unwrap() }
    }

    /// Returns certificate and key.
    fn sign(&self, common_name: &str, names: Vec<SanType>) -> (String, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn root(&self) -> PathBuf {
        self.file("root.pem", &self.issuer.pem())
    }
}

fn with_tls(to: PostgresConnection, sslmode: SslMode, root: Option<&Path>) -> PostgresConnection {
    PostgresConnection { sslmode, sslrootcert: root.map(Path::to_owned), ..to }
}

async fn encrypted(to: &PostgresConnection) -> bool {
    let client = postgres::connect(to, &Session::source("x")).await.unwrap();
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn sslmode_checks_what_libpq_checks() {
    use SslMode::*;
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.sign("db", vec![SanType::DnsName("db.example".try_into().unwrap())]);
    let server = support::server_with(|builder| builder.tls(certificate, key)).await;
    let (right, wrong) = (authority.root(), stranger.root());
    let to = |sslmode, root: Option<&Path>| with_tls(tcp(&server), sslmode, root);

    assert!(!encrypted(&to(Disable, None)).await);
    for works in [to(Prefer, None), to(Require, None), to(Require, Some(&right)), to(VerifyCa, Some(&right))] {
        assert!(encrypted(&works).await, "{:?}", works.sslmode);
        gets_in(&works).await;
    }
    let untrusted = ["is not trusted", "sslrootcert"];
    assert_says(&refusal(&to(Require, Some(&wrong))).await, &untrusted);
    assert_says(&refusal(&to(VerifyCa, Some(&wrong))).await, &untrusted);
    assert_says(&refusal(&to(VerifyCa, None)).await, &untrusted);
    assert_says(&refusal(&to(VerifyFull, Some(&wrong))).await, &untrusted);
    assert_says(&refusal(&to(VerifyFull, Some(&right))).await, &["is for another host", "sslmode=verify-ca"]);
    let absent = Path::new("/nonexistent/root.pem");
    assert_says(&refusal(&to(VerifyCa, Some(absent))).await, &["root certificate", "/nonexistent/root.pem"]);
    let empty = authority.file("empty.pem", "");
    assert_says(&refusal(&to(VerifyCa, Some(&empty))).await, &["empty.pem", "no certificate"]);
}

#[tokio::test]
async fn verify_full_takes_names_and_addresses_of_the_certificate() {
    let authority = Authority::new();
    let names = vec![SanType::IpAddress(Ipv4Addr::LOCALHOST.into()), SanType::DnsName("localhost".try_into().unwrap())];
    let (certificate, key) = authority.sign("db", names);
    let server = support::server_with(|builder| builder.tls(certificate, key)).await;
    let by_address = with_tls(tcp(&server), SslMode::VerifyFull, Some(&authority.root()));
    gets_in(&by_address).await;
    gets_in(&PostgresConnection { host: "localhost".to_owned(), ..by_address }).await;
}

#[tokio::test]
async fn a_certificate_that_is_its_own_authority_can_be_trusted() {
    // As `openssl req -x509` makes it.
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("server.crt");
    std::fs::write(&root, &certificate).unwrap();
    let server = support::server_with(|builder| builder.tls(certificate, key.serialize_pem())).await;
    gets_in(&with_tls(tcp(&server), SslMode::VerifyCa, Some(&root))).await;
    let full = with_tls(tcp(&server), SslMode::VerifyFull, Some(&root));
    assert_says(&refusal(&full).await, &["is for another host"]);
    gets_in(&PostgresConnection { host: "localhost".to_owned(), ..full }).await;
    let stranger = Authority::new();
    assert_says(
        &refusal(&with_tls(tcp(&server), SslMode::VerifyCa, Some(&stranger.root()))).await,
        &["is not trusted"],
    );
}

#[tokio::test]
async fn a_client_certificate_opens_the_door() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("db", Vec::new());
    let server = support::server_with(|builder| {
        builder.tls(certificate, key).client_authority(authority.issuer.pem()).hba("hostssl all all all cert")
    })
    .await;
    let (certificate, key) = authority.sign("postgres", Vec::new());
    let (cert, key) = (authority.file("client.pem", &certificate), authority.file("client.key", &key));
    let without = with_tls(tcp(&server), SslMode::Require, None);
    let with = PostgresConnection { sslcert: Some(cert.clone()), sslkey: Some(key.clone()), ..without.clone() };
    gets_in(&with).await;
    let (session, stream) = outcome(&without).await;
    assert!(session.is_err() && stream.is_err());
    let half = PostgresConnection { sslkey: None, ..with.clone() };
    assert_says(&refusal(&half).await, &["sslkey"]);
    let swapped = PostgresConnection { sslcert: Some(key), sslkey: Some(cert), ..with };
    assert_says(&refusal(&swapped).await, &["client certificate", "client.key"]);
}
