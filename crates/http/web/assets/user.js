import "./site.js";

import { get, latest, modelsNow } from "./api.js";
import { announce, count, day, h, micros, plural } from "./dom.js";
import { features } from "./features.js";
import { modelTable } from "./models.js";
import { addressWith, card, emptyBox, movieUrl, pager, problemBox, problemPage, queryNumber, segmented, settled, stars, waiting } from "./parts.js";
import { badge, thumbnail } from "./poster.js";
import { modelLabel, reasonText, stateLabel, STRATEGIES } from "./reasons.js";
import { displayTitle } from "./title.js";

const HISTORY = 20;
// Fills whole rows of seven, four and two.
const STEP = 28;
const MOST = 252;
const BARS = 6;
const userId = location.pathname.split("/")[2];
const $ = (id) => document.getElementById(id);

let defaultModel = "emb";
let knownModels = [];

function chosenModel() {
  return new URLSearchParams(location.search).get("model") ?? defaultModel;
}

function chosenGenres() {
  return (new URLSearchParams(location.search).get("genres") ?? "").split(",").filter(Boolean);
}

// Who this is.

function profile(user) {
  document.title = `User ${user.userId} – Sparrow`;
  $("badge").replaceChildren(badge(user.userId));
  $("name").textContent = `User ${user.userId}`;
  const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  $("user-facts").replaceChildren(
    fact("Ratings", count(user.ratingCount)),
    fact("On average", user.averageRating?.toFixed(2) ?? "unknown"),
    fact("Highest", user.highestRating === null ? "unknown" : stars(user.highestRating)),
    fact("Lowest", user.lowestRating === null ? "unknown" : stars(user.lowestRating)),
  );
  const bars = user.favouriteGenres.slice(0, BARS);
  const longest = Math.max(1, ...bars.map((bar) => bar.rated));
  $("taste").replaceChildren(
    bars.length === 0
      ? emptyBox("No favourites yet")
      : h(
          "ul",
          { class: "bars", role: "list" },
          ...bars.map((bar) => {
            const liked = h("span", { class: "bar__liked" });
            const rated = h("span", { class: "bar__rated" }, liked);
            rated.style.width = `${(100 * bar.rated) / longest}%`;
            liked.style.width = `${(100 * bar.liked) / Math.max(1, bar.rated)}%`;
            return h(
              "li",
              { class: "bar" },
              h("span", { class: "bar__name" }, bar.genre),
              h("span", { class: "bar__track", "aria-hidden": "true" }, rated),
              bar.rated > 0 && h("span", { class: "bar__count" }, h("span", { class: "hidden" }, "liked "), count(bar.liked), h("span", { class: "quiet" }, ` of ${count(bar.rated)}`)),
            );
          }),
        ),
  );
}

// What is recommended.

const askRecommendations = latest();

function why(item) {
  return h(
    "p",
    { class: "why" },
    ...(item.recalledBy ?? []).map((name) => h("span", { class: "why__tag", title: STRATEGIES[name]?.[1] }, STRATEGIES[name]?.[0] ?? name)),
    typeof item.score === "number" && h("span", { class: "why__score" }, `score ${item.score.toFixed(2)}`),
    item.orderedBy && h("span", { class: "why__score" }, `no score, placed by ${modelLabel(item.orderedBy)}`),
  );
}

function legend() {
  $("strategies").replaceChildren(...Object.values(STRATEGIES).map(([word, sentence]) => h("div", {}, h("dt", {}, h("span", { class: "why__tag" }, word)), h("dd", {}, sentence))));
}

async function answered(answer) {
  const timing = answer.timings ? ` in ${micros(answer.timings.totalMicros)} (recall ${micros(answer.timings.recallMicros)}, ranking ${micros(answer.timings.rankMicros)})` : "";
  const from = typeof answer.candidates === "number" ? `, out of ${plural(answer.candidates, "candidate")}` : "";
  $("answered").replaceChildren("Ranked by ", h("strong", { id: "answered-by", "data-model": answer.model }, modelLabel(answer.model)), `${from}${timing}.`);
  if (!answer.degraded) return;
  const wanted = answer.requestedModel ?? chosenModel();
  $("recommendations-notice").replaceChildren(
    h(
      "p",
      { class: "notice", id: "degraded" },
      h("strong", {}, wanted === answer.model ? "This answer is incomplete. " : `“${modelLabel(wanted)}” could not answer. `),
      `${await reasonText(answer.reason, wanted)} `,
      wanted === answer.model ? "" : `The list below was ranked by “${modelLabel(answer.model)}” instead.`,
    ),
  );
}

