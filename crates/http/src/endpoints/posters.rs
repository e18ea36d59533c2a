//! `/posters/{id}.jpg`: images from a folder.

use std::io::{self, Read as _};
use std::path::Path;
use std::time::UNIX_EPOCH;

use hyper::StatusCode;
use hyper::header::HeaderValue;

use crate::endpoints::endpoint::{Answer, Call, Endpoint, Group};
use crate::parameters::definition::{MOVIE_ID, Parameter};
use crate::response::problem::{Kind, Problem};
use crate::response::reply::Reply;

pub(crate) static POSTER: Endpoint<[Parameter; 0]> = Endpoint::other(
    Group::Movies,
    "/posters/{id}.jpg",
    "getPoster",
    [],
    Answer::Image,
    "Shows a movie's poster, if the server has a folder of posters.",
)
.of(&[MOVIE_ID])
.with_problems(&[Kind::NotFound, Kind::Internal]);

/// Larger files are not posters.
const MAX_BYTES: u64 = 4 << 20;

/// The content of a poster's file.
struct Poster {
    bytes: Vec<u8>,
    etag: String,
}

pub(crate) async fn show(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let id = call.id()?;
    let missing = || Problem::not_found(format!("there is no poster of movie {id}"));
    let folder = snapshot.posters.clone().ok_or_else(missing)?;
    // The name consists of the id alone, so it cannot leave the folder.
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
            Ok(reply.cached(&etag, "public, max-age=3600", call.headers))
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
    let metadata = file.metadata()?;
    let age = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut bytes = Vec::with_capacity(metadata.len() as usize + 1);
    // The file may be growing.
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    let etag = format!("\"{:x}-{:x}\"", age.as_nanos(), bytes.len());
    Ok(Poster { bytes, etag })
}
