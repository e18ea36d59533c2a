import "./site.js";

import { get, latest, models } from "./api.js";
import { announce, count, day, h, pagePath, plural } from "./dom.js";
import { features } from "./features.js";
import { addressWith, card, emptyBox, genreUrl, NO_GENRE, problemBox, problemPage, segmented, settled, stars, unknownChoiceBox, waiting } from "./parts.js";
import { poster } from "./poster.js";
import { rating } from "./rating.js";
import { reasonText } from "./reasons.js";
import { readdress } from "./scroll.js";
import { displayTitle } from "./title.js";

const SIMILAR = 15;
const DEFAULT_MODEL = "emb";
const movieId = pagePath.split("/")[2];

function outside(movie) {
  const links = [
    movie.imdbId && ["IMDb", `https://www.imdb.com/title/tt${encodeURIComponent(movie.imdbId)}/`],
    movie.tmdbId && ["TMDB", `https://www.themoviedb.org/movie/${encodeURIComponent(movie.tmdbId)}`],
  ].filter(Boolean);
  if (links.length === 0) return null;
  return h("p", { class: "links" }, ...links.map(([name, href]) => h("a", { class: "button button--quiet", href, rel: "external noreferrer" }, `${name} `, h("span", { "aria-hidden": "true" }, "↗"))));
}

function facts(movie) {
  const title = displayTitle(movie.title);
  document.title = `${title}${movie.releaseYear === null ? "" : ` (${movie.releaseYear})`} – Sparrow`;
  const rated = movie.ratingNumber > 0;
  document.getElementById("movie").replaceChildren(
    h("div", { class: "movie__poster" }, poster(movie)),
    h(
      "div",
      { class: "movie__facts" },
      h("p", { class: "eyebrow" }, movie.releaseYear ?? "Year unknown"),
      h("h1", {}, title),
      rated
        ? h("p", { class: "movie__rating" }, stars(movie.averageRating), h("strong", {}, movie.averageRating.toFixed(2)), h("span", {}, ` from ${plural(movie.ratingNumber, "rating")}`))
        : h("p", { class: "movie__rating" }, "No ratings yet."),
      h("div", { class: "movie__own" }, h("span", { class: "quiet small" }, "Your rating"), rating(movie)),
      movie.genres.length > 0
        ? h("ul", { class: "chips", role: "list", "aria-label": "Genres" }, ...movie.genres.map((genre) => h("li", {}, h("a", { class: "chip", href: genreUrl(genre) }, genre))))
        : h("p", { class: "quiet" }, "No genre is listed. ", h("a", { href: genreUrl(NO_GENRE) }, "All movies without a genre")),
      h(
        "dl",
        { class: "facts" },
        h("div", {}, h("dt", {}, "Bayesian average"), h("dd", {}, movie.bayesianRating.toFixed(2))),
        h("div", {}, h("dt", {}, "Ratings"), h("dd", {}, count(movie.ratingNumber))),
        h("div", {}, h("dt", {}, "Movie id"), h("dd", {}, movie.movieId)),
      ),
      outside(movie),
    ),
  );
}

function fans(movie) {
  const place = document.getElementById("fans");
  if (movie.topRatings.length === 0) {
    place.replaceChildren(emptyBox("No ratings yet"));
    return;
  }
  place.replaceChildren(
    h(
      "ol",
      { class: "fans", role: "list" },
      ...movie.topRatings.map((rating) => h("li", {}, stars(rating.score), h("span", { class: "quiet" }, day(rating.timestamp)))),
    ),
  );
}

const ask = latest();
const LABELS = new Map([["emb", "Taste"], ["genre", "Genre"]]);
const label = (model) => LABELS.get(model) ?? model;

function chosenModel() {
  return new URLSearchParams(location.search).get("model") ?? DEFAULT_MODEL;
}

async function similar() {
  const list = document.getElementById("similar");
  const notice = document.getElementById("similar-notice");
  const model = chosenModel();
  waiting(list, SIMILAR);
  notice.replaceChildren();
  try {
    const found = await ask((signal) => get(`/v1/movies/${movieId}/similar`, { size: SIMILAR, model }, signal));
    if (!found) return;
    list.dataset.model = found.model;
    if (found.degraded) {
      notice.append(h("p", { class: "notice" }, h("strong", {}, `“${label(model)}” could not answer. `), `${await reasonText(found.reason, model)} The list below is from the fallback “${label(found.model)}”.`));
    }
    settled(
      list,
      found.items.map(({ movie, score }) => card(movie, h("p", { class: "why" }, h("span", { class: "why__score" }, `match ${score.toFixed(2)}`)))),
    );
    if (found.items.length === 0) notice.append(emptyBox("Nothing similar was found"));
    announce(`${plural(found.items.length, "similar movie")}, model ${found.model}`);
  } catch (error) {
    settled(list, []);
    if (error.parameter !== "model") notice.replaceChildren(problemBox(error, similar));
    else notice.replaceChildren(unknownChoiceBox(error, "model", model, { label, link: (name) => addressWith({ model: name }) }));
  }
}

async function choice() {
  let off = new Set();
  try {
    off = new Set((await models()).items.filter((model) => !model.available).map((model) => model.name));
  } catch {
    // Both models are offered then; the answer contains the one that was used.
  }
  document.getElementById("similar-model").replaceChildren(
    segmented(
      "Similar by",
      "model",
      [
        { value: "emb", label: label("emb"), note: off.has("emb") ? "(unavailable)" : null, title: "Nearest item embeddings: movies that the same users like" },
        { value: "genre", label: label("genre"), title: "Shared genres and rating" },
      ],
      chosenModel(),
      (model) => {
        readdress(addressWith({ model: model === DEFAULT_MODEL ? null : model }));
        similar();
      },
    ),
  );
}

async function start() {
  try {
    const [movie] = await Promise.all([get(`/v1/movies/${movieId}`), choice()]);
    facts(movie);
    fans(movie);
    document.getElementById("more").hidden = false;
    similar();
    features(document.getElementById("features"), `/v1/movies/${movieId}/features`);
  } catch (error) {
    problemPage(error, { title: `There is no movie ${movieId}`, detail: "No movie in this server's data has this id" });
  }
}

start();
