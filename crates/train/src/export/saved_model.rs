//! A model as TensorFlow's SavedModel: a frozen graph, all numbers in it as constants.

use prost::Message as _;
use sparrow_neural::neural_cf::{Dense, Embedding, Model, Network};

use super::proto::{
    Attribute, Axis, FLOAT, Graph, INT32, MetaGraph, MetaInfo, Node, SavedModel, Shape, Signature,
    Tensor, TensorInfo, Value, Versions,
};

/// The most bytes of constants. TensorFlow loads no protobuf of 2 GiB or more, and holds such a
/// graph several times over while it loads.
pub(super) const MAX_BYTES: u64 = 1 << 30;

/// The bytes of `saved_model.pb`, or in words why there can be none.
///
/// Inputs `userId` and `movieId` of shape \[-1\], one output of shape \[-1, 1\]. Ids go through a table
/// from ids to rows: MovieLens ids are sparse. Whatever id is not in it, negative ones too, gets
/// the row of unknown ids.
pub(super) fn encode(model: &Model) -> Result<Vec<u8>, String> {
    let size = size(model);
    if size > MAX_BYTES {
        return Err(format!(
            "the model is too large for a TensorFlow graph: {} MiB of numbers and ids, where {} MiB \
             are the most; embed fewer users, or with shorter embeddings",
            size >> 20,
            MAX_BYTES >> 20
        ));
    }
    let mut builder = Builder::default();
    let user = builder.input("userId");
    let movie = builder.input("movieId");
    let movie = builder.embed("movie", movie, model.movies());
    let user = builder.embed("user", user, model.users());
    let last = match model.network() {
        Network::NeuralCf { hidden } => {
            let both = builder.concat("concat", &[movie, user]);
            builder.layers("dense", both, hidden)
        }
        Network::NeuMf { factors, hidden } => {
            let movie_factors = builder.columns("movie/factors", &movie, 0, Some(*factors));
            let user_factors = builder.columns("user/factors", &user, 0, Some(*factors));
            let float = [("T", Value::Type(FLOAT))];
            let gmf = builder.node("gmf", "Mul", &[movie_factors, user_factors], &float);
            let movie = builder.columns("movie/mlp", &movie, *factors, None);
            let user = builder.columns("user/mlp", &user, *factors, None);
            let both = builder.concat("mlp/concat", &[movie, user]);
            let mlp = builder.layers("mlp/dense", both, hidden);
            builder.concat("concat", &[gmf, mlp])
        }
        Network::TwoTowers { movie: movie_tower, user: user_tower } => {
            let movie = builder.layers("movie/dense", movie, movie_tower);
            let user = builder.layers("user/dense", user, user_tower);
            let float = [("T", Value::Type(FLOAT))];
            let product = builder.node("dot/product", "Mul", &[movie, user], &float);
            let axis = builder.constant("dot/axis", &Ints(&[1]), &[1]);
            builder.node(
                "dot",
                "Sum",
                &[product, axis],
                &[
                    ("T", Value::Type(FLOAT)),
                    ("Tidx", Value::Type(INT32)),
                    ("keep_dims", Value::Bool(true)),
                ],
            )
        }
    };
    let logit = builder.dense("output", last, model.output());
    let score = builder.node("score", "Sigmoid", &[logit], &[("T", Value::Type(FLOAT))]);

    let info = |name: &str, dtype, axes: &[i64]| TensorInfo {
        name: format!("{name}:0"),
        dtype,
        shape: Some(shape(axes)),
    };
    let input = |name: &str| (name.to_owned(), info(name, INT32, &[-1]));
    let signature = Signature {
        inputs: [input("userId"), input("movieId")].into(),
        outputs: [("score".to_owned(), info(&score, FLOAT, &[-1, 1]))].into(),
        method: "tensorflow/serving/predict".to_owned(),
    };
    let graph = Graph {
        nodes: builder.nodes,
        // As TensorFlow 2.0 writes them, which all later versions read.
        versions: Some(Versions { producer: 119, min_consumer: 12 }),
    };
    let meta = MetaGraph {
        info: Some(MetaInfo { tags: vec!["serve".to_owned()] }),
        graph: Some(graph),
        signatures: [("serving_default".to_owned(), signature)].into(),
    };
    Ok(SavedModel { schema_version: 1, meta_graphs: vec![meta] }.encode_to_vec())
}

/// The bytes of the model's constants, the small ones left out.
fn size(model: &Model) -> u64 {
    let embedding = |embedding: &Embedding| {
        let greatest = embedding.table.iter().last().map_or(0, |(id, _)| u64::from(id));
        let numbers = (embedding.table.len() as u64 + 1) * embedding.dimension() as u64;
        4 * (greatest + 3 + numbers)
    };
    embedding(model.movies()) + embedding(model.users())
}

