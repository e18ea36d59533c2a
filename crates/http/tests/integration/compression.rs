//! Compressed answers.

use std::io::Read;

use flate2::read::GzDecoder;
use sparrow_http::Options;

use crate::support::{Answer, Running, patient};

fn content(answer: &Answer) -> Vec<u8> {
    let body = &answer.body[..];
    let mut decoder: Box<dyn Read> = match answer.header("content-encoding") {
        None => Box::new(body),
        Some("gzip") => Box::new(GzDecoder::new(body)),
        Some("br") => Box::new(brotli::Decompressor::new(body, 4096)),
        Some("zstd") => Box::new(zstd::Decoder::new(body).unwrap()),
        Some(other) => panic!("{other}"),
    };
    let mut content = Vec::new();
    decoder.read_to_end(&mut content).unwrap();
    content
}

#[test]
fn answers_are_compressed_as_the_client_prefers() {
    let running = Running::start(patient());
    for target in ["/v1/movies?size=100", "/getrecforyou?id=6&size=50", "/", "/openapi.json"] {
        let plain = running.get(target);
        assert_eq!(plain.header("content-encoding"), None, "{target}");
        assert_eq!(plain.header("vary"), Some("accept-encoding"), "{target}");
        for (accepted, coding) in [
            ("gzip, deflate, br, zstd", "zstd"),
            ("gzip, deflate, br", "gzip"),
            ("br, gzip;q=0.5", "br"),
        ] {
            let answer = running.get_with(target, &format!("Accept-Encoding: {accepted}\r\n"));
            assert_eq!(answer.status, 200, "{target}");
            assert_eq!(answer.header("content-encoding"), Some(coding), "{target}");
            assert_eq!(answer.header("vary"), Some("accept-encoding"), "{target}");
            assert!(answer.body.len() * 2 < plain.body.len(), "{target} {coding}");
            assert_eq!(content(&answer), plain.body, "{target} {coding}");
        }
    }
}

#[test]
fn short_answers_problems_and_empty_answers_are_not_compressed() {
    let running = Running::start(patient());
    for (target, status) in [("/v1/genres", 200), ("/v1/movies/2", 404), ("/healthz", 200)] {
        let answer = running.get_with(target, "Accept-Encoding: gzip\r\n");
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(answer.header("content-encoding"), None, "{target}");
    }
}

#[test]
fn compressed_page_is_revalidated() {
    let running = Running::start(patient());
    let answer = running.get_with("/", "Accept-Encoding: gzip\r\n");
    let etag = answer.header("etag").unwrap();
    assert!(etag.starts_with("W/\""), "{etag}");
    let headers = format!("Accept-Encoding: gzip\r\nIf-None-Match: {etag}\r\n");
    let again = running.get_with("/", &headers);
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(again.header("content-encoding"), None);
}

#[test]
fn compression_can_be_turned_off() {
    let running = Running::start(Options { compression: false, ..patient() });
    let answer = running.get_with("/v1/movies?size=100", "Accept-Encoding: gzip\r\n");
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.header("vary"), None);
}
