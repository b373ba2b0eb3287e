//! The front of a listener: what can be answered at once is, everything else goes to the router.
//!
//! A read by id takes some ten microseconds; the layers of a router, the task switches and the boxes around it take as
//! many again. A service that knows such requests by their head gives an [`AtOnce`].

use crate::headers;
use crate::problem::Problem;
use axum::Router;
use axum::response::{IntoResponse, Response};
use futures_util::future::{Either, Ready, ready};
use hyper::Request;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::service::Service;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Answers some requests where they are read, on the async thread: without waiting for anybody, in a few milliseconds at
/// most, nearly always in much less than one.
pub trait AtOnce: Send + Sync {
    /// The answer to a request that has no body; `None` when it is none of those. The router gets it then: nothing may have
    /// been done, and the head must be as it was.
    fn answer(&self, head: &mut Parts) -> Option<Response>;
}

/// A router with what is tried before it.
#[derive(Clone)]
pub struct Front {
    router: Router,
    at_once: Vec<Arc<dyn AtOnce>>,
}

impl From<Router> for Front {
    fn from(router: Router) -> Self {
        Self {
            router,
            at_once: Vec::new(),
        }
    }
}

impl Front {
    /// Tries these in their order. Their answers get the request id and the headers of [`headers::request_id`].
    #[must_use]
    pub fn with(mut self, at_once: impl IntoIterator<Item = Arc<dyn AtOnce>>) -> Self {
        self.at_once.extend(at_once);
        self
    }

    /// The router, for a connection.
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// This front before a service that takes what is not answered at once.
    pub(crate) fn before<S>(self, service: S) -> Door<S> {
        Door {
            at_once: self.at_once.into(),
            service,
        }
    }
}

fn try_now<B: hyper::body::Body>(
    at_once: &[Arc<dyn AtOnce>],
    request: Request<B>,
) -> Either<Response, Request<B>> {
    if at_once.is_empty() || !request.body().is_end_stream() {
        return Either::Right(request);
    }
    let (mut head, body) = request.into_parts();
    let id = headers::given(&head.headers).unwrap_or_else(headers::new_id);
    let answered = headers::span(&id, &head.method)
        .in_scope(|| {
            catch_unwind(AssertUnwindSafe(|| {
                at_once.iter().find_map(|one| one.answer(&mut head))
            }))
        })
        .unwrap_or_else(|_| Some(Problem::internal().into_response()));
    match answered {
        Some(mut response) => {
            headers::mark(response.headers_mut(), id);
            Either::Left(response)
        }
        None => Either::Right(Request::from_parts(head, body)),
    }
}

/// The service of a connection.
#[derive(Clone)]
pub(crate) struct Door<S> {
    at_once: Arc<[Arc<dyn AtOnce>]>,
    service: S,
}

impl<S> Service<Request<Incoming>> for Door<S>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        match try_now(&self.at_once, request) {
            Either::Left(response) => Either::Left(ready(Ok(response))),
            Either::Right(request) => Either::Right(self.service.call(request)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::StatusCode;

    struct Quick;

    impl AtOnce for Quick {
        fn answer(&self, head: &mut Parts) -> Option<Response> {
            match head.uri.path() {
                "/quick" => Some("quick".into_response()),
                "/panic" => panic!("on purpose"),
                _ => None,
            }
        }
    }

    fn request(path: &str, body: &'static str) -> Request<Body> {
        Request::get(path)
            .header(headers::REQUEST_ID, "mine")
            .body(if body.is_empty() {
                Body::empty()
            } else {
                Body::from(body)
            })
            .unwrap()
    }

    fn now(request: Request<Body>) -> Either<Response, Request<Body>> {
        try_now(&[Arc::new(Quick) as Arc<dyn AtOnce>], request)
    }

    fn answered(request: Request<Body>) -> Option<Response> {
        match now(request) {
            Either::Left(response) => Some(response),
            Either::Right(_) => None,
        }
    }

    #[test]
    fn what_is_not_answered_goes_on_unchanged() {
        let quick = answered(request("/quick", "")).unwrap();
        assert_eq!(quick.headers()[&headers::REQUEST_ID], "mine");
        assert_eq!(quick.headers()["x-content-type-options"], "nosniff");
        let Either::Right(other) = now(request("/other", "")) else {
            panic!("not known")
        };
        assert_eq!(other.headers()[&headers::REQUEST_ID], "mine");
        assert!(answered(request("/quick", "a body")).is_none());
        let failed = answered(request("/panic", "")).unwrap();
        assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn ids_are_made_where_none_fits() {
        let mut odd = request("/quick", "");
        odd.headers_mut()
            .insert(headers::REQUEST_ID, "a b".parse().unwrap());
        let answer = answered(odd).unwrap();
        let id = answer.headers()[&headers::REQUEST_ID].to_str().unwrap();
        assert_eq!(uuid::Uuid::parse_str(id).unwrap().get_version_num(), 7);
    }
}
