//! Wrong commands and wrong manifests: nothing here reaches a database.

use super::{Flow, fails};
use crate::support::Pelton;

#[tokio::test]
async fn wrong_usage_is_exit_code_2_with_what_was_meant() {
    fails(&mut Pelton::new(["synk"]), 2, &["'synk'", "'sync'"]).await;
    fails(&mut Pelton::new(["sync", "--until-cought-up"]), 2, &["'--until-cought-up'", "'--until-caught-up'"]).await;
    fails(&mut Pelton::new(["check", "--log-format", "xml"]), 2, &["'xml'", "json"]).await;
}

#[tokio::test]
async fn a_manifest_that_is_not_there_is_named_with_the_way_to_one() {
    for command in ["check", "sync", "status"] {
        fails(&mut Pelton::new([command]), 1, &["no manifest in this folder", "pelton.yaml", "`pelton init`"]).await;
        let parts = ["cannot read the manifest shop.yaml", "No such file", "`pelton init shop.yaml`"];
        fails(&mut Pelton::new([command, "shop.yaml"]), 1, &parts).await;
    }
}

#[tokio::test]
async fn what_is_wrong_in_a_manifest_is_said_with_its_place() {
    let good = Flow::nowhere().yaml();
    let unset = "connections[0].config.url";
    let cases: [(String, &[&str]); 6] = [
        (good.replace("slug: shop\n", "slug: [shop\n"), &["pelton.yaml:2:", "not valid YAML", "brackets"]),
        (
            good.replace("slotName", "slotNam"),
            &["pelton.yaml:8:", "unknown field `slotNam`", "did you mean `slotName`?"],
        ),
        (good.replace("dataStoreSlug: shop", "dataStoreSlug: shap"), &["pelton.yaml:13:", "`shap`", "`shop`"]),
        (good.replace("127.0.0.1", "${PELTON_NO_SUCH_HOST}"), &[unset, "`PELTON_NO_SUCH_HOST` is not set", "set it"]),
        (String::new(), &["pelton.yaml:1:1", "the manifest is empty", "`pelton init`"]),
        ("\0\u{1}".to_owned(), &["pelton.yaml:1:1: error"]),
    ];
    for (manifest, parts) in &cases {
        for command in ["check", "sync", "status"] {
            fails(&mut Pelton::new([command]).file("pelton.yaml", manifest), 1, parts).await;
        }
    }
}

#[tokio::test]
async fn all_problems_of_all_manifests_come_at_once() {
    let good = Flow::nowhere().yaml();
    let bad = good.replace("slotName", "slotNam").replace("createTable", "creatTable");
    let mut sync = Pelton::new(["sync", "good.yaml", "bad.yaml", "gone.yaml"]);
    sync = sync.file("good.yaml", &good).file("bad.yaml", bad);
    fails(&mut sync, 1, &["`slotNam`", "`creatTable`", "2 errors", "cannot read the manifest gone.yaml"]).await;
    assert!(!sync.stderr().contains("stream"), "nothing runs while something is wrong");
}

#[tokio::test]
async fn manifests_that_take_from_each_other_are_refused_before_anything_runs() {
    let good = Flow::nowhere().yaml();
    for command in ["check", "sync"] {
        let mut both = Pelton::new([command, "a.yaml", "b.yaml"]).file("a.yaml", &good).file("b.yaml", &good);
        let parts = ["b.yaml:1:1: error: the slug `shop` is that of a.yaml too", "slot `shop`", "table `public.t`"];
        fails(&mut both, 1, &parts).await;
        // The same one twice would wait for itself.
        fails(&mut Flow::nowhere().pelton([command, "pelton.yaml", "pelton.yaml"]), 1, &["the slug `shop`"]).await;
    }
}

#[tokio::test]
async fn a_wrong_log_filter_is_said() {
    let mut check = Flow::nowhere().pelton(["check"]).env("PELTON_LOG", "a=b=c");
    fails(&mut check, 1, &["PELTON_LOG=a=b=c", "PELTON_LOG=debug"]).await;
}
