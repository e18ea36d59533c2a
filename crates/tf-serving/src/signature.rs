//! A model's signature, as the server describes it, against the inputs that are configured.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Error;
use crate::input::{Inputs, Type};

/// The inputs and outputs of a version of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) version: u64,
    inputs: BTreeMap<String, Tensor>,
    outputs: BTreeMap<String, Tensor>,
}

/// What is to know of it for asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// For each input, whether each value is a row of its own: `[[6],[6]]` in place of `[6,6]`.
    pub(crate) wrapped: Vec<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Tensor {
    dtype: String,
    /// The sizes of the dimensions, −1 for any; `None` if even their number is open.
    shape: Option<Vec<i64>>,
}

impl Signature {
    /// Reads the signature of this name from the answer to `/metadata`.
    pub(crate) fn read(body: &[u8], name: &str) -> Result<Self, Error> {
        let malformed = |what: String| Error::Malformed(format!("its metadata: {what}"));
        let mut answer: Answer =
            serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
        let version = &answer.model_spec.version;
        let version =
            version.parse().map_err(|_| malformed(format!("{version:?} is no version")))?;
        let definitions = &mut answer.metadata.signature_def.signature_def;
        let Some(definition) = definitions.remove(name) else {
            // What initialises a model takes no inputs.
            let usable = definitions.iter().filter(|(_, definition)| !definition.inputs.is_empty());
            let names: Vec<&str> = usable.map(|(name, _)| name.as_str()).collect();
            let others = if names.is_empty() {
                "and no other".to_owned()
            } else {
                format!("but {}: name one with the key \"signature\"", names.join(", "))
            };
            return Err(Error::Mismatch(format!("it has no signature {name}, {others}")));
        };
        let tensors = |described: BTreeMap<String, Described>| -> Result<_, String> {
            described
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

    /// How to ask this model, or everything in which it and the inputs differ.
    pub(crate) fn layout(&self, inputs: &Inputs, output: Option<&str>) -> Result<Layout, String> {
        let mut faults = Vec::new();
        let mut wrapped = Vec::new();
        let names = || self.inputs.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        for input in inputs.as_slice() {
            let name = &input.name;
            let Some(tensor) = self.inputs.get(name) else {
                faults.push(format!("it takes no input {name}, but {}", names()));
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
                faults.push(format!("it takes the input {name} as {dtype}, not as {sent}"));
            }
            match tensor.one_a_row() {
                Some(is_wrapped) => wrapped.push(is_wrapped),
                None => faults.push(format!(
                    "it takes the input {name} in the shape {:?}, not as one value a row",
                    tensor.shape.as_deref().unwrap_or_default()
                )),
            }
        }
        for name in self.inputs.keys() {
            if !inputs.as_slice().iter().any(|input| input.name == *name) {
                faults.push(format!("it takes the input {name}, which is not configured"));
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
                    faults.push(format!("its output {name} is {}, no score", tensor.dtype));
                } else if tensor.one_a_row().is_none() {
                    faults.push(format!(
                        "its output {name} has the shape {:?}, not one score a row",
                        tensor.shape.as_deref().unwrap_or_default()
                    ));
                }
            }
            (None, Some(output)) => {
                faults.push(format!("it has no output {output}, but {}", outputs()));
            }
            (None, None) => {
                faults.push(format!(
                    "it has the outputs {}: name the score with the key \"output\"",
                    outputs()
                ));
            }
        }
        if faults.is_empty() { Ok(Layout { wrapped }) } else { Err(faults.join("; ")) }
    }
}

impl Tensor {
    /// Whether a row's only value is wrapped in a list; `None` if rows are of another form.
    fn one_a_row(&self) -> Option<bool> {
        match self.shape.as_deref() {
            None | Some([-1]) => Some(false),
            Some([-1, 1 | -1]) => Some(true),
            Some(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct Answer {
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
    inputs: BTreeMap<String, Described>,
    #[serde(default)]
    outputs: BTreeMap<String, Described>,
}

#[derive(Deserialize)]
struct Described {
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

impl Described {
    fn read(self) -> Result<Tensor, String> {
        let shape = &self.tensor_shape;
        let sizes: Result<Vec<i64>, _> = shape.dim.iter().map(|dim| dim.size.parse()).collect();
        let sizes = sizes.map_err(|_| "a size that is no number".to_owned())?;
        Ok(Tensor { dtype: self.dtype, shape: (!shape.unknown_rank).then_some(sizes) })
    }
}
