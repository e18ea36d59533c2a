//! What files in the safetensors format have in common.

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

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

/// The content of a file with these tensors and this metadata.
pub(crate) fn serialize(tensors: &[Stored], json: String) -> Result<Vec<u8>, String> {
    // One key only: several would be written in an order that changes from run to run.
    let metadata = [(METADATA_KEY.to_owned(), json)].into_iter().collect();
    let views = tensors
        .iter()
        .map(|stored| Ok((&*stored.name, stored.view()?)))
        .collect::<Result<Vec<_>, String>>()?;
    safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

/// As other programs write files.
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) fn without_metadata(tensors: &[Stored]) -> Vec<u8> {
    let views = tensors.iter().map(|stored| (&*stored.name, stored.view().unwrap()));
    safetensors::serialize(views, None).unwrap()
}
