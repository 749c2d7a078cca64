//! What the doctor says of services.

use super::{BOTH, Services, end, serving};
use crate::events_line::ITEMS;
use crate::support::Pelton;

/// The doctor's findings about services, as `severity rule what → mend`.
async fn findings(manifest: &str) -> Vec<String> {
    let mut pelton = Pelton::new(["doctor", "--json"]).file("pelton.yaml", manifest);
    pelton.run().await;
    let said: serde_json::Value =
        serde_json::from_str(&pelton.stdout()).unwrap_or_else(|_| panic!("{}", pelton.stderr()));
    let items = said["findings"].as_array().expect("a list").iter();
    let of_services = items.filter(|item| item["rule"].as_str().is_some_and(|rule| rule.starts_with("service")));
    let text = |item: &serde_json::Value| {
        let word = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
        let mend = item["mends"][0]["step"].as_str().unwrap_or_default();
        format!("{} {} {} → {mend}", word("severity"), word("rule"), word("what"))
    };
    of_services.map(text).collect()
}

#[tokio::test]
async fn the_doctor_looks_at_services() {
    let services = Services::new(ITEMS).await;
    let manifest = services.consumer_manifest(BOTH, &services.service());
    let found = findings(&manifest).await;
    assert!(found.len() == 1 && found[0].contains("error service") && found[0].contains("cannot reach"), "{found:?}");
    assert!(found[0].contains("is the owner's `pelton sync --http` running"), "{found:?}");

    services.publish(&["items", "notes"]).await;
    let mut owner =
        serving(services.owner(&["items", "notes"]).env("PELTON_HTTP_TOKEN", "a-token-that-nobody-guesses")).await;
    let found = findings(&manifest).await;
    assert!(found.len() == 1 && found[0].contains("refuses the token"), "{found:?}");

    let token = ", token: a-token-that-nobody-guesses }";
    let service = services.service().replace(" }", token);
    assert_eq!(findings(&services.consumer_manifest(BOTH, &service)).await, [""; 0]);
    let found = findings(&services.consumer_manifest(&[("one", "itemz", "one")], &service)).await;
    assert_eq!(
        found,
        ["error service-public-schema it has no `itemz@1`, which consumer `one` reads → did you mean `items@1`?"]
    );
    let found = findings(
        &manifest.replace("shop", "shopp").replace(" }\nconsumerSchemas", &format!("{token}\nconsumerSchemas")),
    )
    .await;
    assert!(found[0].contains("nothing of manifest `shopp` → did you mean `shop`?"), "{found:?}");
    end(&mut owner).await;
}
