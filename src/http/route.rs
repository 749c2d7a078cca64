//! Which request is answered by what.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::answer::{Answer, Refusal, json as answer};
use super::{Shared, consumers, cursor, read, stream, tell};

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

const PATHS: &str = "there are /, /status, /public-schemas, /read, /stream, /streams, /data-store/cursors, /consumers, \
                     /events/count and /events/before";

async fn route(shared: &Shared, stop: watch::Receiver<bool>, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let path = request.uri().path().to_owned();
    // What tells a load balancer that somebody is here tells nothing else.
    if path == "/" {
        return match *request.method() {
            Method::GET | Method::HEAD => Ok(answer(&json!({ "service": "pelton", "status": "ok" }))),
            _ => Err(Refusal::method("GET")),
        };
    }
    shared.access.check(request.headers())?;
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let parameters: Vec<(String, String)> =
        url::form_urlencoded::parse(query).map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let parameter = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let stores = &shared.stores[..];
    match (path.as_str(), request.method().as_str()) {
        ("/status", "GET") => Ok(tell::status(shared).await),
        ("/public-schemas", "GET") => tell::public_schemas(shared).await,
        ("/streams", "GET") => tell::streams(shared, parameter("manifest")).await,
        ("/data-store/cursors", "GET") => tell::cursors(shared).await,
        ("/read", "GET") => read::read(stores, parameter("cursors"), parameter("limit")).await,
        ("/stream", "GET" | "POST") => {
            let cursors = match request.method() {
                &Method::POST => body(request).await?["cursors"].take(),
                _ => {
                    let hint = "write ?cursors=[…], percent-encoded, or POST {\"cursors\": […]}";
                    let text = parameter("cursors").ok_or_else(|| Refusal::bad("there are no `cursors`", hint))?;
                    serde_json::from_str(text).map_err(|_| Refusal::bad("`cursors` is no JSON", hint))?
                }
            };
            let (horizons, cursors) = (cursor::horizons(&cursors)?, cursor::all(&cursors)?);
            let permit = Arc::clone(&shared.streams).try_acquire_owned();
            let permit = permit.map_err(|_| Refusal::later("there are as many streams as this service opens"))?;
            stream::stream(stores, &cursors, &horizons, permit, stop).await
        }
        ("/consumers", "POST") => consumers::register(stores, &body(request).await?).await,
        ("/consumers", "DELETE") => consumers::forget(stores, parameter("manifest"), parameter("consumer")).await,
        ("/events/count", "POST") => consumers::count(stores, &body(request).await?).await,
        ("/events/before", "POST") => consumers::before(stores, &body(request).await?).await,
        ("/status" | "/public-schemas" | "/streams" | "/data-store/cursors" | "/read", _) => {
            Err(Refusal::method("GET"))
        }
        ("/stream", _) => Err(Refusal::method("GET, POST")),
        ("/consumers", _) => Err(Refusal::method("POST, DELETE")),
        ("/events/count" | "/events/before", _) => Err(Refusal::method("POST")),
        _ => Err(Refusal::absent("there is nothing at this path", PATHS)),
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
