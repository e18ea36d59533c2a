//! The file format of models: safetensors with our metadata, which contain a format version and a digest.

use std::io::{self, Read, Write as _};
use std::ops::Range;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sparrow_files::Hashing;

/// The key of our metadata; its value is JSON.
pub(crate) const METADATA_KEY: &str = "sparrow";

/// The format version, incremented by incompatible changes.
pub(crate) const FORMAT: u32 = 1;

/// The error of an unreadable or unwritable model file.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {message}")]
pub struct ModelFileError {
    pub(crate) file: String,
    pub(crate) message: String,
}

/// The tensors of a file.
pub(crate) struct Tensors<'a>(SafeTensors<'a>);

#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

impl<'a> Tensors<'a> {
    /// Verifies and parses a file. Returns its tensors and our metadata, if it has them.
    pub(crate) fn read<M: DeserializeOwned>(bytes: &'a [u8]) -> Result<(Self, Option<M>), String> {
        verify(bytes)?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let ours = header.metadata().as_ref().and_then(|all| all.get(METADATA_KEY));
        let Some(json) = ours else { return Ok((Self(tensors), None)) };
        let malformed = |error| format!("malformed metadata: {error}");
        // Checked first: another format may have other fields.
        let Versioned { format } = serde_json::from_str(json).map_err(malformed)?;
        if format > FORMAT {
            return Err(format!(
                "unsupported format {format}, this program supports up to {FORMAT}"
            ));
        }
        Ok((Self(tensors), Some(serde_json::from_str(json).map_err(malformed)?)))
    }

    /// Returns whether the file has a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.tensor(name).is_ok()
    }

    fn view(&self, name: &str) -> Result<TensorView<'a>, String> {
        self.0.tensor(name).map_err(|_| format!("missing tensor {name:?}"))
    }

    /// Returns the values of an F32 tensor with `AXES` axes, and its shape.
    pub(crate) fn floats<const AXES: usize>(
        &self,
        name: &str,
    ) -> Result<(Vec<f32>, [usize; AXES]), String> {
        let view = self.view(name)?;
        let shape = shape(&view, name)?;
        if view.dtype() != Dtype::F32 {
            return Err(format!("{name:?} has type {:?}, expected F32", view.dtype()));
        }
        let (values, _) = view.data().as_chunks::<4>();
        Ok((values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(), shape))
    }

    /// Returns the values of an integer tensor with one axis.
    pub(crate) fn ids(&self, name: &str) -> Result<Vec<u32>, String> {
        let view = self.view(name)?;
        let [_] = shape(&view, name)?;
        let four = view.data().as_chunks::<4>().0.iter();
        let eight = view.data().as_chunks::<8>().0.iter();
        let integers: Vec<i64> = match view.dtype() {
            Dtype::U32 => four.map(|&bytes| u32::from_le_bytes(bytes).into()).collect(),
            Dtype::I32 => four.map(|&bytes| i32::from_le_bytes(bytes).into()).collect(),
            Dtype::I64 | Dtype::U64 => eight.map(|&bytes| i64::from_le_bytes(bytes)).collect(),
            other => return Err(format!("{name:?} has type {other:?}, expected integers")),
        };
        integers
            .into_iter()
            .map(|id| {
                u32::try_from(id).map_err(|_| {
                    format!("{name:?} contains {id}, expected ids from 0 to 4294967295")
                })
            })
            .collect()
    }
}

fn shape<const AXES: usize>(view: &TensorView<'_>, name: &str) -> Result<[usize; AXES], String> {
    view.shape()
        .try_into()
        .map_err(|_| format!("{name:?} has the shape {:?}, expected {AXES} axes", view.shape()))
}

