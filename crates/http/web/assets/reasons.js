// Texts for the server's codes: reasons, strategies, models and their states.

// Names that come from data or configuration are looked up in maps: an object would also find
// "constructor" and "__proto__".

import { modelsNow } from "./api.js";
import { plural } from "./dom.js";

const REASONS = new Map(Object.entries({
  "unknown-user": "This user has no ratings in the data.",
  "unknown-movie": "The model has no vector for this movie.",
  "no-user-embedding": "The model has no vector for this user, who has liked too few movies.",
  "no-movie-embedding": "The model has no vector for this movie: too few users liked it.",
  "no-item-embedding": "The model has no vector for this movie: too few users liked it.",
  "model-unavailable": "It is not available at the moment.",
  "model-failed": "It failed to score the candidates.",
  "model-timed-out": "Its deadline was exceeded.",
  "user-not-in-model": "It was trained without this user.",
  "candidates-not-in-model": "It has no scores for these movies.",
  "store-unavailable": "The feature store is not available at the moment.",
  "store-updating": "The feature store is being updated.",
  "store-failed": "The stored data of this user is malformed.",
  "live-unavailable": "The latest ratings of this user cannot be read at the moment.",
  "no-history": "The store has no rating history of this user, so movies that the user has seen may be among these.",
  "recall-failed": "A recall strategy failed, so some candidates are missing.",
}));

/** A sentence on why a fallback answered instead of `model`. */
export async function reasonText(reason, model) {
  if (reason === "model-unavailable") {
    try {
      const entry = (await modelsNow()).items.find((one) => one.name === model);
      if (entry?.reason) return `It is not available: ${entry.reason}.`;
    } catch {
      // The general sentence remains.
    }
  }
  return REASONS.get(reason) ?? (reason ? `The server's reason is “${reason}”.` : "The answer contains no reason.");
}

/** Each recall strategy: a tag, and what it finds. */
export const STRATEGIES = new Map(Object.entries({
  embedding: ["similar taste", "near the movies that this user liked, in the embedding space"],
  genre: ["favourite genre", "rated well, in one of the user's favourite genres"],
  rating: ["top rated", "among the best rated movies"],
  recency: ["recent", "among the newest releases"],
  ease: ["similar history", "often rated together with the movies in the history"],
  "next-item": ["rated next", "often rated soon after the latest movies in the history"],
  "item-knn": ["rated around them", "often rated at about the same time as the movies in the history"],
  popularity: ["popular", "rated by many users"],
}));

const MODELS = new Map(Object.entries({ emb: "Embedding", popularity: "Popularity", genre: "Genre", neuralcf: "NeuralCF", ease: "EASE", "next-item": "Next item", "item-knn": "Item kNN", blend: "Blend" }));

/** What each kind of model does, in a sentence. */
const SENTENCES = new Map(Object.entries({
  embedding: "Places users and movies in one space and ranks the movies nearest to the user.",
  neuralcf: "A neural network over learned vectors of the user and the movie.",
  ease: "Weighs every movie of the history for every other movie, so that histories reconstruct themselves.",
  "next-item": "Predicts the next movie from the order of the latest ratings.",
  "item-knn": "Counts which movies are rated at about the same time as those in the history.",
  blend: "Combines the other models with popularity, genres and release years, by weights that were fitted to held-out ratings.",
  "tf-serving": "A model at TensorFlow Serving.",
  popularity: "Ranks by the number of ratings, the same for everybody.",
}));

/** What a kind of model does; null for other kinds. */
export function modelSentence(kind) {
  return SENTENCES.get(kind) ?? null;
}

const KINDS = new Map(Object.entries({
  embedding: "User and item embeddings",
  neuralcf: "NeuralCF, in process",
  ease: "Item–item weights",
  "next-item": "Item–item weights for the next movie",
  "item-knn": "Item–item counts",
  blend: "Weighted blend of models",
  "tf-serving": "TensorFlow Serving",
  popularity: "Number of ratings",
}));

/** The kind of a model, in words. */
export function kindLabel(kind) {
  return KINDS.get(kind) ?? kind;
}

const STATES = new Map(Object.entries({ ready: "ready", loading: "loading", failing: "failing", unavailable: "unavailable" }));

/** The state of a model, in words. */
export function stateLabel(state) {
  return STATES.get(state) ?? state;
}

/** The display name of a model. */
export function modelLabel(name) {
  return MODELS.get(name) ?? name;
}

/** What the parts of a blend's scores say about a movie. */
const SIGNALS = new Map(Object.entries({
  ease: "fits the history",
  "next-item": "fits the latest ratings",
  "item-knn": "rated around the same time",
  popularity: "popular",
  "popularity-for-new-users": "popular",
  genres: "liked genres",
  released: "release year",
  "mean-rating": "well rated",
}));

/**
 * Why a movie has its place in a list: its rank and, for a blend, the parts of its score that are furthest above those of the other
 * movies. Raw scores of different models are not comparable, so that only popularity shows a number, of ratings.
 */
export function rankText(items, index, kind) {
  const item = items[index];
  if (typeof item.score !== "number") return null;
  const place = `No. ${index + 1}`;
  if (kind === "popularity") return `${place}, ${plural(item.score, "rating")}`;
  const means = new Map();
  for (const one of items) for (const part of one.contributions ?? []) means.set(part.signal, (means.get(part.signal) ?? 0) + part.score / items.length);
  const above = (item.contributions ?? []).map((part) => [part.score - means.get(part.signal), SIGNALS.get(part.signal) ?? part.signal]);
  const reasons = above.filter(([more]) => more > 0).sort(([one], [other]) => other - one).map(([, text]) => text);
  const main = [...new Set(reasons)].slice(0, 2);
  return main.length > 0 ? `${place}: ${main.join(", ")}` : place;
}
