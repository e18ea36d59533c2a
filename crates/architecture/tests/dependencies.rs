//! Which crate depends on what, as Cargo resolves it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// What Cargo prints for this workspace.
fn cargo(arguments: &[&str]) -> String {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .args(["--locked", "--offline"])
        // A crate has the features that it selects itself, whatever the environment configures.
        .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A crate of the workspace.
struct Member {
    folder: PathBuf,
    /// What it depends on directly, dependencies of tests and build scripts aside.
    dependencies: BTreeSet<String>,
}

/// The crates of the workspace by name.
fn members() -> BTreeMap<String, Member> {
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 20, "{} packages", packages.len());
    let member = |package: &Value| {
        let name = package["name"].as_str().unwrap().to_owned();
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let dependencies = dependencies
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
            .collect();
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        (name, Member { folder: manifest.parent().unwrap().to_owned(), dependencies })
    };
    packages.iter().map(member).collect()
}

/// The crates that depend on another one directly.
fn dependents(members: &BTreeMap<String, Member>, on: &str) -> Vec<String> {
    let depends = |member: &Member| member.dependencies.contains(on);
    members.iter().filter(|(_, member)| depends(member)).map(|(name, _)| name.clone()).collect()
}

/// Everything that a crate depends on, with the features that it selects itself.
fn tree(package: &str) -> BTreeSet<String> {
    tree_with(package, &[])
}

/// The same with further arguments of Cargo, such as `--all-features`.
fn tree_with(package: &str, arguments: &[&str]) -> BTreeSet<String> {
    let tree = ["tree", "--package", package, "--edges", "normal", "--prefix", "none"];
    let lines = cargo(&[&tree, arguments].concat());
    let names = lines.lines().filter_map(|line| line.split(' ').next());
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    assert!(names.contains(package), "{lines}");
    names
}

fn assert_absent(package: &str, absent: &[&str]) {
    assert_absent_from(&tree(package), package, absent);
}

fn assert_absent_from(tree: &BTreeSet<String>, package: &str, absent: &[&str]) {
    for name in absent {
        assert!(!tree.contains(*name), "{package} depends on {name}");
    }
}

/// What the engine and everything below it must not contain.
const IO: [&str; 7] = ["hyper", "serde", "serde_json", "tokio", "object_store", "fred", "redb"];

/// What only the programs contain, and the crates of the loader.
const OF_PROGRAMS: [&str; 23] = [
    "clap",
    "datafusion",
    "faer",
    "indicatif",
    "object_store",
    "parquet",
    "plotters",
    "prost",
    "tikv-jemallocator",
    "toml",
    "tracing-subscriber",
    "sparrow-app",
    "sparrow-console",
    "sparrow-embed",
    "sparrow-evaluate",
    "sparrow-feature-files",
    "sparrow-otlp",
    "sparrow-pipeline",
    "sparrow-process",
    "sparrow-push",
    "sparrow-report",
    "sparrow-synth",
    "sparrow-train",
];

#[test]
fn engine_and_below_depend_on_no_io() {
    for package in [
        "sparrow-engine",
        "sparrow-experiments",
        "sparrow-recall",
        "sparrow-rank",
        "sparrow-features",
        "sparrow-live",
        "sparrow-model",
    ] {
        assert_absent(package, &IO);
        let crates = ["sparrow-files", "sparrow-http", "sparrow-movielens", "sparrow-store"];
        assert_absent(package, &crates);
    }
}

#[test]
fn facade_contains_no_program_and_no_io_unless_selected() {
    let package = "sparrow-recsys";
    let everything = tree_with(package, &["--all-features"]);
    assert_absent_from(&everything, package, &OF_PROGRAMS);
    for part in ["hyper", "fred", "redb", "safetensors", "sparrow-tf-serving"] {
        assert!(everything.contains(part), "{part} is not among its features");
    }
    let by_default = tree(package);
    assert_absent_from(&by_default, package, &["fred", "redb", "rustls", "safetensors"]);
    assert!(by_default.contains("sparrow-http") && by_default.contains("sparrow-movielens"));
    assert_absent_from(&tree_with(package, &["--no-default-features"]), package, &IO);
}

#[test]
fn live_data_depend_on_the_model_and_counters_alone() {
    let own = |name: &String| name.starts_with("sparrow-");
    let dependencies: Vec<String> = tree("sparrow-live").into_iter().filter(own).collect();
    assert_eq!(dependencies, ["sparrow-live", "sparrow-metrics", "sparrow-model"]);
}

#[test]
fn recall_and_rank_do_not_depend_on_each_other() {
    assert_absent("sparrow-recall", &["sparrow-rank"]);
    assert_absent("sparrow-rank", &["sparrow-recall"]);
}

