//! Fuzz targets of this crate, for `crates/fuzz`; tests replay their corpus.

use crate::response::{error_message, parse_scores};
use crate::signature::Signature;

/// Reads these bytes as an answer with scores, as metadata, and as an error.
///
/// # Panics
/// If an answer is accepted with another number of scores than requested.
pub fn answers(data: &[u8]) {
    for rows in [0, 1, 3] {
        for output in [None, Some("score"), Some("a \"b\"")] {
            let mut scores = vec![7.0];
            if parse_scores(data, rows, output, &mut scores).is_ok() {
                assert!(scores.len() == rows + 1 && scores[0] == 7.0, "{scores:?} of {rows} rows");
            }
        }
    }
    let _ = Signature::read(data, "serving_default");
    let message = error_message(data);
    assert!(message.chars().count() <= 301 && !message.contains('\n'), "{message:?}");
}

#[cfg(test)]
mod tests {
    use sparrow_test_support::corpus;

    use super::*;

    #[test]
    fn corpus_of_answers_is_read_without_panics() {
        let metadata: &[u8] = br#"{"model_spec":{"name":"m","signature_name":"","version":"3"},"metadata":{"signature_def":
            {"signature_def":{"serving_default":{"inputs":{"userId":{"dtype":"DT_INT32","tensor_shape":{"dim":
            [{"size":"-1","name":""}],"unknown_rank":false},"name":"x:0"}},"outputs":{"score":{"dtype":"DT_FLOAT",
            "tensor_shape":{"dim":[{"size":"-1","name":""},{"size":"1","name":""}],"unknown_rank":false},"name":"y:0"}},
            "method_name":"tensorflow/serving/predict"}}}}}"#;
        let deep = [&br#"{"x":"#[..], &[b'['; 200]].concat();
        let seeds: [(&str, &[u8]); 9] = [
            ("rows", br#"{"predictions":[[0.82],[0.5],[1e-3]]}"#),
            ("flat", br#"{ "predictions" : [ 0.82 ] }"#),
            ("columns", br#"{"outputs":[[0.82],[0.5],[0.25]]}"#),
            ("several-outputs", br#"{"outputs":{"score":[[0.1],[0.2],[0.3]],"other":[1,2,3]}}"#),
            ("not-finite", br#"{"predictions":[[NaN],[Infinity],[-Infinity]]}"#),
            ("escapes", br#"{"a\u0022\\":"\ud83c\udfac","predictions":[[1]]}"#),
            ("deep", &deep),
            ("error", br#"{"error":"Servable not found\nfor request"}"#),
            ("metadata", metadata),
        ];
        for (_, data) in corpus("tf-serving-answers", &seeds) {
            answers(&data);
        }
    }
}
