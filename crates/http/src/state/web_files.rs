//! The files of the web pages, embedded in the program.

use std::collections::HashMap;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue};
use rust_embed::RustEmbed;

use crate::policy::base_path::BasePath;
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
    /// All files. The addresses in documents get the prefix; modules find it in their own address.
    pub(crate) fn load(base: &BasePath) -> Self {
        let files =
            Web::iter().filter_map(|path| Some((path.to_string(), File::load(&path, base)?)));
        Self { files: files.collect() }
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
    fn load(path: &str, base: &BasePath) -> Option<Self> {
        let file = Web::get(path)?;
        let [a, b, ..] = *file.metadata.sha256_hash().as_chunks::<8>().0 else { return None };
        let mut digits = format!("{:016x}{:016x}", u64::from_be_bytes(a), u64::from_be_bytes(b));
        let mut body = Bytes::from(file.data.into_owned());
        let base = base.as_str();
        if !base.is_empty() && content_type(path).starts_with("text/html") {
            let mut text = str::from_utf8(&body).ok()?.to_owned();
            for attribute in ["href", "src", "action"] {
                let from = format!("{attribute}=\"/");
                text = text.replace(&from, &format!("{attribute}=\"{base}/"));
            }
            body = text.into();
            // Another document than that of a server without the prefix.
            digits.push_str(&base.replace('/', "-"));
        }
        Some(Self {
            body,
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