#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
}

/// Whole numbers for a constant.
struct Ints<'a>(&'a [i32]);

/// Numbers for a constant: their type and bytes.
trait Numbers {
    const TYPE: i32;

    fn bytes(&self) -> Vec<u8>;
}

impl Numbers for Ints<'_> {
    const TYPE: i32 = INT32;

    fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|number| number.to_le_bytes()).collect()
    }
}

impl Numbers for [f32] {
    const TYPE: i32 = FLOAT;

    fn bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|number| number.to_le_bytes()).collect()
    }
}

impl Builder {
    /// Adds a node and returns its name, which is that of its only output.
    fn node(
        &mut self,
        name: &str,
        op: &str,
        inputs: &[String],
        attributes: &[(&str, Value)],
    ) -> String {
        let attributes = attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Attribute { value: Some(value.clone()) }));
        self.nodes.push(Node {
            name: name.to_owned(),
            op: op.to_owned(),
            inputs: inputs.to_vec(),
            attributes: attributes.collect(),
        });
        name.to_owned()
    }

    fn input(&mut self, name: &str) -> String {
        self.node(
            name,
            "Placeholder",
            &[],
            &[("dtype", Value::Type(INT32)), ("shape", Value::Shape(shape(&[-1])))],
        )
    }

    fn constant<N: Numbers + ?Sized>(&mut self, name: &str, numbers: &N, axes: &[usize]) -> String {
        let sizes: Vec<i64> =
            axes.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect();
        let tensor =
            Tensor { dtype: N::TYPE, shape: Some(shape(&sizes)), content: numbers.bytes() };
        self.node(
            name,
            "Const",
            &[],
            &[("dtype", Value::Type(N::TYPE)), ("value", Value::Tensor(tensor))],
        )
    }

    /// Rows of a table.
    fn gather(&mut self, name: &str, table: String, rows: String, of: i32) -> String {
        let axis = self.constant(&format!("{name}/axis"), &Ints(&[0]), &[]);
        self.node(
            name,
            "GatherV2",
            &[table, rows, axis],
            &[
                ("Tparams", Value::Type(of)),
                ("Tindices", Value::Type(INT32)),
                ("Taxis", Value::Type(INT32)),
                ("batch_dims", Value::Int(0)),
            ],
        )
    }

    /// The columns of matrices, side by side.
    fn concat(&mut self, name: &str, matrices: &[String; 2]) -> String {
        let axis = self.constant(&format!("{name}/axis"), &Ints(&[1]), &[]);
        let [first, second] = matrices.clone();
        self.node(
            name,
            "ConcatV2",
            &[first, second, axis],
            &[("T", Value::Type(FLOAT)), ("N", Value::Int(2)), ("Tidx", Value::Type(INT32))],
        )
    }

    /// Columns of a matrix from `first`, `count` of them or all that follow.
    fn columns(&mut self, name: &str, of: &str, first: usize, count: Option<usize>) -> String {
        // Dimensions are far below the limit of 32 bits. A size of −1 is all that follows.
        let int = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let count = count.map_or(-1, int);
        let begin = self.constant(&format!("{name}/begin"), &Ints(&[0, int(first)]), &[2]);
        let size = self.constant(&format!("{name}/size"), &Ints(&[-1, count]), &[2]);
        self.node(
            name,
            "Slice",
            &[of.to_owned(), begin, size],
            &[("T", Value::Type(FLOAT)), ("Index", Value::Type(INT32))],
        )
    }

    /// From ids to embeddings.
    fn embed(&mut self, name: &str, ids: String, embedding: &Embedding) -> String {
        // Row 0 is that of unknown ids. The places of the table are the ids plus one; the first and the
        // last stand for all ids below and above. Ids beyond those that an int32 holds cannot come.
        let known: Vec<u32> =
            embedding.table.iter().map(|(id, _)| id).filter(|&id| id < i32::MAX as u32).collect();
        let greatest = known.last().map_or(-1, |id| id.cast_signed());
        let mut rows = vec![0; greatest as usize + 3];
        for (row, id) in (1..).zip(known) {
            rows[id as usize + 1] = row;
        }
        let int = [("T", Value::Type(INT32))];
        let least = self.constant(&format!("{name}/least"), &Ints(&[-1]), &[]);
        let most = self.constant(&format!("{name}/most"), &Ints(&[greatest + 1]), &[]);
        let one = self.constant(&format!("{name}/one"), &Ints(&[1]), &[]);
        let ids = self.node(&format!("{name}/from"), "Maximum", &[ids, least], &int);
        let ids = self.node(&format!("{name}/to"), "Minimum", &[ids, most], &int);
        let places = self.node(&format!("{name}/place"), "AddV2", &[ids, one], &int);
        let places_of = self.constant(&format!("{name}/rows"), &Ints(&rows), &[rows.len()]);
        let rows = self.gather(&format!("{name}/row"), places_of, places, INT32);

        let mut values = embedding.unknown.clone();
        values.extend(embedding.table.iter().flat_map(|(_, row)| row));
        let axes = [embedding.table.len() + 1, embedding.dimension()];
        let table = self.constant(&format!("{name}/embeddings"), &values[..], &axes);
        self.gather(&format!("{name}/embedding"), table, rows, FLOAT)
    }

    fn dense(&mut self, name: &str, input: String, layer: &Dense) -> String {
        let float = [("T", Value::Type(FLOAT))];
        let axes = [layer.inputs(), layer.outputs()];
        let weight = self.constant(&format!("{name}/weight"), &layer.weight[..], &axes);
        let bias = self.constant(&format!("{name}/bias"), &layer.bias[..], &axes[1..]);
        let product = self.node(
            &format!("{name}/product"),
            "MatMul",
            &[input, weight],
            &[
                ("T", Value::Type(FLOAT)),
                ("transpose_a", Value::Bool(false)),
                ("transpose_b", Value::Bool(false)),
            ],
        );
        self.node(&format!("{name}/sum"), "BiasAdd", &[product, bias], &float)
    }

    fn layers(&mut self, name: &str, input: String, layers: &[Dense]) -> String {
        let mut input = input;
        for (place, layer) in layers.iter().enumerate() {
            let name = format!("{name}/{place}");
            let sum = self.dense(&name, input, layer);
            input =
                self.node(&format!("{name}/relu"), "Relu", &[sum], &[("T", Value::Type(FLOAT))]);
        }
        input
    }
}

