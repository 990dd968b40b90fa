//! One gRPC call over a unix socket: as much of gRPC as a question with one answer needs.
//!
//! Every call has a connection of its own. That costs a fraction of a millisecond, and nothing has to be
//! kept, watched or mended while nobody asks and when the other side restarts.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper::header::{CONTENT_TYPE, HeaderMap, TE};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

/// A longer answer is refused; the kubelet's own clients have the same limit.
const MAX_ANSWER: usize = 16 << 20;
/// What goes before a message: whether it is compressed, and its length.
const HEAD: usize = 5;
/// `RESOURCE_EXHAUSTED`: asked too often.
const EXHAUSTED: u16 = 8;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// Nobody listens.
    #[error("nobody listens there: {}", absence(.0))]
    Absent(#[source] std::io::Error),
    /// The connection broke, or what is said on it is no HTTP/2.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The other side said no.
    #[error("{message} (gRPC status {code})")]
    Refused {
        /// The status.
        code: u16,
        /// What it says.
        message: String,
    },
    /// What it said is no answer.
    #[error("the answer is not understood: {0}")]
    Unreadable(String),
}

impl GrpcError {
    /// Whether the call was one too many and can be made again a little later.
    pub fn is_exhausted(&self) -> bool {
        matches!(self, GrpcError::Refused { code: EXHAUSTED, .. })
    }
}

/// Calls `method` (`/package.Service/Method`) of whoever listens on `socket`, who is told that nobody
/// listens any more after `patience`; to stop then is the caller's.
///
/// # Errors
/// There is no answer.
pub async fn call<A: Message + Default>(
    socket: &Path,
    method: &str,
    question: &impl Message,
    patience: Duration,
) -> Result<A, GrpcError> {
    let broken = |e: hyper::Error| GrpcError::Broken(innermost(&e));
    let stream = UnixStream::connect(socket).await.map_err(GrpcError::Absent)?;
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(broken)?;
    // It ends with this call, also when that is given up half way.
    let mut driving = JoinSet::new();
    driving.spawn(connection);
    let request = Request::post(format!("http://localhost{method}"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header("grpc-timeout", format!("{}m", patience.as_millis()))
        .body(Full::new(framed(question)))
        .map_err(|e| GrpcError::Unreadable(e.to_string()))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    read(response).await
}

async fn read<A: Message + Default>(response: Response<hyper::body::Incoming>) -> Result<A, GrpcError> {
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        return Err(GrpcError::Broken(format!("HTTP status {}", head.status)));
    }
    let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|e| GrpcError::Broken(innermost(&*e)))?;
    // The status comes after the answer, or in the head where there is no answer.
    status(body.trailers().filter(|trailers| trailers.contains_key("grpc-status")).unwrap_or(&head.headers))?;
    unframed(&body.to_bytes())
}

fn status(headers: &HeaderMap) -> Result<(), GrpcError> {
    let text = |key: &str| headers.get(key).and_then(|value| value.to_str().ok());
    match text("grpc-status").and_then(|code| code.parse().ok()) {
        Some(0) => Ok(()),
        Some(code) => Err(GrpcError::Refused { code, message: text("grpc-message").unwrap_or("refused").to_owned() }),
        None => Err(GrpcError::Unreadable("it has no gRPC status".to_owned())),
    }
}

fn framed(message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], &length[..], &body].concat().into()
}

/// The one message in the `body` of an answer.
///
/// # Errors
/// It is none, or more than one.
pub fn unframed<A: Message + Default>(body: &[u8]) -> Result<A, GrpcError> {
    let Some((&[compressed, a, b, c, d], message)) = body.split_first_chunk::<HEAD>() else {
        return Err(GrpcError::Unreadable(format!("{} bytes are not a message", body.len())));
    };
    let length = u32::from_be_bytes([a, b, c, d]);
    if compressed != 0 || usize::try_from(length) != Ok(message.len()) {
        return Err(GrpcError::Unreadable("it is not one message without compression".to_owned()));
    }
    A::decode(message).map_err(|e| GrpcError::Unreadable(e.to_string()))
}

/// Why nobody listens. The system's own words for a missing file are taken for success in answers to DEL.
fn absence(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no socket".to_owned(),
        _ => error.to_string(),
    }
}

/// What went wrong, without what wraps it.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_are_written() {
        assert_eq!(unframed::<String>(&framed(&"abc".to_owned())).unwrap(), "abc");
        assert_eq!(&framed(&"abc".to_owned())[..HEAD], [0, 0, 0, 0, 5]);
        for bad in [&[0, 0, 0, 0][..], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 0], &[0, 0, 0, 0, 1, 0xff]]
        {
            assert!(matches!(unframed::<String>(bad), Err(GrpcError::Unreadable(_))), "{bad:?}");
        }
    }

    #[test]
    fn only_status_zero_is_an_answer() {
        let with = |pairs: &[(&'static str, &str)]| {
            pairs.iter().map(|(key, value)| (key.parse().unwrap(), value.parse().unwrap())).collect()
        };
        assert!(status(&with(&[("grpc-status", "0")])).is_ok());
        let refused = status(&with(&[("grpc-status", "8"), ("grpc-message", "rejected by rate limit")])).unwrap_err();
        assert!(refused.is_exhausted());
        assert_eq!(refused.to_string(), "rejected by rate limit (gRPC status 8)");
        assert!(!status(&with(&[("grpc-status", "2")])).unwrap_err().is_exhausted());
        assert!(status(&with(&[])).is_err());
    }
}
