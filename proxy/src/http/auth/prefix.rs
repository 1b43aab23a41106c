//! The start of a streaming body, read ahead and put back. It holds no more than the limit and one piece, and loses and
//! reorders nothing.

use crate::body::{BodyError, RequestBody};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// A body of which the start was read already.
struct Prefixed {
    prefix: Bytes,
    /// What the last piece that was read holds beyond the limit.
    over: Bytes,
    /// Trailers, if the body was read to its end; there is no rest then.
    trailers: Option<HeaderMap>,
    rest: RequestBody,
}

/// Reads the first `bytes_max` bytes of a body, or all if it has fewer. They come back with a body that yields all the
/// same, as if nothing had been read.
pub async fn split(mut body: RequestBody, bytes_max: usize) -> Result<(Bytes, RequestBody), BodyError> {
    match &body {
        RequestBody::Empty => return Ok((Bytes::new(), body)),
        RequestBody::Full(bytes) => return Ok((bytes.slice(..bytes.len().min(bytes_max)), body)),
        _ if bytes_max == 0 => return Ok((Bytes::new(), body)),
        _ => {}
    }
    let (mut read, mut over, mut trailers) = (BytesMut::new(), Bytes::new(), None);
    while read.len() < bytes_max {
        let Some(frame) = body.frame().await else {
            body = RequestBody::Empty;
            break;
        };
        match frame?.into_data() {
            Ok(mut data) => {
                read.extend_from_slice(&data.split_to(data.len().min(bytes_max - read.len())));
                over = data;
            }
            Err(frame) => {
                trailers = frame.into_trailers().ok();
                body = RequestBody::Empty;
                break;
            }
        }
    }
    let prefix = read.freeze();
    // A body that is here as a whole can be sent again, should a try fail.
    if over.is_empty() && trailers.is_none() && body.is_end_stream() {
        let whole = if prefix.is_empty() { RequestBody::Empty } else { RequestBody::Full(prefix.clone()) };
        return Ok((prefix, whole));
    }
    let prefixed = Prefixed { prefix: prefix.clone(), over, trailers, rest: body };
    Ok((prefix, RequestBody::Boxed(Box::pin(prefixed))))
}

// === impl Prefixed ===

impl Body for Prefixed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        for held in [&mut this.prefix, &mut this.over] {
            if !held.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(held)))));
            }
        }
        if let Some(trailers) = this.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut this.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        let held = !self.prefix.is_empty() || !self.over.is_empty() || self.trailers.is_some();
        !held && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held = (self.prefix.len() + self.over.len()) as u64;
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(held));
        // A body of a known length is sent without chunks, which would lose its trailers.
        if let Some(upper) = rest.upper().filter(|_| self.trailers.is_none()) {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use futures_util::{FutureExt, stream};
    use http_body_util::StreamBody;
    use proptest::prelude::*;

    type Item = Result<Frame<Bytes>, BodyError>;

    fn streaming(items: Vec<Item>) -> RequestBody {
        RequestBody::Boxed(Box::pin(StreamBody::new(stream::iter(items))))
    }

    fn data(text: &'static str) -> Item {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    fn trailers() -> Item {
        Ok(Frame::trailers([("x-sum".parse().unwrap(), "7".parse().unwrap())].into_iter().collect()))
    }

    fn split_now(body: RequestBody, max: usize) -> Result<(Bytes, RequestBody), BodyError> {
        split(body, max).now_or_never().expect("the stream is ready")
    }

    fn read(body: RequestBody) -> (Bytes, Option<HeaderMap>) {
        let collected = body.collect().now_or_never().expect("the stream is ready").unwrap();
        let trailers = collected.trailers().cloned();
        (collected.to_bytes(), trailers)
    }

    #[test]
    fn the_part_over_the_limit_is_not_shown_and_not_lost() {
        let body = streaming(vec![data("hel"), data("lo wo"), data("rld"), trailers()]);
        let (shown, body) = split_now(body, 5).unwrap();
        assert_eq!(shown, "hello");
        assert!(!body.is_end_stream() && body.size_hint().lower() >= 8);
        let (all, trailers) = read(body);
        assert_eq!((all, trailers.unwrap()["x-sum"].as_bytes()), (Bytes::from("hello world"), &b"7"[..]));
    }

    #[test]
    fn a_body_within_the_limit_is_whole_afterwards() {
        let (shown, body) = split_now(streaming(vec![data("he"), data("llo")]), 99).unwrap();
        assert!(shown == "hello" && matches!(&body, RequestBody::Full(all) if all == "hello"));
        let (shown, body) = split_now(streaming(vec![]), 99).unwrap();
        assert!(shown.is_empty() && matches!(body, RequestBody::Empty));
    }

    #[test]
    fn trailers_that_were_read_ahead_still_come_and_forbid_a_length() {
        let (shown, body) = split_now(streaming(vec![data("hi"), trailers()]), 99).unwrap();
        assert!(shown == "hi" && body.size_hint().exact().is_none() && body.size_hint().lower() == 2);
        assert_eq!(read(body).1.unwrap().len(), 1);
    }

    #[test]
    fn nothing_is_read_where_nothing_is_shown() {
        let (shown, body) = split_now(streaming(vec![Err(ErrorKind::BodyTimeout.into())]), 0).unwrap();
        assert!(shown.is_empty() && matches!(body, RequestBody::Boxed(_)));
        let (shown, body) = split_now(RequestBody::Full(Bytes::from("hello")), 2).unwrap();
        assert_eq!((shown, read(body).0), (Bytes::from("he"), Bytes::from("hello")));
    }

    #[test]
    fn the_length_stays_known() {
        let rest = RequestBody::Full(Bytes::from("rest"));
        let prefixed = |trailers| Prefixed {
            prefix: Bytes::from("ab"),
            over: Bytes::from("c"),
            trailers,
            rest: RequestBody::Full(Bytes::from("rest")),
        };
        assert_eq!(prefixed(None).size_hint().exact(), Some(3 + rest.size_hint().exact().unwrap()));
        assert_eq!(prefixed(Some(HeaderMap::new())).size_hint().exact(), None);
    }

    #[test]
    fn a_client_that_fails_meanwhile_is_told_of() {
        let body = streaming(vec![data("x"), Err(ErrorKind::BodyTimeout.into())]);
        assert_eq!(split_now(body, 9).map(|_| ()).unwrap_err().kind, ErrorKind::BodyTimeout);
        let body = streaming(vec![data("x"), Err(ErrorKind::BodyTimeout.into())]);
        let (_, body) = split_now(body, 1).unwrap();
        assert!(body.collect().now_or_never().unwrap().is_err());
    }

    proptest! {
        #[test]
        fn whatever_the_pieces_the_backend_gets_the_same_bytes(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..9),
            max in 0usize..40,
            trailing in any::<bool>(),
        ) {
            let all: Vec<u8> = pieces.concat();
            let mut items: Vec<Item> = pieces.into_iter().map(|piece| Ok(Frame::data(piece.into()))).collect();
            items.extend(trailing.then(trailers));
            let (shown, body) = split_now(streaming(items), max).unwrap();
            prop_assert_eq!(&shown[..], &all[..max.min(all.len())]);
            let hint = body.size_hint();
            prop_assert!(hint.lower() <= all.len() as u64 && hint.upper().is_none_or(|upper| upper >= all.len() as u64));
            let (got, got_trailers) = read(body);
            prop_assert_eq!((&got[..], got_trailers.is_some()), (&all[..], trailing));
        }
    }
}
