//! Plain HTTP/1.1, as browsers, load balancers and gRPC-Web clients speak it.

use std::net::SocketAddr;

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
}

/// Calls an RPC with gRPC-Web and reads its frames.
pub async fn grpc_web(address: SocketAddr, path: &str, message: &impl Message, headers: &[(&str, &str)]) -> WebAnswer {
    grpc_web_bytes(address, path, &message.encode_to_vec(), headers).await
}

/// Calls an RPC with a message that is these bytes, whatever they are.
pub async fn grpc_web_bytes(address: SocketAddr, path: &str, message: &[u8], headers: &[(&str, &str)]) -> WebAnswer {
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let mut request = client().post(url(address, path)).header("content-type", "application/grpc-web+proto");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.body(body).send().await.unwrap();
    let http_status = response.status().as_u16();
    let from_headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let mut trailers: Vec<_> = from_headers.filter(|(name, _)| name.starts_with("grpc-")).collect();
    let mut messages = Vec::new();
    let bytes = response.bytes().await.unwrap();
    let mut rest = &bytes[..];
    while let Some((head, body)) = rest.split_at_checked(5) {
        let (frame, after) = body.split_at(u32::from_be_bytes(head[1..].try_into().unwrap()) as usize);
        if head[0] & 0x80 == 0 {
            messages.push(frame.to_vec());
        } else {
            let lines = std::str::from_utf8(frame).unwrap().lines().filter_map(|line| line.split_once(':'));
            trailers.extend(lines.map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned())));
        }
        rest = after;
    }
    WebAnswer { http_status, messages, trailers }
}
