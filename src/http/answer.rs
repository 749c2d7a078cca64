//! What is answered: JSON in one piece, or lines as they come; and what is refused, with why and what to do.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// An answer.
pub type Answer = Response<Contents>;

/// What an answer holds.
pub enum Contents {
    Whole(Option<Bytes>),
    /// Pieces until nobody sends any more; whoever sends them waits while the peer does not read.
    Lines(mpsc::Receiver<Bytes>),
}

impl Body for Contents {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Contents::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Contents::Lines(pieces) => pieces.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Contents::Whole(None))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Contents::Whole(bytes) => hyper::body::SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Contents::Lines(_) => hyper::body::SizeHint::default(),
        }
    }
}

/// Why a request is refused. It is told to whoever asked, so nothing in it may be secret.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    what: String,
    hint: Option<String>,
    /// Such as `Retry-After: 1`.
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub fn new(status: StatusCode, what: impl Into<String>, hint: impl Into<String>) -> Refusal {
        Refusal { status, what: what.into(), hint: Some(hint.into()), header: None }
    }

    /// The request is wrong.
    pub fn bad(what: impl Into<String>, hint: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, what, hint)
    }

    /// There is no such thing.
    pub fn absent(what: impl Into<String>, hint: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, what, hint)
    }

    /// It contradicts what there is.
    pub fn conflict(what: impl Into<String>, hint: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::CONFLICT, what, hint)
    }

    /// It was there, and is not any more.
    pub fn gone(what: impl Into<String>, hint: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::GONE, what, hint)
    }

    /// Others have what is asked for; their turn ends.
    pub fn busy(what: impl Into<String>) -> Refusal {
        Refusal { status: StatusCode::TOO_MANY_REQUESTS, ..Refusal::later(what) }
    }

    /// Returns it as a part of an answer about several things.
    pub fn document(&self) -> Value {
        json!({ "status": self.status.as_u16(), "error": self.what, "hint": self.hint })
    }

    /// It can't be answered now.
    pub fn later(what: impl Into<String>) -> Refusal {
        let header = Some((hyper::header::RETRY_AFTER, HeaderValue::from_static("1")));
        Refusal { status: StatusCode::SERVICE_UNAVAILABLE, what: what.into(), hint: None, header }
    }

    /// Nobody knows who asks.
    pub fn token(what: &str) -> Refusal {
        let header = Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        let hint = "send `Authorization: Bearer TOKEN`, with the token of --http-token-file or PELTON_HTTP_TOKEN";
        Refusal { header, ..Refusal::new(StatusCode::UNAUTHORIZED, what, hint) }
    }

    /// A path is asked in a way that it does not know.
    pub fn method(allowed: &str) -> Refusal {
        let header = HeaderValue::from_str(allowed).ok().map(|allowed| (hyper::header::ALLOW, allowed));
        let what = "this path is not asked that way";
        Refusal { header, ..Refusal::new(StatusCode::METHOD_NOT_ALLOWED, what, format!("it takes {allowed}")) }
    }

    /// Returns it as an answer: a document with `error`, and `hint` where something can be done.
    pub fn answer(self) -> Answer {
        let mut answer = with_status(self.status, &json!({ "error": self.what, "hint": self.hint }));
        if let Some((name, value)) = self.header {
            answer.headers_mut().insert(name, value);
        }
        answer
    }
}

/// Answers with JSON.
pub fn json(value: &Value) -> Answer {
    with_status(StatusCode::OK, value)
}

/// Answers with JSON and a status.
pub fn with_status(status: StatusCode, value: &Value) -> Answer {
    let mut text = value.to_string();
    text.push('\n');
    answer(status, "application/json", Contents::Whole(Some(text.into())))
}

/// Answers with lines of JSON, one by one.
pub fn lines(pieces: mpsc::Receiver<Bytes>) -> Answer {
    let mut answer = answer(StatusCode::OK, "application/x-ndjson", Contents::Lines(pieces));
    // A proxy that collects what it passes on would hold events back.
    answer.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    answer
}

fn answer(status: StatusCode, kind: &'static str, contents: Contents) -> Answer {
    let mut answer = Response::new(contents);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Answers with JSON that is there already.
pub fn raw_json(value: &serde_json::value::RawValue) -> Answer {
    let text = format!("{}\n", value.get());
    answer(StatusCode::OK, "application/json", Contents::Whole(Some(text.into())))
}
