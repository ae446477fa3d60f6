//! Plain HTTP/1.1, as browsers, load balancers and gRPC-Web clients speak it.

use std::convert::Infallible;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use futures::stream;
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame as BodyFrame};
use prost::Message;

/// An HTTP client that talks to nothing but the address it is given.
pub fn client() -> reqwest::Client {
    // Refused when another test was first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().http1_only().build().unwrap()
}

/// A URL on the server.
pub fn url(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}

/// The answer to a gRPC-Web call.
#[derive(Debug)]
pub struct WebAnswer {
    pub http_status: u16,
    pub messages: Vec<Vec<u8>>,
    /// `grpc-status` and its companions, from the trailers frame or, where there is none, from the headers.
    pub trailers: Vec<(String, String)>,
}

impl WebAnswer {
    pub fn trailer(&self, name: &str) -> Option<&str> {
        self.trailers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The status with its details.
    pub fn status(&self) -> tonic_types::pb::Status {
        let details = self.trailer("grpc-status-details-bin").unwrap_or_else(|| panic!("no details: {self:?}"));
        // Senders leave the padding out or not.
        let bytes = STANDARD_NO_PAD.decode(details.trim_end_matches('=')).unwrap();
        tonic_types::pb::Status::decode(&bytes[..]).unwrap()
    }
}

/// Calls an RPC with gRPC-Web and reads its frames.
pub async fn grpc_web(address: SocketAddr, path: &str, message: &impl Message, headers: &[(&str, &str)]) -> WebAnswer {
    grpc_web_bytes(address, path, &message.encode_to_vec(), headers).await
}

/// Calls an RPC with a message that is these bytes, whatever they are.
pub async fn grpc_web_bytes(address: SocketAddr, path: &str, message: &[u8], headers: &[(&str, &str)]) -> WebAnswer {
    let request = client().post(url(address, path)).header("content-type", Form::Binary.content_type());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    WebCall::answered(request.body(framed(message)), Form::Binary).await.whole().await
}

/// The two forms of gRPC-Web.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Binary,
    /// In base64.
    Text,
}

impl Form {
    fn content_type(self) -> &'static str {
        match self {
            Self::Binary => "application/grpc-web+proto",
            Self::Text => "application/grpc-web-text+proto",
        }
    }
}

/// A gRPC-Web call whose answer is read as it comes.
pub struct WebCall {
    response: reqwest::Response,
    form: Form,
    /// What arrived and is no whole group of base64, or no whole frame yet.
    undecoded: Vec<u8>,
    unread: Vec<u8>,
}

/// A frame of an answer.
#[derive(Debug)]
pub enum WebFrame {
    Message(Vec<u8>),
    Trailers(Vec<(String, String)>),
}

impl WebCall {
    /// Calls an RPC. The request arrives in pieces of so many bytes.
    pub async fn new(address: SocketAddr, path: &str, message: &impl Message, form: Form, piece: usize) -> Self {
        let frame = framed(&message.encode_to_vec());
        let body = if form == Form::Text { STANDARD.encode(frame).into_bytes() } else { frame };
        let pieces: Vec<_> = body.chunks(piece).map(|piece| BodyFrame::data(Bytes::copy_from_slice(piece))).collect();
        let body = StreamBody::new(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>)));
        let request = client().post(url(address, path)).header("content-type", form.content_type());
        let request = request.header("accept", form.content_type()).header("x-grpc-web", "1");
        Self::answered(request.body(reqwest::Body::wrap(body)), form).await
    }

    async fn answered(request: reqwest::RequestBuilder, form: Form) -> Self {
        let response = request.send().await.unwrap();
        Self { response, form, undecoded: Vec::new(), unread: Vec::new() }
    }

    /// The next frame; `None` at the end of the body.
    pub async fn next(&mut self) -> Option<WebFrame> {
        loop {
            if let Some(frame) = self.frame() {
                return Some(frame);
            }
            let Some(piece) = self.response.chunk().await.unwrap() else {
                assert!(self.unread.is_empty() && self.undecoded.is_empty(), "the answer ends within a frame");
                return None;
            };
            match self.form {
                Form::Binary => self.unread.extend(piece),
                Form::Text => {
                    self.undecoded.extend(piece);
                    let whole = self.undecoded.len() / 4 * 4;
                    // Pieces are encoded one by one, so that padding may stand in the middle.
                    for group in self.undecoded.drain(..whole).collect::<Vec<_>>().chunks(4) {
                        self.unread.extend(STANDARD.decode(group).unwrap());
                    }
                }
            }
        }
    }

    fn frame(&mut self) -> Option<WebFrame> {
        let (head, rest) = self.unread.split_at_checked(5)?;
        let (body, _) = rest.split_at_checked(u32::from_be_bytes(head[1..].try_into().unwrap()) as usize)?;
        let (flags, body) = (head[0], body.to_vec());
        self.unread.drain(..5 + body.len());
        if flags & 0x80 == 0 {
            return Some(WebFrame::Message(body));
        }
        let lines = std::str::from_utf8(&body).unwrap().lines().filter_map(|line| line.split_once(':'));
        Some(WebFrame::Trailers(
            lines.map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned())).collect(),
        ))
    }

    /// Reads to the end.
    pub async fn whole(mut self) -> WebAnswer {
        let http_status = self.response.status().as_u16();
        let headers = self.response.headers();
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let mut trailers: Vec<_> = headers.filter(|(name, _)| name.starts_with("grpc-")).collect();
        let mut messages = Vec::new();
        while let Some(frame) = self.next().await {
            match frame {
                WebFrame::Message(message) => messages.push(message),
                WebFrame::Trailers(more) => trailers.extend(more),
            }
        }
        WebAnswer { http_status, messages, trailers }
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    frame
}