/// A tensor to be written.
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Stored {
    /// Creates an F32 tensor.
    pub(crate) fn floats<'a, const AXES: usize>(
        name: String,
        shape: [usize; AXES],
        values: impl IntoIterator<Item = &'a f32>,
    ) -> Self {
        let bytes = values.into_iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name, dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    /// Creates a U32 tensor with one axis.
    pub(crate) fn integers(name: String, values: impl ExactSizeIterator<Item = u32>) -> Self {
        let shape = vec![values.len()];
        let bytes = values.flat_map(u32::to_le_bytes).collect();
        Self { name, dtype: Dtype::U32, shape, bytes }
    }

    fn view(&self) -> Result<TensorView<'_>, String> {
        TensorView::new(self.dtype, self.shape.clone(), &self.bytes)
            .map_err(|error| error.to_string())
    }
}

/// Maximum length in bytes of a safetensors header.
const MAX_HEADER: u64 = 100_000_000;

/// Reads the header of a model file.
pub(crate) fn header(mut file: impl Read) -> io::Result<serde_json::Value> {
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length).min(MAX_HEADER);
    Ok(serde_json::from_reader(file.take(length))?)
}

/// Our metadata in a header; `None` in files of other programs.
pub(crate) fn own_metadata(header: &serde_json::Value) -> Option<serde_json::Value> {
    serde_json::from_str(header.get("__metadata__")?.get(METADATA_KEY)?.as_str()?).ok()
}

/// Reads our metadata from the header of a model file.
pub(crate) fn header_metadata(file: impl Read) -> io::Result<Option<serde_json::Value>> {
    Ok(own_metadata(&header(file)?))
}

/// The bytes before the digest in a file: its key in the escaped JSON of the header.
const DIGEST: &[u8] = b"sha256\\\":\\\"";

/// Number of hexadecimal digits of a digest.
const DIGITS: usize = 64;

/// Serialises tensors and metadata, a JSON object. Adds its key `sha256`, the digest of the whole file with zeros
/// instead of the digest.
pub(crate) fn serialize(tensors: &[Stored], json: &str) -> Result<Vec<u8>, String> {
    let rest = json.strip_prefix('{').ok_or("the metadata is not a JSON object")?;
    let json = format!("{{\"sha256\":\"{}\",{rest}", "0".repeat(DIGITS));
    // A single key, because the order of several would be random.
    let metadata = [(METADATA_KEY.to_owned(), json)].into_iter().collect();
    let views = tensors
        .iter()
        .map(|stored| Ok((&*stored.name, stored.view()?)))
        .collect::<Result<Vec<_>, String>>()?;
    let mut bytes =
        safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())?;
    let range = digest_range(&bytes).ok_or("the header has no digest")?;
    let digest = sparrow_files::sha256(&bytes);
    bytes[range].copy_from_slice(digest.as_bytes());
    Ok(bytes)
}

/// Returns the byte range of the digest, if the file has one.
fn digest_range(bytes: &[u8]) -> Option<Range<usize>> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let header = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let start = header.windows(DIGEST.len()).position(|window| window == DIGEST)?;
    let start = 8 + start + DIGEST.len();
    (start + DIGITS <= 8 + header.len()).then_some(start..start + DIGITS)
}

/// Verifies the digest of a file, if it has one.
fn verify(bytes: &[u8]) -> Result<(), String> {
    let Some(range) = digest_range(bytes) else { return Ok(()) };
    let mut hasher = Hashing::new(io::sink());
    let parts = [&bytes[..range.start], &[b'0'; DIGITS], &bytes[range.end..]];
    let written = parts.into_iter().try_for_each(|part| hasher.write_all(part));
    if written.is_ok() && hasher.sha256().as_bytes() == &bytes[range] {
        return Ok(());
    }
    Err("damaged file: the SHA-256 differs from the metadata".to_owned())
}

/// Serialises like other programs, without our metadata.
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) fn without_metadata(tensors: &[Stored]) -> Vec<u8> {
    let views = tensors.iter().map(|stored| (&*stored.name, stored.view().unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// Disables the digest, so that tests reach the parser with damaged content.
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) fn unverified(mut bytes: Vec<u8>) -> Vec<u8> {
    let range = digest_range(&bytes).unwrap();
    bytes[range.start - DIGEST.len()] = b'_';
    bytes
}
