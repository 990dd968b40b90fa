//! Who may scrape: the API server decides, and is asked as rarely as can be.

use super::answer::{TEXT, response};
use crate::cluster::{Kubernetes, Permission};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Response, StatusCode};
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer of the API server counts: whoever loses a permission is refused after that.
const GRANTED_FOR: Duration = Duration::from_secs(60);
/// The same for a refusal: whoever gets the permission is let in after that.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// Answers that are kept, of the tokens that came last. Scrapers are few.
const KEPT: usize = 32;
/// The longest token; those of service accounts have some 1,200 bytes.
const LONGEST: usize = 8 << 10;
/// Questions to the API server in a second, whatever strangers send.
const A_SECOND: u32 = 5;

/// What the API server said of tokens.
#[derive(Debug, Default)]
pub(super) struct Authorization {
    state: Mutex<State>,
}

/// A token as it is kept: two keyed hashes, so that it neither lies in memory nor is compared byte by byte.
type Mark = [u64; 2];

#[derive(Debug, Default)]
struct State {
    keys: [RandomState; 2],
    known: VecDeque<Known>,
    /// The second that runs, and the questions in it.
    second: Option<(Instant, u32)>,
}

impl State {
    fn mark(&self, token: &str) -> Mark {
        self.keys.each_ref().map(|key| key.hash_one(token))
    }
}

#[derive(Debug)]
struct Known {
    token: Mark,
    permission: Permission,
    until: Instant,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It has no token, or one that nobody knows.
    Unauthorized,
    /// Its sender may not get `/metrics`.
    Forbidden,
    /// Strangers send too many tokens.
    Busy,
    /// The API server does not answer.
    Unavailable,
}

impl Refusal {
    pub(super) fn response(self) -> Response<Full<Bytes>> {
        let (status, text) = match self {
            Refusal::Unauthorized => (StatusCode::UNAUTHORIZED, "a token of this cluster is needed\n"),
            Refusal::Forbidden => {
                (StatusCode::FORBIDDEN, "this token may not get the path /metrics (RBAC: nonResourceURLs)\n")
            }
            Refusal::Busy => (StatusCode::TOO_MANY_REQUESTS, "too many unknown tokens at the moment\n"),
            Refusal::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "the API server, which knows tokens, does not answer\n")
            }
        };
        let mut response = response(status, TEXT, text.to_owned());
        if self == Refusal::Unauthorized {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Permission> for Result<(), Refusal> {
    fn from(permission: Permission) -> Self {
        match permission {
            Permission::Granted => Ok(()),
            Permission::Refused => Err(Refusal::Forbidden),
            Permission::Unknown => Err(Refusal::Unauthorized),
        }
    }
}

impl Authorization {
    /// Whether a request with these headers may be answered.
    pub(super) async fn admit(&self, headers: &HeaderMap, kubernetes: Option<&Kubernetes>) -> Result<(), Refusal> {
        let kubernetes = kubernetes.ok_or(Refusal::Unauthorized)?;
        let token = token(headers).ok_or(Refusal::Unauthorized)?;
        if let Some(permission) = self.ask_of(token, Instant::now())? {
            return permission.into();
        }
        match kubernetes.may_get(token, "/metrics").await {
            Ok(permission) => {
                self.learn(token, permission, Instant::now());
                permission.into()
            }
            Err(error) => {
                tracing::warn!(%error, "the API server does not answer about a token of a scraper");
                Err(Refusal::Unavailable)
            }
        }
    }

    /// What is known of `token`; nothing where the API server may be asked now.
    fn ask_of(&self, token: &str, now: Instant) -> Result<Option<Permission>, Refusal> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.known.retain(|known| known.until > now);
        let mark = state.mark(token);
        if let Some(known) = state.known.iter().find(|known| known.token == mark) {
            return Ok(Some(known.permission));
        }
        let asked = match state.second {
            Some((begun, asked)) if now.duration_since(begun) < Duration::from_secs(1) => asked,
            _ => 0,
        };
        if asked >= A_SECOND {
            return Err(Refusal::Busy);
        }
        let begun = state.second.filter(|_| asked > 0).map_or(now, |(begun, _)| begun);
        state.second = Some((begun, asked + 1));
        Ok(None)
    }

    fn learn(&self, token: &str, permission: Permission, now: Instant) {
        let lasts = if permission == Permission::Granted { GRANTED_FOR } else { REFUSED_FOR };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_refused = |known: &Known| known.permission != Permission::Granted;
        if state.known.len() >= KEPT {
            // Strangers' tokens go first, so that they do not make us forget a scraper's.
            let oldest = state.known.iter().position(is_refused).unwrap_or(0);
            state.known.remove(oldest);
        }
        let token = state.mark(token);
        state.known.push_back(Known { token, permission, until: now + lasts });
    }
}

/// The token of a request.
fn token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= LONGEST).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_its_time() {
        let (authorization, begin) = (Authorization::default(), Instant::now());
        assert_eq!(authorization.ask_of("good", begin), Ok(None));
        authorization.learn("good", Permission::Granted, begin);
        authorization.learn("bad", Permission::Unknown, begin);
        let known = |token: &str, seconds| authorization.ask_of(token, begin + Duration::from_secs(seconds));
        assert_eq!(known("bad", 9), Ok(Some(Permission::Unknown)));
        assert_eq!(known("bad", 10), Ok(None));
        assert_eq!(known("good", 59), Ok(Some(Permission::Granted)));
        assert_eq!(known("good", 60), Ok(None));
    }

    #[test]
    fn strangers_neither_flood_the_api_server_nor_displace_a_scraper() {
        let (authorization, begin) = (Authorization::default(), Instant::now());
        authorization.learn("scraper", Permission::Granted, begin);
        let asked = (0..100).filter(|n| authorization.ask_of(&format!("x{n}"), begin).is_ok()).count();
        assert_eq!(asked, A_SECOND as usize);
        for n in 0..100 {
            authorization.learn(&format!("x{n}"), Permission::Unknown, begin);
        }
        assert_eq!(authorization.ask_of("scraper", begin), Ok(Some(Permission::Granted)));
        assert_eq!(authorization.state.lock().unwrap().known.len(), KEPT);
        assert_eq!(authorization.ask_of("another", begin), Err(Refusal::Busy));
        assert_eq!(authorization.ask_of("another", begin + Duration::from_secs(1)), Ok(None));
    }

    #[test]
    fn a_token_is_read_from_its_header() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            token(&headers).map(str::to_owned)
        };
        assert_eq!(of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(of("bearer  abc ").as_deref(), Some("abc"));
        for none in ["abc", "Basic abc", "Bearer ", "Bearer"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(of(&format!("Bearer {}", "x".repeat(LONGEST + 1))), None);
        assert_eq!(token(&HeaderMap::new()), None);
    }
}