/** What the address asks for, to tell whether the list on the page still answers it. */
function question() {
  return [chosenModel(), chosenGenres().join(","), queryNumber("show", STEP, MOST)].join(" ");
}

let asked = "";

async function recommendations({ keep = false } = {}) {
  asked = question();
  const list = $("recommendations");
  const size = queryNumber("show", STEP, MOST);
  const before = keep ? list.children.length : 0;
  if (!keep) waiting(list, 14);
  $("recommendations-notice").replaceChildren();
  try {
    const answer = await askRecommendations((signal) =>
      get(`/v1/users/${userId}/recommendations`, { size, model: chosenModel(), genres: chosenGenres().join(","), explain: true }, signal),
    );
    if (!answer) return;
    await answered(answer);
    const items = answer.items.map((item) => card(item.movie, why(item)));
    if (keep && before > 0) {
      list.removeAttribute("aria-busy");
      list.append(...items.slice(before));
      items[before]?.querySelector("a").focus({ preventScroll: true });
    } else settled(list, items);
    list.dataset.model = answer.model;
    if (items.length === 0) $("recommendations-notice").append(emptyBox("Nothing to recommend", h("p", {}, chosenGenres().length > 0 ? "Try fewer genres, or other ones." : "Everything has been rated already.")));
    $("show-more").hidden = items.length < size || size >= MOST;
    refreshModels();
    announce(`${plural(items.length, "recommendation")}, ranked by ${modelLabel(answer.model)}${answer.degraded ? ", a fallback" : ""}`);
  } catch (error) {
    settled(list, []);
    $("answered").replaceChildren();
    $("show-more").hidden = true;
    $("recommendations-notice").replaceChildren(problemBox(error, () => recommendations()));
  }
}

function change(changes) {
  history.pushState(null, "", addressWith({ ...changes, show: null }));
  controls();
  recommendations();
}

let genres = [];

function controls() {
  const chosen = chosenModel();
  const held = document.activeElement?.closest("#recommendation-controls input")?.value;
  const known = knownModels.length > 0 ? knownModels : [{ name: chosen, available: true }];
  const picked = chosenGenres();
  // The chosen one's trouble is told by the notice above the list.
  const troubled = known.filter((model) => !model.available && model.name !== chosen);
  $("recommendation-controls").replaceChildren(
    segmented(
      "Model",
      "model",
      known.map((model) => ({
        value: model.name,
        label: modelLabel(model.name),
        note: model.available ? null : `(${stateLabel(model.state)})`,
        title: model.reason,
        // A model server may be back by the time it is asked. What was asked for stays selectable, or
        // nothing would show as chosen.
        off: model.state === "unavailable" && model.kind !== "tf-serving" && model.name !== chosen && model.name !== defaultModel,
      })),
      chosen,
      (name) => change({ model: name === defaultModel ? null : name }),
    ),
    h(
      "fieldset",
      { class: "choices" },
      h("legend", {}, "Only these genres"),
      h(
        "div",
        { class: "choices__list" },
        ...genres.map((genre) => {
          const input = h("input", {
            type: "checkbox",
            value: genre,
            onchange: (event) => {
              const now = chosenGenres().filter((one) => one !== genre);
              if (event.target.checked) now.push(genre);
              change({ genres: now.join(",") });
            },
          });
          input.checked = picked.includes(genre);
          return h("label", { class: "choice" }, input, h("span", {}, genre));
        }),
        picked.length > 0 && h("button", { class: "choice__clear", type: "button", onclick: () => change({ genres: null }) }, "Clear"),
      ),
    ),
    ...troubled.map((model) => h("p", { class: "quiet small" }, `${modelLabel(model.name)} is ${stateLabel(model.state)}${model.reason ? `: ${model.reason}` : ""}.`)),
  );
  if (held) [...$("recommendation-controls").querySelectorAll("input")].find((input) => input.value === held)?.focus({ preventScroll: true });
}

