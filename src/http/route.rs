//! Which request is answered by what.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::answer::{Answer, Refusal, json as answer};
use super::{Shared, consumers, read, stream, tell};

/// How each path is asked.
const ROUTES: &[(&str, &[&str])] = &[
    ("/", &["GET"]),
    ("/status", &["GET"]),
    ("/public-schemas", &["GET"]),
    ("/data-store/cursors", &["GET"]),
    ("/read", &["GET"]),
    ("/stream", &["GET", "POST"]),
    ("/streams", &["GET"]),
    ("/consumers", &["POST", "DELETE"]),
    ("/events/count", &["POST"]),
    ("/events/before", &["POST"]),
];
/// The largest body of a request.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long a request may take, but for streams.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers a request.
pub async fn request(shared: Arc<Shared>, stop: watch::Receiver<bool>, request: Request<Incoming>) -> Answer {
    let answered = tokio::time::timeout(REQUEST_TIMEOUT, route(&shared, stop, request)).await;
    let late = || Err(Refusal::later("the event store takes too long"));
    answered.unwrap_or_else(|_| late()).unwrap_or_else(Refusal::answer)
}

/// Tells that somebody is there, and what can be asked: that is secret to nobody.
fn index() -> Answer {
    let routes = ROUTES.iter().flat_map(|(path, methods)| methods.iter().map(move |method| (path, method)));
    let routes: Value = routes.map(|(path, method)| json!({ "method": method, "path": path })).collect();
    answer(&json!({ "health": "ok", "service": "pelton", "routes": routes }))
}

async fn route(shared: &Shared, stop: watch::Receiver<bool>, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let known = ROUTES.iter().find(|(known, _)| *known == path);
    if path == "/" && [Method::GET, Method::HEAD].contains(&method) {
        return Ok(index());
    }
    // A load balancer may ask whether somebody is here, and nothing else.
    if path != "/" {
        shared.access.check(request.headers())?;
    }
    let Some((_, methods)) = known else {
        let paths: Vec<&str> = ROUTES.iter().map(|(path, _)| *path).collect();
        return Err(Refusal::absent("there is nothing at this path", format!("there are {}", paths.join(", "))));
    };
    if !methods.contains(&method.as_str()) {
        return Err(Refusal::method(&methods.join(", ")));
    }
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let parameters: Vec<(String, String)> =
        url::form_urlencoded::parse(query).map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let parameter = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let stores = &shared.stores[..];
    match (path.as_str(), method.as_str()) {
        ("/status", _) => Ok(tell::status(shared).await),
        ("/public-schemas", _) => tell::public_schemas(shared).await,
        ("/streams", _) => tell::streams(shared, parameter("manifest")).await,
        ("/data-store/cursors", _) => tell::cursors(shared).await,
        ("/read", _) => {
            let [cursors, limit, truncates] = ["cursors", "limit", "truncates"].map(parameter);
            read::read(stores, read::Asked { cursors, limit, truncates }).await
        }
        ("/stream", _) => {
            let asked = match method {
                Method::POST => {
                    let body = body(request).await?;
                    stream::Asked::read(&body["cursors"], &body)?
                }
                _ => {
                    let hint = "write ?cursors=[…], percent-encoded, or POST {\"cursors\": […]}";
                    let text = parameter("cursors").ok_or_else(|| Refusal::bad("there are no `cursors`", hint))?;
                    let cursors: Value =
                        serde_json::from_str(text).map_err(|_| Refusal::bad("`cursors` is no JSON", hint))?;
                    stream::Asked::read(&cursors, &Value::Null)?
                }
            };
            let turn = shared.turns.take().await?;
            stream::stream(stores, asked, turn, stop).await
        }
        ("/consumers", "POST") => consumers::register(stores, &body(request).await?).await,
        ("/consumers", _) => {
            let [manifest, destination, consumer] = ["manifest", "destination", "consumer"].map(parameter);
            consumers::forget(stores, manifest, destination, consumer).await
        }
        ("/events/count", _) => consumers::count(stores, &body(request).await?).await,
        _ => consumers::before(stores, &body(request).await?).await,
    }
}

/// Reads the JSON of a request.
async fn body(request: Request<Incoming>) -> Result<Value, Refusal> {
    let read = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await.map_err(|error| {
        match error.is::<http_body_util::LengthLimitError>() {
            true => {
                let what = format!("the body is larger than {BODY_BYTES_MAX} bytes");
                Refusal::new(hyper::StatusCode::PAYLOAD_TOO_LARGE, what, "ask for less at a time")
            }
            false => Refusal::bad("the body broke off", "send all of it"),
        }
    })?;
    let hint = "GET /public-schemas tells what is published";
    serde_json::from_slice(&read.to_bytes()).map_err(|_| Refusal::bad("the body is no JSON", hint))
}
