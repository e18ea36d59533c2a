use super::layered;

#[test]
fn strategies_are_tables_with_shares_and_parameters() {
    let config = layered(
        "[[models]]\nname = 'items'\nkind = 'ease'\npath = 'p'\n\
         [[recall.strategies]]\nstrategy = 'genre'\nfavourites = 2\n\
         [[recall.strategies]]\nstrategy = 'ease'\nshare = 50\nmodel = 'items'\n",
        &[],
    );
    let config = config.unwrap();
    let printed = config.to_toml();
    let expected = "[[recall.strategies]]\nfavourites = 2\nshare = 200\nstrategy = \"genre\"\n\n\
                    [[recall.strategies]]\nmodel = \"items\"\nshare = 50\nstrategy = \"ease\"\n";
    assert!(printed.contains(expected), "{printed}");
    assert_eq!(layered(&printed, &[]).unwrap().recall, config.recall);
    let strategies = |file: &str| layered(file, &[]).unwrap().recall.strategies.all().len();
    assert_eq!(
        (strategies("[recall]\nstrategies = []"), strategies("recall.candidates = 7")),
        (0, 7)
    );
}

#[test]
fn errors_in_strategies_name_the_key() {
    let table = "[[recall.strategies]]\nstrategy = ";
    for (file, message) in [
        (
            "[recall]\ngenre = 6\n",
            "recall.genre in FILE: recall strategies are tables of the configuration file now: \
             [[recall.strategies]] with strategy = \"genre\" and share = 6 (",
        ),
        ("[recall]\nstrategies = 3", "unknown key \"recall.strategies\" in FILE"),
        (
            "[[recall.strategies]]\nshare = 3",
            "recall.strategies[0].strategy in FILE: a table names a strategy",
        ),
        (
            &format!("{table}'genres'"),
            "recall.strategies[0].strategy in FILE: \"genres\" is none of embedding, genre, rating, recency, \
             popularity, ease, next-item, item-knn, did you mean \"genre\"?",
        ),
        (
            &format!("{table}'genre'\nshare = 0"),
            "recall.strategies[0].share in FILE: invalid value: integer `0`, expected a nonzero usize",
        ),
        (
            &format!("{table}'genre'\nfavorites = 3"),
            "unknown key \"recall.strategies[0].favorites\" in FILE, did you mean \
             \"recall.strategies[0].favourites\"?",
        ),
        (
            &format!("{table}'genre'\nfavourites = 'all'"),
            "recall.strategies[0].favourites in FILE: invalid type: string \"all\", expected usize",
        ),
        (
            &format!("{table}'genre'\nfavourites = 9"),
            "recall.strategies[0].favourites in FILE: favourites must be from 1 to 5, got 9",
        ),
        (
            &format!("{table}'rating'\nfavourites = 3"),
            "recall.strategies[0].favourites in FILE: the strategy rating has no favourites",
        ),
        (
            &format!("{table}'genre'\n{table}'genre'"),
            "recall.strategies[1].strategy in FILE: two strategies are \"genre\"",
        ),
        (
            &format!("{table}'ease'\nmodel = 'eas'"),
            "recall.strategies[0].model in FILE: no model is named \"eas\"",
        ),
        (
            &format!("{table}'ease'\nmodel = 'emb'"),
            "recall.strategies[0].model in FILE: \"emb\" is not a model of the kind ease",
        ),
    ] {
        let error = layered(file, &[]).unwrap_err();
        assert!(error.starts_with(message), "{error}\n{message}");
    }
    let error = layered("", &[("SPARROW__RECALL__EASE", "5")]).unwrap_err();
    let expected = "SPARROW__RECALL__EASE in the environment: recall strategies are tables";
    assert!(error.starts_with(expected) && error.contains("share = 5"), "{error}");
}

/// Two mixes: one with strategies of its own, one with another number of candidates.
const MIXES: &str = "[[recall.strategies]]\nstrategy = 'rating'\n\
                     [[recall.mixes]]\nname = 'wide'\nstrategies = [{ strategy = 'genre', share = 400 }, \
                     { strategy = 'recency', always = true }]\n\
                     [[recall.mixes]]\nname = 'long'\ncandidates = 1600\n\
                     [[recall.mixes]]\nname = 'popular'\nstrategies = []\n";

#[test]
fn mixes_have_the_strategies_and_candidates_of_recall_unless_they_set_them() {
    let config = layered(MIXES, &[]).unwrap();
    let mixes: Vec<_> = config
        .recall
        .mixes()
        .map(|(name, strategies, candidates)| (name, strategies.all().len(), candidates.get()))
        .collect();
    assert_eq!(mixes, [("wide", 2, 800), ("long", 1, 1600), ("popular", 0, 800)]);
    let printed = config.to_toml();
    assert_eq!(layered(&printed, &[]).unwrap().recall, config.recall, "{printed}");
    assert!(!layered("", &[]).unwrap().to_toml().contains("mixes"));
}

#[test]
fn errors_in_mixes_name_the_key() {
    let mix = "[[recall.mixes]]\nname = 'wide'\nstrategies = ";
    for (file, message) in [
        ("[[recall.mixes]]\ncandidates = 5", "recall.mixes[0].name in FILE: a name has 1 to 100 "),
        (
            "[[recall.mixes]]\nname = 'a'\n[[recall.mixes]]\nname = 'a'",
            "recall.mixes[1].name in FILE: there is another recall mix with this name",
        ),
        (
            "[[recall.mixes]]\nname = 'a'\ncandidates = 0",
            "recall.mixes[0].candidates in FILE: invalid value: integer `0`, expected a nonzero usize",
        ),
        (
            &format!("{mix}[{{ strategy = 'genre' }}, {{ strategy = 'rating', share = 0 }}]"),
            "recall.mixes[0].strategies[1].share in FILE: invalid value: integer `0`, expected a nonzero usize",
        ),
        (
            &format!("{mix}[{{ strategy = 'genres' }}]"),
            "recall.mixes[0].strategies[0].strategy in FILE: \"genres\" is none of embedding, genre, rating, recency, ",
        ),
        (
            &format!("{mix}[{{ strategy = 'genre', shar = 3 }}]"),
            "unknown key \"recall.mixes[0].strategies[0].shar\" in FILE, did you mean \
             \"recall.mixes[0].strategies[0].share\"?",
        ),
        (&format!("{mix}['genre']"), "unknown key \"recall.mixes[0].strategies\" in FILE"),
        (
            "[[recall.mixes]]\nname = 'wide'\nstrategie = []",
            "unknown key \"recall.mixes[0].strategie\" in FILE",
        ),
        (
            &format!("{mix}[{{ strategy = 'ease', model = 'eas' }}]"),
            "recall.mixes[0].strategies[0].model in FILE: no model is named \"eas\"",
        ),
    ] {
        let error = layered(file, &[]).unwrap_err();
        assert!(error.starts_with(message), "{error}\n{message}");
    }
}
