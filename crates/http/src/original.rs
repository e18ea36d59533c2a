//! The endpoints of the system whose front ends this server can stand behind, with its field names.
//! Like there, unknown parameters are ignored.

use sparrow_engine::{Candidates, Request, SimilarRequest};
use sparrow_model::{Sort, UserId};

use crate::json;
use crate::problem::Problem;
use crate::query;
use crate::reply::Reply;
use crate::server::Shared;
use crate::site::{Site, engine_problem};
use crate::texts::{ORIGINAL_UNKNOWN, original_rating, write_rating_range};
use crate::v1::CANDIDATES;

/// Movies in a list where the request does not say.
const SIZE: usize = 32;

/// A wrapped rating with all its digits.
const RATING_BYTES: usize = 96;

impl Site {
    /// `/getrecforyou`: the hot path.
    pub(crate) async fn get_rec_for_you(
        &self,
        query: Option<&str>,
        shared: &Shared,
    ) -> Result<Reply, Problem> {
        let [id, size, model, candidates] =
            query::parse_known(query, ["id", "size", "model", "candidates"])?;
        let request = Request {
            model: model.text(),
            size: size.size(SIZE)?,
            candidates: candidates.choice(&CANDIDATES, Candidates::Recalled)?,
            ..Request::new(UserId(id.id()?))
        };
        let found = self.recommend(&request, &model, shared).await?;
        let mut out = Vec::new();
        self.original.list(&mut out, found.items.iter().map(|item| item.movie));
        Ok(Reply::json(out).with_model(self.model_header(&found.model), found.degraded))
    }

    /// `/getmovie`.
    pub(crate) fn get_movie(&self, query: Option<&str>) -> Result<Reply, Problem> {
        let [id] = query::parse_known(query, ["id"])?;
        let movie = self.movie(id.id()?).map_err(|problem| problem.parameter("id"))?;
        Ok(Reply::json(self.original.get(movie).to_vec()))
    }

    /// `/getuser`: with all ratings, oldest first.
    pub(crate) async fn get_user(&self, query: Option<&str>) -> Result<Reply, Problem> {
        let [id] = query::parse_known(query, ["id"])?;
        let id = id.id()?;
        let user = self.user(id).await.map_err(|problem| problem.about("id"))?;
        let (history, profile) = (user.history(), user.profile(self.catalog()));
        let mut out = Vec::with_capacity(192 + history.len() * RATING_BYTES);
        out.extend_from_slice(b"{\"userId\":");
        json::integer(&mut out, id);
        write_rating_range(&mut out, &profile, ORIGINAL_UNKNOWN);
        out.extend_from_slice(b",\"ratingCount\":");
        json::integer(&mut out, profile.rating_count);
        out.extend_from_slice(b",\"ratings\":");
        json::list(&mut out, history.iter(), |out, rated| {
            let movie = self.catalog().movie(rated.movie).id.0;
            original_rating(out, movie, id, rated.stars, rated.timestamp);
        });
        out.push(b'}');
        Ok(Reply::json(out))
    }

    /// `/getsimilarmovie`.
    pub(crate) fn get_similar_movie(&self, query: Option<&str>) -> Result<Reply, Problem> {
        let [id, size, model] = query::parse_known(query, ["movieId", "size", "model"])?;
        let (id, size) = (id.id()?, size.size(SIZE)?);
        let movie = self.movie(id).map_err(|problem| problem.parameter("movieId"))?;
        let request = SimilarRequest { movie, model: model.text(), size };
        let found =
            self.engine.similar(&request).map_err(|error| engine_problem(&error, &model))?;
        let mut out = Vec::new();
        self.original.list(&mut out, found.items.iter().map(|item| item.movie));
        let model = self.model_header(&found.model);
        Ok(Reply::json(out).with_model(model, found.reason.is_some()))
    }

    /// `/getrecommendation`: the first movies of a genre.
    pub(crate) fn get_recommendation(&self, query: Option<&str>) -> Result<Reply, Problem> {
        let [genre, size, sort] = query::parse_known(query, ["genre", "size", "sortby"])?;
        genre.required()?;
        let size = size.size(SIZE)?;
        let sorts = [("rating", Sort::Rating), ("releaseYear", Sort::ReleaseYear)];
        let order = self.ordered(&genre, sort.choice(&sorts, Sort::Rating)?)?;
        let mut out = Vec::new();
        self.original.list(&mut out, order[..size.min(order.len())].iter().copied());
        Ok(Reply::json(out))
    }
}
