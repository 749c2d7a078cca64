//! Tokens, TLS, and what is refused for want of them.

use std::path::Path;

use super::{BOTH, Services, ask, end, serving};
use crate::events_line::ITEMS;
use crate::support::Pelton;

const TABLES: &[&str] = &["items", "notes"];
const TOKEN: &str = "a-token-that-nobody-guesses";

/// Runs `pelton sync` with arguments that can't be, and returns what it says.
async fn refused(services: &Services, arguments: &[&str], token: Option<&str>) -> String {
    let all = ["sync", "--until-caught-up"].iter().chain(arguments);
    let mut pelton = Pelton::new(all).file("pelton.yaml", services.owner_manifest(TABLES));
    pelton.set("PELTON_HTTP_TOKEN", token);
    pelton.file("empty", "\n").run_code().await
}

impl Pelton {
    async fn run_code(mut self) -> String {
        let status = self.run().await;
        assert_ne!(status.code(), Some(0), "{}", self.stderr());
        self.stderr()
    }
}

#[tokio::test]
async fn what_would_be_open_to_everybody_is_refused() {
    let services = Services::new(ITEMS).await;
    let check = async |arguments: &[&str], token: Option<&str>, said: &str| {
        let told = refused(&services, arguments, token).await;
        assert!(told.contains(said), "{arguments:?}: {told}");
        assert!(!token.is_some_and(|token| told.contains(token)), "{told}");
    };
    check(&["--http", "0.0.0.0:0"], None, "can be reached from elsewhere, and there is no token").await;
    check(&["--http", "0.0.0.0:0"], None, "--http-token-file").await;
    check(&["--http", "[::]:0"], None, "can be reached from elsewhere").await;
    check(&["--hostname", "0.0.0.0", "--api-port", "0"], None, "can be reached from elsewhere").await;
    check(&["--http", "127.0.0.1:0"], Some("short"), "a token of fewer than 16 characters can be guessed").await;
    check(&["--http", "127.0.0.1:0"], Some("with a blank in its middle"), "holds a character that no header can").await;
    check(&["--http", "127.0.0.1:0", "--http-token-file", "gone"], None, "cannot read the token in gone").await;
    check(&["--http", "127.0.0.1:0", "--http-token-file", "empty"], None, "empty holds no token").await;
    check(&["--http", "nowhere"], None, "--http `nowhere` is no address to listen on").await;
    check(&["--http", "127.0.0.1:0", "--http-cert", "empty", "--http-key", "empty"], None, "cannot use empty").await;
    check(&["--http", "127.0.0.1:0", "--http-cert", "empty"], None, "--http-key").await;
    check(&["--http-cert", "empty", "--http-key", "empty"], None, "none is asked for").await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check(&["--http", &address], None, "another program listens there").await;

    let without = services.owner_manifest(TABLES).replace("eventStores:\n  - { connectionSlug: events }\n", "");
    let mut pelton = Pelton::new(["sync", "--http", "127.0.0.1:0"]).file("pelton.yaml", without);
    assert_eq!(pelton.run().await.code(), Some(1));
    assert!(pelton.stderr().contains("no manifest has an event store"), "{}", pelton.stderr());
}