/** Models come and go while the page is open: draws the choice again where that made a difference. */
async function refreshModels() {
  const told = (items) => JSON.stringify(items.map((model) => [model.name, model.state, model.reason]));
  try {
    const now = await modelsNow();
    const before = told(knownModels);
    knownModels = now.items;
    defaultModel = now.default;
    if (told(knownModels) !== before) controls();
    modelTable($("models"), knownModels, defaultModel);
  } catch {
    // What was known of them stays on the page.
  }
}

/** Learns which models and genres there are; without an answer the page still works with the default model. */
async function prepareControls() {
  const [known, all] = await Promise.allSettled([modelsNow(), get("/v1/genres")]);
  if (known.status === "fulfilled") {
    knownModels = known.value.items;
    defaultModel = known.value.default;
  }
  if (all.status === "fulfilled") genres = all.value.items.map((one) => one.genre);
}

// What was watched.

const askHistory = latest();
let rated = 0;
let shownPage = queryNumber("page", 1);

function showHistory(ratings) {
  const page = Math.floor(ratings.offset / HISTORY) + 1;
  $("history-count").textContent = ratings.total === 0 ? "" : plural(ratings.total, "rating") + ", newest first";
  settled(
    $("history"),
    ratings.items.map((rating) =>
      h(
        "li",
        { class: "seen" },
        h("a", { class: "seen__link", href: movieUrl(rating.movie), "data-movie": rating.movie.movieId }, thumbnail(rating.movie), h("span", {}, h("span", { class: "seen__title" }, displayTitle(rating.movie.title)), rating.movie.releaseYear !== null && h("span", { class: "quiet" }, ` ${rating.movie.releaseYear}`))),
        h("span", { class: "seen__rating" }, stars(rating.score), h("span", { class: "quiet small" }, day(rating.timestamp))),
      ),
    ),
  );
  const pages = pager("Pages of the history", ratings.total, HISTORY, page, (to) => {
    history.pushState(null, "", addressWith({ page: to === 1 ? null : to }));
    turnPage(true);
  });
  $("history-pages").replaceChildren(...(ratings.items.length === 0 ? [emptyBox(ratings.total > 0 ? "There is no such page" : rated > 0 ? "The single ratings are not stored" : "Nothing rated yet")] : []), ...(pages ? [pages] : []));
}

async function turnPage(move) {
  const page = queryNumber("page", 1);
  shownPage = page;
  try {
    $("history").setAttribute("aria-busy", "true");
    const user = await askHistory((signal) => get(`/v1/users/${userId}`, { size: HISTORY, offset: (page - 1) * HISTORY }, signal));
    if (!user) return;
    showHistory(user.ratings);
    announce(`History, page ${page}`);
    if (move) $("history-title").focus();
  } catch (error) {
    settled($("history"), []);
    $("history-pages").replaceChildren(problemBox(error, () => turnPage(false)));
  }
}

async function start() {
  const page = queryNumber("page", 1);
  const user = get(`/v1/users/${userId}`, { size: HISTORY, offset: (page - 1) * HISTORY });
  const ready = prepareControls();
  legend();
  waiting($("recommendations"), 14);
  try {
    const known = await user;
    profile(known);
    rated = known.ratingCount;
    showHistory(known.ratings);
    features($("features"), `/v1/users/${userId}/features`);
  } catch (error) {
    problemPage(error);
    return;
  }
  document.querySelectorAll("[data-later]").forEach((section) => {
    section.hidden = false;
  });
  await ready;
  controls();
  $("models").closest("details").addEventListener("toggle", (event) => {
    if (event.target.open) refreshModels();
  });
  $("show-more").addEventListener("click", () => {
    history.replaceState(null, "", addressWith({ show: Math.min(MOST, queryNumber("show", STEP, MOST) + STEP) }));
    recommendations({ keep: true });
  });
  addEventListener("popstate", () => {
    if (queryNumber("page", 1) !== shownPage) turnPage(false);
    if (question() !== asked) {
      controls();
      recommendations();
    }
  });
  recommendations();
}

start();
