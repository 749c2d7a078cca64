//! Another manifest's `pelton sync --http`, as whoever reads from it sees it.
//!
//! ```text
//! mod       what can be asked
//!   connect bytes, with TLS; HTTP over them
//!   lines   events as they come
//!   error   what can go wrong, whether it passes, what to do
//! ```
//!
//! What a service tells is what its event store has: streams, their shapes, events with their positions ([`Line`]). So a
//! consumer's cursor means the same whether it reads from the event store or from a service. The service's part is `http`.
//!
//! [`Line`]: crate::eventstore::Line

mod connect;
mod error;
mod lines;

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::change::Position;
use crate::eventstore::{Asked, Deployment, Registered, Shape, Stream};
use crate::manifest::SyncService;

pub use error::ServiceError;
pub use lines::Lines;

/// How long an answer may take, but for events, which have no end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer: what a store says of its streams.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// What is told of a refusal.
const SAID_MAX: usize = 1000;

/// A service that can be asked.
pub struct Service {
    address: SyncService,
    /// A connection that is free, after the first request.
    idle: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

/// A stream, as it was when its reader was registered or before, and the position behind which it is read.
#[derive(Clone, Debug)]
pub struct Behind {
    pub stream: Stream,
    pub after: Position,
}

/// Returns the name by which messages call the service of a manifest.
pub fn name(manifest: &str) -> String {
    format!("service of {manifest}")
}

impl Service {
    /// A service at an address; nothing is connected yet.
    pub fn new(address: SyncService) -> Service {
        Service { address, idle: Mutex::new(None) }
    }

    /// Returns what the manifest has published there, with the shapes of each, the newest first. Ids count from 0, in the
    /// order of the answer.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn streams(&self) -> Result<(Vec<Stream>, Vec<Shape>), ServiceError> {
        let path = format!("/streams?manifest={}", encoded(&self.address.manifest));
        let answer = self.ask(Method::GET, &path, None).await?;
        self.read_streams(&answer).ok_or_else(|| ServiceError::NotPelton { url: self.url() })
    }

    fn read_streams(&self, answer: &Value) -> Option<(Vec<Stream>, Vec<Shape>)> {
        let (mut streams, mut shapes) = (Vec::new(), Vec::new());
        for (id, one) in answer["streams"].as_array()?.iter().enumerate() {
            let id = i32::try_from(id).ok()?;
            let name = one["publicSchema"].as_str()?;
            let major = one["majorVersion"].as_u64()?.try_into().ok()?;
            let of_stream = one["shapes"].as_array()?.iter();
            let of_stream: Vec<Shape> =
                of_stream.map(|shape| Shape::of_document(shape, id, name, major)).collect::<Option<_>>()?;
            streams.push(Stream {
                id,
                manifest: one["manifest"].as_str()?.to_owned(),
                source: one["source"].as_str()?.to_owned(),
                public_schema: name.to_owned(),
                major: major.try_into().ok()?,
                shape: of_stream.first().map_or(0, |shape| shape.id),
                from_component: of_stream.iter().any(|shape| shape.component_digest.is_some()),
                last: one["last"].as_str()?.parse().ok()?,
                origin: one["origin"].as_str()?.to_owned(),
                path: Vec::new(),
                horizon: one["horizon"].as_str()?.parse().ok()?,
                merged: one["merged"].as_bool()?,
            });
            shapes.extend(of_stream);
        }
        Some((streams, shapes))
    }

