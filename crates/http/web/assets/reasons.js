// The server's short codes in words a person can use.

import { modelsNow } from "./api.js";

const REASONS = {
  "unknown-user": "This user is not in the data, so there is nothing to learn a taste from.",
  "unknown-movie": "This movie is not known to the model.",
  "no-user-embedding": "The model knows nothing about this user: there are too few liked movies to go by.",
  "no-movie-embedding": "The model knows nothing about this movie: too few people liked it.",
  "no-item-embedding": "The model knows nothing about this movie: too few people liked it.",
  "model-unavailable": "It is not available at the moment.",
  "model-failed": "It failed to score the candidates.",
  "model-timed-out": "It took too long.",
  "user-not-in-model": "It was made without this user, and cannot say anything about them.",
  "store-unavailable": "The store with what is known of this user does not answer at the moment.",
  "store-updating": "What is known of this user is being updated at this moment.",
  "store-failed": "What is stored of this user cannot be used.",
  "no-history": "The ratings of this user are not known: movies that they have seen may be in the list.",
  "recall-failed": "Part of the search for candidates failed.",
};

/** A full sentence on why a fallback answered instead of `model`. */
export async function reasonText(reason, model) {
  if (reason === "model-unavailable") {
    try {
      const entry = (await modelsNow()).items.find((one) => one.name === model);
      if (entry?.reason) return `It is not available: ${entry.reason}.`;
    } catch {
      // The general sentence has to do.
    }
  }
  return REASONS[reason] ?? (reason ? `The reason given is “${reason}”.` : "The server gave no reason.");
}

/** What each recall strategy means, in a word and in a sentence. */
export const STRATEGIES = {
  embedding: ["similar taste", "close, in the embedding space, to what this user liked"],
  genre: ["favourite genre", "well rated in a genre this user likes"],
  rating: ["top rated", "among the best rated of all"],
  recency: ["recent", "among the newest releases"],
  ease: ["goes with the history", "rated by those who rated what this user rated"],
  popularity: ["popular", "rated by a great many people"],
};

const MODELS = { emb: "Embedding", popularity: "Popularity", genre: "Genre", neuralcf: "NeuralCF", ease: "EASE" };

const KINDS = {
  embedding: "Vectors of users and movies",
  neuralcf: "NeuralCF in this server",
  ease: "Weights between movies",
  "tf-serving": "Model server",
  popularity: "Number of ratings",
};

/** What sort of model it is, in words. */
export function kindLabel(kind) {
  return KINDS[kind] ?? kind;
}

const STATES = { ready: "ready", loading: "starting", failing: "not answering", unavailable: "unavailable" };

/** Whether a model can be asked, in words. */
export function stateLabel(state) {
  return STATES[state] ?? state;
}

/** The name to show for a model. */
export function modelLabel(name) {
  return MODELS[name] ?? name;
}
