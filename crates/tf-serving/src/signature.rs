//! Compares the signature of a model with the configured inputs.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Error;
use crate::input::Type;
use crate::inputs::Inputs;

/// The inputs and outputs of a model version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) version: u64,
    inputs: BTreeMap<String, Tensor>,
    outputs: BTreeMap<String, Tensor>,
}

/// The layout of requests for a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Whether the values of each input are wrapped in lists: `[[6],[6]]` instead of `[6,6]`.
    pub(crate) wrapped: Vec<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Tensor {
    dtype: String,
    /// The sizes of the axes, −1 for any; `None` for an unknown rank.
    shape: Option<Vec<i64>>,
}

impl Signature {
    /// Parses a signature from the response of `/metadata`.
    pub(crate) fn read(body: &[u8], name: &str) -> Result<Self, Error> {
        let malformed = |message: String| Error::Malformed(format!("metadata: {message}"));
        let mut response: MetadataResponse =
            serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
        let version = &response.model_spec.version;
        let version =
            version.parse().map_err(|_| malformed(format!("invalid version {version:?}")))?;
        let definitions = &mut response.metadata.signature_def.signature_def;
        let Some(definition) = definitions.remove(name) else {
            // Signatures without inputs initialise the model.
            let usable = definitions.iter().filter(|(_, definition)| !definition.inputs.is_empty());
            let names: Vec<&str> = usable.map(|(name, _)| name.as_str()).collect();
            let others = if names.is_empty() {
                "the model has none".to_owned()
            } else {
                format!("set \"signature\" to one of {}", names.join(", "))
            };
            return Err(Error::Mismatch(format!("unknown signature {name}: {others}")));
        };
        let tensors = |infos: BTreeMap<String, TensorInfo>| -> Result<_, String> {
            infos
                .into_iter()
                .map(|(name, tensor)| Ok((name, tensor.read()?)))
                .collect::<Result<BTreeMap<_, _>, String>>()
        };
        Ok(Self {
            version,
            inputs: tensors(definition.inputs).map_err(malformed)?,
            outputs: tensors(definition.outputs).map_err(malformed)?,
        })
    }

    /// Returns the layout of requests; the error lists all differences between signature and inputs.
    pub(crate) fn layout(&self, inputs: &Inputs, output: Option<&str>) -> Result<Layout, String> {
        let mut faults = Vec::new();
        let mut wrapped = Vec::new();
        let names = || self.inputs.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        for input in inputs.as_slice() {
            let name = &input.name;
            let Some(tensor) = self.inputs.get(name) else {
                faults.push(format!("unknown input {name}, the model has {}", names()));
                continue;
            };
            let type_fits = match input.value_type {
                Type::Int32 => tensor.dtype == "DT_INT32",
                Type::Int64 => tensor.dtype == "DT_INT64",
                Type::Float32 => matches!(&*tensor.dtype, "DT_FLOAT" | "DT_DOUBLE"),
                Type::String => tensor.dtype == "DT_STRING",
            };
            if !type_fits {
                let (dtype, sent) = (&tensor.dtype, input.value_type);
                faults.push(format!("the input {name} has type {dtype}, configured as {sent}"));
            }
            match tensor.is_wrapped() {
                Some(is_wrapped) => wrapped.push(is_wrapped),
                None => faults.push(format!(
                    "the input {name} has the shape {:?}, expected one value per row",
                    tensor.shape.as_deref().unwrap_or_default()
                )),
            }
        }
        for name in self.inputs.keys() {
            if !inputs.as_slice().iter().any(|input| input.name == *name) {
                faults.push(format!("the input {name} is not configured"));
            }
        }
        let outputs = || self.outputs.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let chosen = match output {
            Some(output) => self.outputs.get_key_value(output),
            None if self.outputs.len() == 1 => self.outputs.first_key_value(),
            None => None,
        };
        match (chosen, output) {
            (Some((name, tensor)), _) => {
                if !matches!(&*tensor.dtype, "DT_FLOAT" | "DT_DOUBLE" | "DT_HALF" | "DT_BFLOAT16") {
                    faults.push(format!(
                        "the output {name} has type {}, expected a float",
                        tensor.dtype
                    ));
                } else if tensor.is_wrapped().is_none() {
                    faults.push(format!(
                        "the output {name} has the shape {:?}, expected one score per row",
                        tensor.shape.as_deref().unwrap_or_default()
                    ));
                }
            }
            (None, Some(output)) => {
                faults.push(format!("unknown output {output}, the model has {}", outputs()));
            }
            (None, None) => {
                faults.push(format!("several outputs: set \"output\" to one of {}", outputs()));
            }
        }
        if faults.is_empty() { Ok(Layout { wrapped }) } else { Err(faults.join("; ")) }
    }
}

impl Tensor {
    /// Returns whether the single value of a row is wrapped in a list; `None` for other shapes.
    fn is_wrapped(&self) -> Option<bool> {
        match self.shape.as_deref() {
            None | Some([-1]) => Some(false),
            Some([-1, 1 | -1]) => Some(true),
            Some(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct MetadataResponse {
    model_spec: ModelSpec,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct ModelSpec {
    version: String,
}

#[derive(Deserialize)]
struct Metadata {
    signature_def: Definitions,
}

#[derive(Deserialize)]
struct Definitions {
    signature_def: BTreeMap<String, Definition>,
}

#[derive(Deserialize)]
struct Definition {
    #[serde(default)]
    inputs: BTreeMap<String, TensorInfo>,
    #[serde(default)]
    outputs: BTreeMap<String, TensorInfo>,
}

#[derive(Deserialize)]
struct TensorInfo {
    dtype: String,
    tensor_shape: Shape,
}

#[derive(Deserialize)]
struct Shape {
    #[serde(default)]
    dim: Vec<Dimension>,
    #[serde(default)]
    unknown_rank: bool,
}

#[derive(Deserialize)]
struct Dimension {
    size: String,
}

impl TensorInfo {
    fn read(self) -> Result<Tensor, String> {
        let shape = &self.tensor_shape;
        let sizes: Result<Vec<i64>, _> = shape.dim.iter().map(|dim| dim.size.parse()).collect();
        let sizes = sizes.map_err(|_| "a dimension is not a number".to_owned())?;
        Ok(Tensor { dtype: self.dtype, shape: (!shape.unknown_rank).then_some(sizes) })
    }
}
