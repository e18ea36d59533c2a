use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layered;
use crate::config::{Config, Store, StoreUrl, Strategies};

#[test]
fn later_layers_take_precedence() {
    let config = layered(
        "listen = '127.0.0.1:1'\n[data]\nmax_bad_lines = 6\n[recall]\ncandidates = 5\n\
         [server]\nidle_timeout = '1m 5s'\n",
        &[
            ("SPARROW__DATA__MAX_BAD_LINES", "7"),
            ("SPARROW__DATA__PATH", "123"),
            ("SPARROW_OTHER", "x"),
            ("PATH", "x"),
        ],
    )
    .unwrap();
    assert_eq!(config.listen.port(), 7);
    assert_eq!((config.recall.candidates.get(), config.data.max_bad_lines), (5, 7));
    assert_eq!(config.recall.strategies, Strategies::default());
    assert_eq!(config.server.idle_timeout, Duration::from_secs(65));
    assert_eq!(config.data.path, Some(PathBuf::from("123")));
}

#[test]
fn ports_and_lists_are_read_from_every_layer() {
    let read = |file: &str, environment: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparrow.toml");
        fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::layered(Some(&path), environment, &[]).unwrap()
    };
    assert_eq!(read("listen = 6011", &[]).listen.to_string(), "127.0.0.1:6011");
    let config =
        read("[cors]\norigins = ['https://a.example']", &[("SPARROW__LISTEN", ":6011"), ("A", "")]);
    assert_eq!(config.listen.to_string(), "0.0.0.0:6011");
    assert_eq!(config.cors.origins, ["https://a.example"]);
    let environment = [("SPARROW__CORS__ORIGINS", "https://b.example, *")];
    assert_eq!(read("", &environment).cors.origins, ["https://b.example", "*"]);
    assert_eq!(read("", &[("SPARROW__CORS__ORIGINS", "")]).cors.origins, [""; 0]);
    let hidden = [("SPARROW__CATALOG__HIDDEN", "1, 20")];
    assert_eq!(read("[catalog]\nhidden = [3]", &[]).catalog.hidden, [3]);
    assert_eq!(read("", &hidden).catalog.hidden, [1, 20]);
    // The printed configuration can be read.
    let printed = read(&read("", &environment).to_toml(), &[]);
    assert_eq!(printed.cors.origins, ["https://b.example", "*"]);
}

#[test]
fn errors_name_key_and_origin() {
    for (file, environment, message) in [
        (
            "[server]\nidle_timout = '1s'\n",
            ("A", ""),
            "unknown key \"server.idle_timout\" in FILE, did you mean \"server.idle_timeout\"?",
        ),
        ("[zzz]\nqqq = 1\n", ("A", ""), "unknown key \"zzz.qqq\" in FILE"),
        (
            "",
            ("SPARROW__SERVER__IDLE_TIMOUT", "1s"),
            "unknown key \"SPARROW__SERVER__IDLE_TIMOUT\" in the environment, did you mean \
             \"SPARROW__SERVER__IDLE_TIMEOUT\"?",
        ),
        (
            "",
            ("SPARROW__RECALL__CANDIDATES", "many"),
            "recall.candidates in the environment (SPARROW__RECALL__CANDIDATES): invalid type: \
             string \"many\", expected a nonzero usize",
        ),
        (
            "[recall]\ncandidates = 0\n",
            ("A", ""),
            "recall.candidates in FILE: invalid value: integer `0`, expected a nonzero usize",
        ),
        (
            "[data]\nmax_bad_lines = -1\n",
            ("A", ""),
            "data.max_bad_lines in FILE: invalid value: integer `-1`, expected usize",
        ),
        (
            "[server]\nidle_timeout = 10\n",
            ("A", ""),
            "server.idle_timeout in FILE: invalid type: integer `10`, expected a string",
        ),
        (
            "[server]\nidle_timeout = '10'\n",
            ("A", ""),
            "server.idle_timeout in FILE: \"10\" is not a duration such as \"10s\": time unit \
             needed, for example 10sec or 10ms",
        ),
        (
            "[ranking]\nsimilarity = 'cos'\n",
            ("A", ""),
            "ranking.similarity in FILE: unknown variant `cos`, expected one of `auto`, `cosine`, \
             `dot`",
        ),
        (
            "[cors]\norigins = ['https://a.example', 'a.example/']\n",
            ("A", ""),
            "cors.origins in FILE: \"a.example/\" is not an origin such as",
        ),
        (
            "",
            ("SPARROW__CORS__ORIGINS", "https://a.example, b"),
            "cors.origins in the environment (SPARROW__CORS__ORIGINS): \"b\" is not an origin",
        ),
        (
            "[log]\nfilter = 'infoo'\n",
            ("A", ""),
            "log.filter in FILE: \"infoo\" is none of the levels off, error, warn, info, debug, trace, did \
             you mean \"info\"?",
        ),
        ("server = 3\n", ("A", ""), "unknown key \"server\" in FILE"),
        (
            "",
            ("SPARROW__STORE__URL", "http://me:secret@host"),
            "store.url in the environment (SPARROW__STORE__URL): the store's address is invalid: its \
             scheme must be redis,",
        ),
    ] {
        let error = layered(file, &[environment]).unwrap_err();
        assert!(error.starts_with(message), "{error}\n{message}");
        assert!(!error.contains("secret"), "{error}");
    }
    let error = layered("listen = \n", &[]).unwrap_err();
    assert!(error.starts_with("FILE is not valid TOML: TOML parse error at line 1"), "{error}");
    let missing = Config::layered(Some(Path::new("/nowhere.toml")), [], &[]).unwrap_err();
    assert_eq!(missing.to_string(), "cannot read the configuration file /nowhere.toml");
}

#[test]
fn the_store_has_a_shorter_name_in_the_environment() {
    let url =
        |environment: &[(&str, &str)]| layered("", environment).unwrap().store.url.0.to_string();
    let short = ("SPARROW_STORE", "redis://a");
    assert_eq!(url(&[short]), "redis://a:6379");
    assert_eq!(url(&[short, ("SPARROW__STORE__URL", "redis://b")]), "redis://b:6379");
    assert_eq!(url(&[("SPARROW__STORE__URL", "redis://b"), short]), "redis://b:6379");
}

#[test]
fn printed_configuration_parses_equally() {
    let mut config = Config::default();
    config.data.posters = Some(PathBuf::from("a \"b\""));
    let secret = StoreUrl("redis://me:secret@host".parse().unwrap());
    let with_secret =
        Config { store: Store { url: secret, ..Store::default() }, ..Config::default() };
    let shown = format!("{} {with_secret:?}", with_secret.to_toml());
    assert!(shown.contains("redis://host:6379") && !shown.contains("secret"), "{shown}");
    assert_eq!(layered("", &[]).unwrap().listen.port(), 7);
    let printed: Config = toml::from_str(&config.to_toml()).unwrap();
    assert_eq!(printed, config);
}
