//! The web UI: files that the build embedded, under headers that let a page run nothing but these files.

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

/// A file of the web UI.
struct Asset {
    /// Where it is served.
    path: &'static str,
    bytes: &'static [u8],
    /// The same packed, when that is smaller.
    gzip: Option<&'static [u8]>,
}

/// The files; none in a build without npm.
static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/web_assets.rs"));

/// Addresses within the UI, as `web/src/app.tsx` knows them. Each answers with its one document, which shows the page that
/// the address names.
const PAGES: [&str; 11] = [
    "/",
    "/history",
    "/runs/{id}",
    "/connections",
    "/connections/{id}",
    "/connections/{id}/knowledge",
    "/sql",
    "/status",
    "/docs",
    "/docs/{service}",
    "/docs/{service}/{name}",
];

/// What a page may do: run, show and call what comes from this server, and nothing else. Text never becomes HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'none'; frame-ancestors 'none'; base-uri 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// The routes of the UI.
pub(super) fn router() -> Router {
    let document = document();
    let pages = PAGES.iter().fold(Router::new(), |router, path| {
        router.route(
            path,
            get(move |headers: HeaderMap| async move {
                match document {
                    Some(document) => document.answer(&headers),
                    None => page_without_ui(),
                }
            }),
        )
    });
    // What people type: a slash too many, and knowledge where it cannot be without a connection.
    let with_slash = |router: Router, path: &&str| router.route(&format!("{path}/"), get(without_slash));
    let pages = PAGES.iter().filter(|path| **path != "/").fold(pages, with_slash);
    let pages = pages.route("/knowledge", get(async || Redirect::temporary("/connections")));
    let pages = pages.route("/knowledge/", get(async || Redirect::temporary("/connections")));
    ASSETS.iter().filter(|asset| asset.path != "/index.html").fold(pages, |router, asset| {
        router.route(asset.path, get(move |headers: HeaderMap| async move { asset.answer(&headers) }))
    })
}

/// The page of the same address without its last slash.
async fn without_slash(address: Uri) -> Redirect {
    let path = address.path().trim_end_matches('/');
    let query = address.query().map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::permanent(&format!("{path}{query}"))
}

/// The one document of the UI, unless this build has none.
fn document() -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == "/index.html")
}

/// What is said of any other address, in the form that the caller reads.
pub(super) async fn no_such_page(request: Request) -> Response {
    let reads_html = request
        .headers()
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/html"));
    let body = if request.uri().path().starts_with("/api/") {
        let message = "REST with JSON is spoken by the gateway: run scripts/gateway and send this to its port.";
        let error = serde_json::json!({ "code": tonic::Code::NotFound as i32, "message": message });
        ([(header::CONTENT_TYPE, "application/json")], format!("{error}\n")).into_response()
    } else if reads_html && let Some(document) = document() {
        document.answer(request.headers())
    } else {
        "There is no such page. Pulse answers gRPC, /health and /.\n".into_response()
    };
    (StatusCode::NOT_FOUND, body).into_response()
}

impl Asset {
    fn answer(&self, request: &HeaderMap) -> Response {
        let accepts_gzip = request
            .get_all(header::ACCEPT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|coding| coding.trim().split(';').next() == Some("gzip") && !coding.trim().ends_with("q=0"));
        let mut response = match self.gzip.filter(|_| accepts_gzip) {
            Some(gzip) => ([(header::CONTENT_ENCODING, "gzip")], gzip).into_response(),
            None => self.bytes.into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type()));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.cache_control()));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        guarded(response)
    }

    fn content_type(&self) -> &'static str {
        match self.path.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "application/octet-stream",
        }
    }

    /// Files below `assets` carry a hash of their content in their name and never change.
    fn cache_control(&self) -> &'static str {
        if self.path.starts_with("/assets/") { "public, max-age=31536000, immutable" } else { "no-cache" }
    }
}

/// Tells how to get the UI.
fn page_without_ui() -> Response {
    guarded(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], include_str!("page.html")).into_response())
}

fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_build_without_the_ui_tells_how_to_get_it() {
        let page = page_without_ui();
        assert!(page.headers().contains_key(header::CONTENT_SECURITY_POLICY));
        let body = page.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("touch build.rs &amp;&amp; cargo build --release"));
    }
}