    /// Counts the events behind a position, up to a limit.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn count(&self, behind: &Behind, limit: i64) -> Result<i64, ServiceError> {
        let body = json!({ "cursor": cursor(behind), "limit": limit });
        let answer = self.ask(Method::POST, "/events/count", Some(body)).await?;
        answer["count"].as_i64().ok_or_else(|| ServiceError::NotPelton { url: self.url() })
    }

    /// Returns the position in front of the first event that was committed at a time, in any form that Postgres reads, or
    /// later; `None` when there is no such event.
    ///
    /// # Errors
    /// It is no time (400), or see [`ServiceError`].
    pub async fn before(&self, stream: &Stream, time: &str) -> Result<Option<Position>, ServiceError> {
        let behind = Behind { stream: stream.clone(), after: Position::START };
        let body = json!({ "cursor": cursor(&behind), "time": time });
        let answer = self.ask(Method::POST, "/events/before", Some(body)).await?;
        match &answer["position"] {
            Value::Null => Ok(None),
            position => {
                let position = position.as_str().and_then(|text| text.parse().ok());
                position.map(Some).ok_or_else(|| ServiceError::NotPelton { url: self.url() })
            }
        }
    }

    /// Tells how far consumers are, so that nothing is removed that they have not read. Returns of each whether events behind
    /// its cursor are gone already, or why it is refused.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn register(
        &self,
        of: Deployment<'_>,
        consumers: &[Registered<'_>],
    ) -> Result<Vec<(String, Result<bool, ServiceError>)>, ServiceError> {
        let one = |one: &Registered<'_>| {
            json!({
                "consumer": one.consumer,
                "sourceManifest": one.source_manifest,
                "publicSchema": one.public_schema,
                "majorVersion": one.major,
                "cursor": one.cursor.to_string(),
                "origin": one.origin,
            })
        };
        let all: Value = consumers.iter().map(one).collect();
        let body = json!({ "manifest": of.manifest, "destination": told_or_null(of.destination), "consumers": all });
        let answer = self.ask(Method::POST, "/consumers", Some(body)).await?;
        let not_ours = || ServiceError::NotPelton { url: self.url() };
        let missed = answer["missed"].as_array().ok_or_else(not_ours)?;
        let refused = answer["refused"].as_array().ok_or_else(not_ours)?;
        let heard = |one: &Registered<'_>| match refused.iter().find(|refusal| refusal["consumer"] == one.consumer) {
            None => Ok(missed.iter().any(|name| name == one.consumer)),
            Some(refusal) => Err(ServiceError::Refused {
                url: self.url(),
                status: refusal["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or(409),
                said: text(refusal, "error").unwrap_or_default(),
                hint: text(refusal, "hint"),
            }),
        };
        Ok(consumers.iter().map(|one| (one.consumer.to_owned(), heard(one))).collect())
    }

    /// Has a consumer forgotten. Returns false when it was not known.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn forget(&self, of: Deployment<'_>, consumer: &str) -> Result<bool, ServiceError> {
        let [manifest, destination, consumer] = [of.manifest, of.destination, consumer].map(encoded);
        let path = format!("/consumers?manifest={manifest}&destination={destination}&consumer={consumer}");
        let answer = self.ask(Method::DELETE, &path, None).await?;
        Ok(answer["forgotten"].as_bool().unwrap_or(false))
    }

    /// Opens the events of streams, in the order of their source, for as long as somebody reads them. `inside` is the last event
    /// that was read of a transaction of which more may come.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn events(&self, wanted: &[Behind], inside: Option<Position>) -> Result<Lines, ServiceError> {
        let cursors: Value = wanted.iter().map(cursor).collect();
        let body = json!({ "cursors": cursors, "inside": inside.map(|position| position.to_string()) });
        // A connection of its own: it is in use until the end.
        let mut sender = connect::open(&self.address).await?;
        let request = self.request(Method::POST, "/stream", Some(body))?;
        let answer = self.answer(sender.send_request(request)).await?;
        let asked = wanted.iter().map(|one| Asked {
            id: one.stream.id,
            public_schema: one.stream.public_schema.clone(),
            major: one.stream.major as u32,
        });
        Ok(Lines::new(self.url(), answer.into_body(), asked.collect()))
    }

    fn url(&self) -> String {
        self.address.url.to_string()
    }

    /// Sends a request over a connection that may be used before, and reads its answer.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, ServiceError> {
        let mut idle = self.idle.lock().await;
        let mut sender = match idle.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => connect::open(&self.address).await?,
        };
        let asked = async |sender: &mut SendRequest<Full<Bytes>>| {
            let request = self.request(method.clone(), path, body.clone())?;
            let answer = self.answer(sender.send_request(request)).await?;
            self.body(answer.into_body()).await
        };
        let mut answer = asked(&mut sender).await;
        // The service may have closed a connection on which nothing was said for long. All that is asked can be asked twice.
        if matches!(answer, Err(ServiceError::Lost { .. })) {
            sender = connect::open(&self.address).await?;
            answer = asked(&mut sender).await;
        }
        let answer = answer?;
        *idle = Some(sender);
        Ok(answer)
    }

    fn request(&self, method: Method, path: &str, body: Option<Value>) -> Result<Request<Full<Bytes>>, ServiceError> {
        let url = &self.address.url;
        let uri = format!("{}{path}", url.prefix);
        let mut request = Request::builder().method(method).uri(uri).header(HOST, url.authority());
        if let Some(token) = &self.address.token {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()));
            let mut value = value.map_err(|_| ServiceError::BadToken { url: self.url() })?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        // A prefix that stands in a URL may still be none for a request.
        request.body(Full::new(body)).map_err(|_| ServiceError::NotPelton { url: self.url() })
    }

    /// Waits for the head of an answer, and reads all of it where it is a refusal.
    async fn answer(
        &self,
        sending: impl Future<Output = hyper::Result<Response<Incoming>>>,
    ) -> Result<Response<Incoming>, ServiceError> {
        let url = || self.url();
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, sending).await;
        let answer = answer.map_err(|_| ServiceError::TimedOut { url: url(), after: ANSWER_TIMEOUT })?;
        let answer = answer.map_err(|source| ServiceError::Lost { url: url(), source })?;
        match answer.status() {
            StatusCode::OK => Ok(answer),
            StatusCode::UNAUTHORIZED => Err(ServiceError::Token { url: url(), given: self.address.token.is_some() }),
            status => {
                let said = self.body(answer.into_body()).await.unwrap_or_default();
                let hint = text(&said, "hint");
                Err(match text(&said, "error") {
                    Some(said) if status == StatusCode::GONE => ServiceError::Gone { url: url(), said, hint },
                    Some(said) => ServiceError::Refused { url: url(), status: status.as_u16(), said, hint },
                    // Something in front of a service answers for it while it is away.
                    None if status != StatusCode::OK && status != StatusCode::FORBIDDEN => {
                        let said = status.canonical_reason().unwrap_or("an error").to_owned();
                        ServiceError::Refused { url: url(), status: status.as_u16(), said, hint: None }
                    }
                    None => ServiceError::NotPelton { url: url() },
                })
            }
        }
    }

    async fn body(&self, body: Incoming) -> Result<Value, ServiceError> {
        let url = || self.url();
        let reading = Limited::new(body, ANSWER_BYTES_MAX).collect();
        let read = tokio::time::timeout(ANSWER_TIMEOUT, reading).await;
        let read = read.map_err(|_| ServiceError::TimedOut { url: url(), after: ANSWER_TIMEOUT })?;
        let read = read.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(source) => ServiceError::Lost { url: url(), source: *source },
            Err(_) => ServiceError::NotPelton { url: url() },
        })?;
        serde_json::from_slice(&read.to_bytes()).map_err(|_| ServiceError::NotPelton { url: url() })
    }
}

/// Returns what a service says, fit for a terminal.
fn text(said: &Value, name: &str) -> Option<String> {
    let printable = said[name].as_str()?.chars().filter(|c| !c.is_control());
    Some(printable.take(SAID_MAX).collect())
}

fn told_or_null(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// A cursor as ReJot writes it, with the stream that it is of.
fn cursor(behind: &Behind) -> Value {
    let Behind { stream, after } = behind;
    json!({
        "schema": {
            "manifest": { "slug": stream.manifest },
            "schema": { "name": stream.public_schema, "version": { "major": stream.major } },
        },
        "transactionId": after.to_string(),
        "origin": told_or_null(&stream.origin),
        "horizon": stream.horizon.to_string(),
    })
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
