/// An answer that was shown to a user in an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Exposure {
    /// The name of the experiment.
    pub experiment: Box<str>,
    /// The name of the variant.
    pub variant: Box<str>,
    /// The model that ranked, which is not that of the variant if the answer is degraded.
    pub model: Box<str>,
    /// Whether the answer is degraded.
    pub degraded: bool,
    /// The time of recall and ranking, in microseconds.
    pub micros: u32,
    /// For interleaved rankings: movies with the model that contributed each, as `MOVIE=MODEL` separated by spaces.
    pub credits: Option<Box<str>>,
}

impl Exposure {
    /// The contents of [`credits`](Self::credits).
    pub fn format_credits<'a>(
        credits: impl IntoIterator<Item = (sparrow_model::MovieId, &'a str)>,
    ) -> Box<str> {
        let credits = credits.into_iter().map(|(movie, model)| format!("{movie}={model}"));
        credits.collect::<Vec<_>>().join(" ").into()
    }

    /// The movies with the model that contributed each; malformed parts are left out.
    pub fn credited(&self) -> impl Iterator<Item = (sparrow_model::MovieId, &str)> {
        let parts = self.credits.as_deref().unwrap_or_default().split(' ');
        parts.filter_map(|part| {
            let (movie, model) = part.split_once('=')?;
            Some((sparrow_model::MovieId(movie.parse().ok()?), model))
        })
    }
}
