//! What files in the safetensors format have in common.

use std::io::{self, Write as _};
use std::ops::Range;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sparrow_files::Hashing;

/// The one key of a file's own metadata; its value is JSON.
pub(crate) const METADATA_KEY: &str = "sparrow";

/// The tensors of a file that is read.
pub(crate) struct Tensors<'a>(pub(crate) SafeTensors<'a>);

impl<'a> Tensors<'a> {
    /// Whether there is one of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.tensor(name).is_ok()
    }

    fn view(&self, name: &str) -> Result<TensorView<'a>, String> {
        self.0.tensor(name).map_err(|_| format!("it has no tensor {name:?}"))
    }

    /// The numbers of a tensor with as many axes as `axes`, and its shape.
    pub(crate) fn floats<const AXES: usize>(
        &self,
        name: &str,
    ) -> Result<(Vec<f32>, [usize; AXES]), String> {
        let view = self.view(name)?;
        let shape = shape(&view, name)?;
        if view.dtype() != Dtype::F32 {
            return Err(format!("{name:?} is of type {:?}, not F32", view.dtype()));
        }
        let (values, _) = view.data().as_chunks::<4>();
        Ok((values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(), shape))
    }

    /// The whole numbers of a tensor with one axis.
    pub(crate) fn ids(&self, name: &str) -> Result<Vec<u32>, String> {
        let view = self.view(name)?;
        let [_] = shape(&view, name)?;
        let four = view.data().as_chunks::<4>().0.iter();
        let eight = view.data().as_chunks::<8>().0.iter();
        let whole: Vec<i64> = match view.dtype() {
            Dtype::U32 => four.map(|&bytes| u32::from_le_bytes(bytes).into()).collect(),
            Dtype::I32 => four.map(|&bytes| i32::from_le_bytes(bytes).into()).collect(),
            Dtype::I64 | Dtype::U64 => eight.map(|&bytes| i64::from_le_bytes(bytes)).collect(),
            other => return Err(format!("{name:?} is of type {other:?}, not of whole numbers")),
        };
        whole
            .into_iter()
            .map(|id| u32::try_from(id).map_err(|_| format!("{id} in {name:?} is no id")))
            .collect()
    }
}

fn shape<const AXES: usize>(view: &TensorView<'_>, name: &str) -> Result<[usize; AXES], String> {
    view.shape()
        .try_into()
        .map_err(|_| format!("{name:?} has the shape {:?}, not {AXES} axes", view.shape()))
}

/// A tensor on its way into a file.
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Stored {
    /// Numbers in single precision.
    pub(crate) fn floats<'a, const AXES: usize>(
        name: String,
        shape: [usize; AXES],
        values: impl IntoIterator<Item = &'a f32>,
    ) -> Self {
        let bytes = values.into_iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name, dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    /// Whole numbers, along one axis.
    pub(crate) fn whole(name: String, values: impl ExactSizeIterator<Item = u32>) -> Self {
        let shape = vec![values.len()];
        let bytes = values.flat_map(u32::to_le_bytes).collect();
        Self { name, dtype: Dtype::U32, shape, bytes }
    }

    fn view(&self) -> Result<TensorView<'_>, String> {
        TensorView::new(self.dtype, self.shape.clone(), &self.bytes)
            .map_err(|error| error.to_string())
    }
}

/// What stands before the digest in a file: its key in the metadata's JSON, which is text of the header.
const DIGEST: &[u8] = b"sha256\\\":\\\"";

/// The digits of a digest.
const DIGITS: usize = 64;

/// The content of a file with these tensors and this metadata, an object in JSON. Its key `sha256` is added:
/// the digest of the whole file with zeros in that place.
pub(crate) fn serialize(tensors: &[Stored], json: &str) -> Result<Vec<u8>, String> {
    let rest = json.strip_prefix('{').ok_or("its metadata is no object")?;
    let json = format!("{{\"sha256\":\"{}\",{rest}", "0".repeat(DIGITS));
    // One key only: several would be written in an order that changes from run to run.
    let metadata = [(METADATA_KEY.to_owned(), json)].into_iter().collect();
    let views = tensors
        .iter()
        .map(|stored| Ok((&*stored.name, stored.view()?)))
        .collect::<Result<Vec<_>, String>>()?;
    let mut bytes =
        safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())?;
    let place = digest_in(&bytes).ok_or("its header has no digest")?;
    let digest = sparrow_files::sha256(&bytes);
    bytes[place].copy_from_slice(digest.as_bytes());
    Ok(bytes)
}

/// Where the header of a file has its digest, if it has one.
fn digest_in(bytes: &[u8]) -> Option<Range<usize>> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let header = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let start = header.windows(DIGEST.len()).position(|window| window == DIGEST)?;
    let start = 8 + start + DIGEST.len();
    (start + DIGITS <= 8 + header.len()).then_some(start..start + DIGITS)
}

/// Compares the content of a file with its digest, where it has one.
pub(crate) fn verify(bytes: &[u8]) -> Result<(), String> {
    let Some(place) = digest_in(bytes) else { return Ok(()) };
    let mut hasher = Hashing::new(io::sink());
    let parts = [&bytes[..place.start], &[b'0'; DIGITS], &bytes[place.end..]];
    let hashed = parts.into_iter().try_for_each(|part| hasher.write_all(part));
    if hashed.is_ok() && hasher.sha256().as_bytes() == &bytes[place] {
        return Ok(());
    }
    Err("it is damaged: its SHA-256 is not the one in its metadata".to_owned())
}

/// As other programs write files.
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) fn without_metadata(tensors: &[Stored]) -> Vec<u8> {
    let views = tensors.iter().map(|stored| (&*stored.name, stored.view().unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// The same content as a program that knows no digests has it, so that damage gets to what reads it.
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) fn unverified(mut bytes: Vec<u8>) -> Vec<u8> {
    let place = digest_in(&bytes).unwrap();
    bytes[place.start - DIGEST.len()] = b'_';
    bytes
}
