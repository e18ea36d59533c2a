//! Poster pictures from a folder of the user's.

use std::io::{self, Read as _};
use std::path::Path;
use std::time::UNIX_EPOCH;

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue};

use crate::problem::{Kind, Problem};
use crate::query::path_id;
use crate::reply::Reply;

/// Larger files are not posters.
const MAX_BYTES: u64 = 4 << 20;

/// What is in a poster's file.
struct Poster {
    bytes: Vec<u8>,
    etag: String,
}

/// Answers with the picture of a movie. The path is made of nothing but the movie's number.
pub(crate) async fn poster(
    folder: Option<&Path>,
    id: &str,
    headers: &HeaderMap,
) -> Result<Reply, Problem> {
    let id = path_id(id)?;
    let missing = || Problem::not_found(format!("there is no poster of movie {id}"));
    let folder = folder.ok_or_else(missing)?.to_owned();
    let name = format!("{id}.jpg");
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, id, "cannot read a poster");
        Problem::new(Kind::Internal, format!("the poster of movie {id} cannot be read"))
    };
    match tokio::task::spawn_blocking(move || read(&folder, &name)).await {
        Ok(Ok(poster)) => {
            let etag = HeaderValue::try_from(poster.etag).map_err(|error| failed(&error))?;
            let jpeg = HeaderValue::from_static("image/jpeg");
            let reply = Reply::new(StatusCode::OK, jpeg, poster.bytes);
            Ok(reply.cached(&etag, "public, max-age=3600", headers))
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
        // A link out of the folder, or a file that this process may not read: for visitors there is no poster.
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            tracing::warn!(%error, id, "a poster is not served");
            Err(missing())
        }
        Ok(Err(error)) => Err(failed(&error)),
        Err(error) => Err(failed(&error)),
    }
}

fn read(folder: &Path, name: &str) -> io::Result<Poster> {
    let file = sparrow_files::open_within(folder, name, MAX_BYTES)?;
    let facts = file.metadata()?;
    let age = facts.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut bytes = Vec::with_capacity(facts.len() as usize + 1);
    // The file may grow meanwhile.
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    let etag = format!("\"{:x}-{:x}\"", age.as_nanos(), bytes.len());
    Ok(Poster { bytes, etag })
}