fn shape(axes: &[i64]) -> Shape {
    Shape { axes: axes.iter().map(|&size| Axis { size }).collect() }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_neural::TableBuilder;

    use super::*;

    fn model(greatest: u32) -> Model {
        let embedding = |id| {
            let mut table = TableBuilder::default();
            table.push(2, &[1.0, 2.0]).unwrap();
            table.push(id, &[3.0, 4.0]).unwrap();
            Embedding { table: table.build().unwrap(), unknown: vec![5.0, 6.0] }
        };
        let dense = |inputs: usize, outputs: usize| Dense {
            weight: vec![0.5; inputs * outputs],
            bias: vec![0.25; outputs],
        };
        let network = Network::NeuralCf { hidden: vec![dense(4, 3)] };
        Model::new(embedding(greatest), embedding(7), network, dense(3, 1)).unwrap()
    }

    #[test]
    fn inputs_come_before_what_uses_them() {
        for model in [model(5), neumf()] {
            check(&encode(&model).unwrap());
        }
    }

    fn neumf() -> Model {
        let dense = |inputs: usize, outputs: usize| Dense {
            weight: vec![0.5; inputs * outputs],
            bias: vec![0.25; outputs],
        };
        let model = model(5);
        let network = Network::NeuMf { factors: 1, hidden: vec![dense(2, 3)] };
        Model::new(model.movies().clone(), model.users().clone(), network, dense(4, 1)).unwrap()
    }

    fn check(bytes: &[u8]) {
        let saved = SavedModel::decode(bytes).unwrap();
        let graph = saved.meta_graphs[0].graph.as_ref().unwrap();
        let mut known: Vec<&str> = Vec::new();
        for node in &graph.nodes {
            assert!(node.inputs.iter().all(|input| known.contains(&&**input)), "{node:?}");
            assert!(!known.contains(&&*node.name), "{} twice", node.name);
            known.push(&node.name);
        }
        let rows = graph.nodes.iter().find(|node| node.name == "movie/rows").unwrap();
        let Some(Value::Tensor(rows)) = &rows.attributes["value"].value else { panic!() };
        let rows: Vec<u8> = rows.content.iter().copied().step_by(4).collect();
        assert_eq!(rows, [0, 0, 0, 1, 0, 0, 2, 0]);
    }

    #[test]
    fn a_model_beyond_the_limit_is_refused() {
        let message = encode(&model(u32::MAX)).unwrap_err();
        assert!(message.starts_with("the model is too large for a TensorFlow graph: 16384 MiB"));
    }
}
