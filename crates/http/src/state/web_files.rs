//! The files of the web pages, embedded in the program.

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue};
use rust_embed::RustEmbed;

use crate::response::problem::Problem;
use crate::response::reply::Reply;

#[derive(RustEmbed)]
#[folder = "web"]
struct Web;

/// The files under `web`, by their path there. No other file can be requested.
#[derive(Debug)]
pub(crate) struct WebFiles {
    files: HashMap<String, File>,
}

#[derive(Debug)]
struct File {
    body: Bytes,
    content_type: HeaderValue,
    etag: HeaderValue,
}

impl WebFiles {
    /// The files of this process.
    pub(crate) fn get() -> &'static Self {
        static FILES: LazyLock<WebFiles> = LazyLock::new(|| {
            let files = Web::iter().filter_map(|path| Some((path.to_string(), File::load(&path)?)));
            WebFiles { files: files.collect() }
        });
        &FILES
    }

    /// The document of a page, with a status.
    pub(crate) fn page(
        &self,
        name: &str,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<Reply, Problem> {
        let file = self.file(name)?;
        let reply = Reply::new(status, file.content_type.clone(), file.body.clone());
        // Pages and modules of one version belong together, so browsers revalidate both.
        Ok(reply.cached(&file.etag, "no-cache", headers).with_page_policies())
    }

    /// A style sheet, module or image.
    pub(crate) fn asset(&self, name: &str, headers: &HeaderMap) -> Result<Reply, Problem> {
        let file = self.file(&format!("assets/{name}"))?;
        let reply = Reply::new(StatusCode::OK, file.content_type.clone(), file.body.clone());
        Ok(reply.cached(&file.etag, "public, max-age=60", headers))
    }

    fn file(&self, path: &str) -> Result<&File, Problem> {
        self.files.get(path).ok_or_else(|| Problem::not_found("there is no such file"))
    }
}

impl File {
    fn load(path: &str) -> Option<Self> {
        let file = Web::get(path)?;
        let [a, b, ..] = *file.metadata.sha256_hash().as_chunks::<8>().0 else { return None };
        let digits = format!("{:016x}{:016x}", u64::from_be_bytes(a), u64::from_be_bytes(b));
        Some(Self {
            body: Bytes::from(file.data.into_owned()),
            content_type: HeaderValue::from_static(content_type(path)),
            etag: HeaderValue::from_str(&format!("\"{digits}\"")).ok()?,
        })
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