#[tokio::test]
async fn only_those_with_a_token_are_answered() {
    let services = Services::new(ITEMS).await;
    let address = format!("0.0.0.0:{}", services.port);
    let owner = Pelton::new(["sync", "--http", &address, "--http-token-file", "tokens"])
        .file("pelton.yaml", services.owner_manifest(TABLES))
        .file("tokens", format!("# the former one\nanother-token-for-a-while\n{TOKEN}\n"));
    let mut owner = serving(owner).await;
    assert!(owner.stderr().contains("tokens and rows travel without encryption"), "{}", owner.stderr());
    let status = async |path: &str, header: &str| ask(services.port, path, header, "").await;
    // A load balancer may ask whether somebody is there.
    assert_eq!(status("GET /", "").await.status, 200);
    for path in ["GET /status", "GET /read", "GET /streams", "POST /consumers", "GET /nothing"] {
        let answer = status(path, "").await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
        assert!(answer.body.contains("asks for a token"), "{}", answer.body);
        assert_eq!(status(path, "Authorization: Bearer wrong-token-altogether\r\n").await.status, 401, "{path}");
    }
    for token in [TOKEN, "another-token-for-a-while"] {
        assert_eq!(status("GET /status", &format!("Authorization: Bearer {token}\r\n")).await.status, 200);
    }

    // A consumer says what it lacks, and stops; with the token it goes on.
    let service = services.service();
    let manifest = |token: &str| services.consumer_manifest(BOTH, &service.replace(" }", &format!("{token} }}")));
    for (token, said) in
        [("", "it asks for one"), (", token: wrong-token-altogether", "write the token that the owner has")]
    {
        let mut consumer = Pelton::new(["sync"]).file("pelton.yaml", manifest(token));
        assert_eq!(consumer.run().await.code(), Some(1), "{}", consumer.stderr());
        let told = consumer.stderr();
        assert!(told.contains("refuses the token") && told.contains(said), "{told}");
        assert!(!told.contains("wrong-token-altogether"), "{told}");
    }
    services.events.wait_until("to_regclass('rejot_events.events') IS NOT NULL").await;
    services.events.wait_until("(SELECT count(*) FROM rejot_events.events) = 1000").await;
    let mut consumer = Pelton::new(["sync", "--until-caught-up"])
        .file(
            "pelton.yaml",
            services.consumer_manifest(&BOTH[..1], &service.replace(" }", ", token: { file: token } }")),
        )
        .file("token", format!("{TOKEN}\n"));
    assert_eq!(consumer.run().await.code(), Some(0), "{}", consumer.stderr());
    services.assert_equal("items").await;
    // From the environment, in a file of its own.
    services.destination.execute("DROP TABLE items").await;
    let mut consumer = Pelton::new(["consumers", "list"])
        .file("pelton.yaml", services.consumer_manifest(&BOTH[..1], &service))
        .file("token", TOKEN)
        .env("PELTON_SYNC_SERVICE_SHOP_TOKEN_FILE", "token");
    assert_eq!(consumer.run().await.code(), Some(0), "{}", consumer.stderr());
    end(&mut owner).await;
}

/// Makes a certificate for this machine and its key, signed by itself.
fn certificate(name: &str) -> (String, String) {
    let signed = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate can be made");
    (signed.cert.pem(), signed.signing_key.serialize_pem())
}

#[tokio::test]
async fn a_service_speaks_tls_and_is_known_by_its_certificate() {
    let services = Services::new(ITEMS).await;
    let (cert, key) = certificate("localhost");
    let address = format!("127.0.0.1:{}", services.port);
    let owner = Pelton::new(["sync", "--http", &address, "--http-cert", "cert.pem", "--http-key", "key.pem"])
        .file("pelton.yaml", services.owner_manifest(TABLES))
        .file("cert.pem", &cert)
        .file("key.pem", &key)
        .env("PELTON_HTTP_TOKEN", TOKEN);
    let mut owner = serving(owner).await;
    assert!(owner.stderr().contains("https://"), "{}", owner.stderr());
    services.events.wait_until("to_regclass('rejot_events.events') IS NOT NULL").await;
    services.events.wait_until("(SELECT count(*) FROM rejot_events.events) = 1000").await;
    let consumer = |host: &str, more: &str, root: &str| {
        let url = format!("{host}:{}", services.port);
        let service = format!("syncServices:\n  - {{ manifestSlug: shop, url: \"{url}\", token: {TOKEN}{more} }}\n");
        Pelton::new(["sync", "--until-caught-up"])
            .file("pelton.yaml", services.consumer_manifest(&BOTH[..1], &service))
            .file("root.pem", root)
    };
    let mut good = consumer("https://localhost", ", sslrootcert: root.pem", &cert);
    assert_eq!(good.run().await.code(), Some(0), "{}", good.stderr());
    services.assert_equal("items").await;

    let other = certificate("localhost").0;
    for (host, more, root, said) in [
        ("https://localhost", "", &*cert, "can't be trusted"),
        ("https://localhost", ", sslrootcert: root.pem", &*other, "can't be trusted"),
        ("https://127.0.0.1", ", sslrootcert: root.pem", &*cert, "can't be trusted"),
        ("https://localhost", ", sslrootcert: gone.pem", &*cert, "cannot use the certificates"),
    ] {
        let mut wrong = consumer(host, more, root);
        assert_eq!(wrong.run().await.code(), Some(1), "{}", wrong.stderr());
        assert!(wrong.stderr().contains(said), "{host}{more}: {}", wrong.stderr());
    }
    // Without TLS a token is not sent twice to somebody who does not answer in HTTP.
    let mut plain = consumer("http://localhost", "", &cert);
    plain.start();
    plain.says("trying again").await;
    plain.kill().await;
    // What is renewed is taken up by the next start as by the running service within a minute.
    assert!(Path::new(&owner.folder().join("cert.pem")).exists());
    end(&mut owner).await;
}