#[test]
fn each_large_library_is_used_by_the_crates_of_its_subject() {
    let members = members();
    for (library, users) in [
        ("datafusion", &["sparrow-pipeline"][..]),
        ("faer", &["sparrow-embed"]),
        ("fred", &["sparrow-store"]),
        ("hyper", &["sparrow-http", "sparrow-live-overlay", "sparrow-otlp", "sparrow-tf-serving"]),
        ("indicatif", &["sparrow-console"]),
        ("object_store", &["sparrow-push"]),
        ("plotters", &["sparrow-report"]),
        ("prometheus-client", &["sparrow-http"]),
        ("prost", &["sparrow-otlp", "sparrow-train"]),
        ("redb", &["sparrow-store"]),
    ] {
        assert_eq!(dependents(&members, library), users, "{library}");
    }
}

#[test]
fn only_the_program_of_the_pipeline_contains_datafusion() {
    let members = members();
    assert_eq!(dependents(&members, "sparrow-pipeline"), ["sparrow-pipeline-cli"]);
    assert_eq!(dependents(&members, "sparrow-pipeline-cli"), [""; 0]);
    for package in ["sparrow-serve", "sparrow-loader"] {
        assert_absent(package, &["datafusion", "datafusion-common", "sparrow-pipeline"]);
    }
    assert!(tree("sparrow-pipeline-cli").contains("datafusion"));
}

/// A report is made of plain data.
#[test]
fn reports_know_no_models() {
    let tree = tree("sparrow-report");
    let own: Vec<&String> = tree.iter().filter(|name| name.starts_with("sparrow-")).collect();
    assert_eq!(own, ["sparrow-report"]);
}

#[test]
fn the_server_contains_nothing_that_trains() {
    let absent = [
        "sparrow-embed",
        "sparrow-evaluate",
        "sparrow-feature-files",
        "sparrow-push",
        "sparrow-report",
        "sparrow-synth",
        "sparrow-train",
        "faer",
        "parquet",
    ];
    assert_absent("sparrow-serve", &absent);
}

/// All sources below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let paths = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

#[test]
fn only_the_kernel_of_neural_contains_unsafe_code() {
    let mut with_unsafe = BTreeSet::new();
    for (name, member) in members() {
        for path in sources(&member.folder.join("src")) {
            let text = fs::read_to_string(&path).unwrap();
            let unsafe_code = ["unsafe {", "unsafe fn ", "unsafe impl ", "unsafe extern "];
            if unsafe_code.iter().any(|code| text.contains(code)) {
                let inside = path.strip_prefix(&member.folder).unwrap().to_owned();
                let in_kernel =
                    inside.starts_with("src/kernel") || inside == Path::new("src/kernel.rs");
                assert!(in_kernel, "{}", path.display());
                with_unsafe.insert(name.clone());
            }
        }
    }
    assert_eq!(Vec::from_iter(with_unsafe), ["sparrow-neural"]);
}

/// Files that a source embeds, tests and documentation aside.
fn embedded(source: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(source).unwrap();
    let code = text.split_once("\nmod tests {").map_or(&*text, |(code, _)| code);
    let macros = ["include_bytes!(\"", "include_str!(\""];
    let names = macros.into_iter().flat_map(|include| code.split(include).skip(1));
    let names = names.map(|rest| rest.split_once('"').unwrap().0);
    let pages = |name: &&str| Path::new(name).extension().is_some_and(|end| end == "md");
    names.filter(|name| !pages(name)).map(|name| source.parent().unwrap().join(name)).collect()
}

/// A package contains only files of its own folder.
#[test]
fn crates_embed_only_files_of_their_own_folder() {
    let mut files = 0;
    for (_, member) in members() {
        let folder = member.folder.canonicalize().unwrap();
        let is_code = |source: &PathBuf| {
            !source.strip_prefix(&folder).unwrap().iter().any(|name| name == "tests")
        };
        for source in sources(&folder.join("src")).into_iter().filter(is_code) {
            for file in embedded(&source) {
                let inside = file.canonicalize().unwrap().starts_with(&folder);
                assert!(inside, "{} embeds {}", source.display(), file.display());
                files += 1;
            }
        }
    }
    assert!(files >= 5, "the demonstration set alone has five files, found {files}");
}

/// The dependencies of all programs, or of all programs and tests, with their features.
fn features(edges: &str) -> BTreeSet<String> {
    let tree = ["tree", "--workspace", "--edges", edges, "--format", "{p} {f}", "--prefix", "none"];
    let lines = cargo(&tree);
    lines.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

/// Otherwise `cargo build` and `cargo test` compile these dependencies, and all that depends on them, in turn.
#[test]
fn tests_select_the_features_that_programs_select() {
    let of_programs = features("normal,build");
    let of_tests = features("normal,build,dev");
    let others: Vec<&String> = of_programs.difference(&of_tests).collect();
    assert!(others.is_empty(), "tests select other features of {others:?}");
}
