//! Writes that wait one turn: what many streams of a connection have to say at the same moment goes out with one call to the
//! system instead of one for each.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that wait at most; more go out at once, uncopied.
const ROOM: usize = 16 << 10;

/// A connection whose small writes are put together.
///
/// A flush lets the tasks that are ready go first, unless it answers something that was just read: then nobody else need be
/// about to write, and the answer should not wait.
pub(super) struct Corked<S> {
    stream: S,
    waiting: Vec<u8>,
    /// Whether the flush that was asked for has let the others go first, or need not.
    turn_is_over: bool,
}

impl<S> Corked<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, waiting: Vec::new(), turn_is_over: false }
    }
}

impl<S: AsyncWrite + Unpin> Corked<S> {
    /// Hands over all that waits.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent = 0;
        let outcome = loop {
            if sent == self.waiting.len() {
                break Poll::Ready(Ok(()));
            }
            match Pin::new(&mut self.stream).poll_write(context, &self.waiting[sent..]) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(bytes)) => sent += bytes,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.waiting.drain(..sent);
        if self.waiting.is_empty() {
            // A connection that says nothing should hold nothing.
            self.waiting = Vec::new();
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Corked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.turn_is_over = true;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        if self.waiting.len() + bytes > ROOM {
            ready!(self.poll_send(context))?;
        }
        if bytes > ROOM {
            return Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        }
        for piece in pieces {
            self.waiting.extend_from_slice(piece);
        }
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.waiting.is_empty() {
            if !self.turn_is_over {
                self.turn_is_over = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready!(self.poll_send(context))?;
            self.turn_is_over = false;
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Takes a few bytes at a time, and keeps what came with each call.
    #[derive(Default)]
    struct Wire {
        calls: Vec<Vec<u8>>,
        most: usize,
    }

    impl AsyncWrite for Wire {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.most);
            self.calls.push(bytes[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Wire {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            buffer.put_slice(b"?");
            Poll::Ready(Ok(()))
        }
    }

    fn corked(most: usize) -> Corked<Wire> {
        Corked::new(Wire { most, ..Wire::default() })
    }

    /// One call of `poll_flush`.
    async fn flush_once(corked: &mut Corked<Wire>) -> Poll<io::Result<()>> {
        poll_fn(|context| Poll::Ready(Pin::new(&mut *corked).poll_flush(context))).await
    }

    #[tokio::test]
    async fn what_is_written_within_a_turn_goes_out_together() {
        let mut corked = corked(usize::MAX);
        corked.write_all(b"one ").await.unwrap();
        assert!(flush_once(&mut corked).await.is_pending(), "others go first");
        corked.write_all(b"two").await.unwrap();
        assert!(flush_once(&mut corked).await.is_ready());
        assert_eq!(corked.stream.calls, [b"one two"]);
        assert!(flush_once(&mut corked).await.is_ready(), "nothing waits");
        corked.write_all(b"three").await.unwrap();
        corked.flush().await.unwrap();
        assert_eq!(corked.stream.calls.len(), 2);
    }

    #[tokio::test]
    async fn an_answer_does_not_wait() {
        let mut corked = corked(usize::MAX);
        corked.read_u8().await.unwrap();
        corked.write_all(b"answer").await.unwrap();
        assert!(flush_once(&mut corked).await.is_ready());
        corked.write_all(b"news").await.unwrap();
        assert!(flush_once(&mut corked).await.is_pending(), "nothing was read since");
    }

    #[tokio::test]
    async fn every_byte_arrives_once_and_in_order() {
        let mut corked = corked(1_000);
        let mut sent = Vec::new();
        for (nth, length) in [3, ROOM + 1, 5, ROOM - 1, 2, ROOM, 40_000, 1].into_iter().enumerate() {
            let piece = vec![u8::try_from(nth).unwrap(); length];
            corked.write_all(&piece).await.unwrap();
            sent.extend(piece);
            assert!(corked.waiting.len() <= ROOM);
        }
        corked.shutdown().await.unwrap();
        assert_eq!(corked.stream.calls.concat(), sent);
        assert_eq!(corked.waiting.capacity(), 0);
    }

    #[tokio::test]
    async fn a_stream_that_takes_nothing_is_an_error() {
        let mut corked = corked(0);
        corked.write_all(b"lost").await.unwrap();
        assert_eq!(corked.flush().await.unwrap_err().kind(), io::ErrorKind::WriteZero);
    }
}
