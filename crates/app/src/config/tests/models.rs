use std::fs;

use super::layered;

#[test]
fn byte_order_marks_of_vocabularies_are_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("words.txt");
    let file = format!(
        "[[models]]\nname = 'a'\nkind = 'tf-serving'\nurl = 'http://h/v1/models/m'\n\
         [[models.inputs]]\nname = 'g'\nsource = 'uf.userGenre1'\nvocabulary_file = '{}'\n",
        words.display()
    );
    fs::write(&words, "Comedy\nDrama\n").unwrap();
    let plain = layered(&file, &[]).unwrap().models;
    fs::write(&words, "\u{feff}Comedy\r\nDrama\r\n").unwrap();
    assert_eq!(layered(&format!("\u{feff}{file}"), &[]).unwrap().models, plain);
    fs::write(&words, b"Com\xe9die\n").unwrap();
    let error = layered(&file, &[]).unwrap_err();
    assert!(error.contains("invalid utf-8"), "{error}");
}

#[test]
fn models_have_default_and_configured_fallbacks() {
    let chain = |file: &str| {
        let config = layered(file, &[]).unwrap();
        let models = config.models.all().iter();
        models
            .map(|model| format!("{}>{}", model.name, model.fallback.as_deref().unwrap_or("-")))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(chain(""), "emb>popularity popularity>- neuralcf>emb");
    let tf = "url = 'http://h:1/v1/models/m'\nkind = 'tf-serving'\n";
    assert_eq!(
        chain(&format!("[[models]]\nname = 'tf'\n{tf}")),
        "emb>popularity popularity>- neuralcf>emb tf>neuralcf"
    );
    assert_eq!(
        chain(&format!("[[models]]\nname = 'neuralcf'\n{tf}")),
        "emb>popularity popularity>- neuralcf>emb"
    );
    assert_eq!(
        chain(&format!(
            "ranking.default = 'nerualcf'\n[[models]]\nname = 'tf'\nfallback = 'nerualcf'\n{tf}\
             [[models]]\nname = 'neuralcf'\nkind = 'neuralcf'\nfallback = 'e'\n\
             [[models]]\nname = 'e'\nkind = 'embedding'\npath = 'p'\n\
             [[models]]\nname = 'pop'\nkind = 'popularity'\n"
        )),
        "emb>popularity popularity>- neuralcf>e tf>neuralcf e>emb pop>-"
    );
    assert_eq!(chain("models = []"), chain(""));
}

#[test]
fn errors_in_models_name_the_key() {
    for (file, message) in [
        ("models = 3", "unknown key \"models\" in FILE"),
        ("models = [1, {name = 'a'}]", "models in FILE: each element must be a table"),
        ("[models]\ndefault = 'emb'", "unknown key \"models.default\" in FILE"),
        ("[[models]]", "models[0].name in FILE: a model has a name"),
        (
            "[[models]]\nname = 'a b'",
            "models[0].name in FILE: a name consists of letters, digits, '-', '_' and '.', at most 64 of \
             them: \"a b\"",
        ),
        (
            "[[models]]\nname = 'nerualcf'\nkind = 'popularity'",
            "models[0].name in FILE: \"nerualcf\" is an alias of \"neuralcf\"",
        ),
        ("[[models]]\nname = 'a'", "models[0].kind in FILE: the model \"a\" has no kind"),
        (
            "[[models]]\nname = 'a'\nkind = 'neural'",
            "models[0].kind in FILE: \"neural\" is none of the kinds embedding, popularity, neuralcf, ease, \
             next-item, item-knn, blend, tf-serving, did you mean \"neuralcf\"?",
        ),
        (
            "[[models]]\nname = 'a'\nkind = 'popularity'\n[[models]]\nname = 'a'\nkind = 'popularity'",
            "models[1].name in FILE: two models are named \"a\"",
        ),
        (
            "[[models]]\nname = 'a'\nkind = 'neuralcf'",
            "models[0].path in FILE: a model of the kind neuralcf requires the folder of its versions",
        ),
        (
            "[[models]]\nname = 'a'\nkind = 'embedding'\nurl = 'x'",
            "models[0].url in FILE: a model of the kind embedding has no url",
        ),
        (
            "[[models]]\nname = 'a'\nkind = 'popularity'\nfallback = 'nuralcf'",
            "models[0].fallback in FILE: no model is named \"nuralcf\", did you mean \"neuralcf\"?",
        ),
        (
            "[[models]]\nname = 'emb'\nkind = 'embedding'\nfallback = 'a'\n\
             [[models]]\nname = 'a'\nkind = 'popularity'\nfallback = 'neuralcf'",
            "models[0].fallback in FILE: the fallbacks have a cycle: emb → a → neuralcf → emb",
        ),
        (
            "[[models]]\nname = 'emb'\nkind = 'embedding'\nfallback = 'emb'",
            "models[0].fallback in FILE: the fallbacks have a cycle: emb → emb",
        ),
        (
            "[ranking]\ndefault = 'popular'",
            "ranking.default in FILE: no model is named \"popular\", did you mean \"popularity\"?",
        ),
    ] {
        let error = layered(file, &[]).unwrap_err();
        assert!(error.starts_with(message), "{error}\n{message}");
    }
    let error = layered("", &[("SPARROW__MODELS__NAME", "a")]).unwrap_err();
    assert!(error.starts_with("unknown key \"SPARROW__MODELS__NAME\""), "{error}");
}

#[test]
fn errors_in_models_at_servers_name_the_key() {
    let tf = "[[models]]\nname = 'tf'\nkind = 'tf-serving'\n";
    let url = "url = 'http://h:8501/v1/models/m'\n";
    for (file, message) in [
        (
            tf,
            "models[0].url in FILE: a model of the kind tf-serving requires a URL, such as http://",
        ),
        (
            &format!("{tf}[[models]]\nname = 'a'\nulr = 'x'"),
            "unknown key \"models[1].ulr\" in FILE, did you mean \"models[1].url\"?",
        ),
        (
            &format!("{tf}url = 'http://me:secret@h/v1/models/m'"),
            "models[0].url in FILE: the URL of the model must not contain a user or password",
        ),
        (
            &format!("{tf}{url}version = 1\nlabel = 'a'"),
            "models[0].label in FILE: version and label exclude each other",
        ),
        (
            &format!("{tf}{url}deadline = 5"),
            "models[0].deadline in FILE: invalid type: integer `5`, expected a string",
        ),
        (
            &format!("{tf}{url}failures = 3"),
            "unknown key \"models[0].failures\" in FILE, did you mean \"models[0].failure_rate\"?",
        ),
        (
            &format!("{tf}{url}failure_rate = 1.5"),
            "models[0].url in FILE: failure_rate must be above 0 and at most 1",
        ),
        (
            &format!("{tf}{url}max_body = '5'"),
            "models[0].max_body in FILE: \"5\" is not a size such as \"16MiB\"",
        ),
        (
            &format!("{tf}{url}batch = {{ wait = '1ms' }}"),
            "models[0].batch in FILE: missing field `rows`",
        ),
        (
            &format!("{tf}{url}connections = 0"),
            "models[0].connections in FILE: invalid value: integer `0`, expected a nonzero usize",
        ),
        (
            &format!("{tf}{url}[[models.inputs]]\nname = 'u'\nsorce = 'user.id'"),
            "unknown key \"models[0].inputs[0].sorce\" in FILE, did you mean \
             \"models[0].inputs[0].source\"?",
        ),
        (
            &format!("{tf}{url}[[models.inputs]]\nname = 'u'"),
            "models[0].inputs[0].source in FILE: an input has a source",
        ),
        (
            &format!("{tf}{url}[[models.inputs]]\nname = 'u'\nsource = 'user'"),
            "models[0].inputs[0].source in FILE: unknown source \"user\", expected user.id,",
        ),
        (
            &format!("{tf}{url}[[models.inputs]]\nname = 'u'\nsource = 'user.id'\nmax = 1.5"),
            "models[0].inputs[0].max in FILE: invalid type: floating point `1.5`, expected u32",
        ),
        (
            &format!(
                "{tf}{url}[[models.inputs]]\nname = 'u'\nsource = 'uf.userGenre1'\n\
                 vocabulary_file = '/nowhere'"
            ),
            "models[0].inputs[0].vocabulary_file in FILE: cannot read /nowhere: ",
        ),
        (
            &format!(
                "{tf}{url}[[models.inputs]]\nname = 'u'\nsource = 'uf.userRatingCount'\n\
                 normalise = {{ mean = 1, max = 2 }}"
            ),
            "models[0].inputs[0].normalise in FILE: takes mean and stddev, or min and max",
        ),
    ] {
        let error = layered(file, &[]).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
        assert!(error.starts_with(message), "{error}\n{message}");
    }
}
