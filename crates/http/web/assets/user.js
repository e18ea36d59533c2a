import "./site.js";

import { get, latest, modelsNow } from "./api.js";
import { announce, base, count, day, h, micros, pagePath, plural } from "./dom.js";
import { features } from "./features.js";
import { modelTable } from "./models.js";
import { addressWith, card, emptyBox, movieUrl, pager, problemBox, problemPage, queryChoice, queryNumber, segmented, settled, stars, unknownChoiceBox, waiting } from "./parts.js";
import { badge, thumbnail } from "./poster.js";
import { modelLabel, modelSentence, rankText, reasonText, stateLabel, STRATEGIES } from "./reasons.js";
import { chosenUser, onChange } from "./me.js";
import { rating as ownStars } from "./rating.js";
import { homeRow } from "./rows.js";
import { readdress, visit } from "./scroll.js";
import { displayTitle } from "./title.js";
import { versus } from "./versus.js";

const HISTORY = 20;
// Fills whole rows of seven, four and two.
const STEP = 28;
const MOST = 252;
const BARS = 6;
const userId = pagePath.split("/")[2];
const $ = (id) => document.getElementById(id);

let defaultModel = "emb";
let knownModels = [];

function chosenModel() {
  return new URLSearchParams(location.search).get("model") ?? defaultModel;
}

/** How different the movies of the list are to be. The first value is the default. */
const VARIETY = [["0", "Best matches"], ["0.3", "Some variety"], ["0.7", "Much variety"]];

function chosenVariety() {
  return queryChoice("diversity", VARIETY.map(([value]) => value));
}

let genres = [];

/** The genres in the address: repeated parameters, or names divided by commas; the name of a genre may contain one. */
function chosenGenres() {
  const values = new URLSearchParams(location.search).getAll("genres");
  return values.flatMap((value) => (genres.includes(value) ? [value] : value.split(","))).filter(Boolean);
}

// The profile.

function profile(user) {
  document.title = `User ${user.userId} – Sparrow`;
  $("badge").replaceChildren(badge(user.userId));
  $("name").textContent = `User ${user.userId}`;
  // A store without rating histories has no highest and lowest rating.
  const known = (value, show) => (value === null ? "–" : show(value));
  const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  $("user-facts").replaceChildren(
    fact("Ratings", count(user.ratingCount)),
    fact("On average", known(user.averageRating, (value) => value.toFixed(2))),
    fact("Highest", known(user.highestRating, stars)),
    fact("Lowest", known(user.lowestRating, stars)),
  );
  const bars = user.favouriteGenres.slice(0, BARS);
  const longest = Math.max(1, ...bars.map((bar) => bar.rated));
  $("taste").replaceChildren(
    bars.length === 0
      ? emptyBox("No favourite genres yet")
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

// The recommendations.

const askRecommendations = latest();

/** The strategies that found a movie, and what placed it there by a model of this kind. */
function why(items, index, kind) {
  const item = items[index];
  const place = rankText(items, index, kind);
  const tag = (name) => {
    const [word, sentence] = STRATEGIES.get(name) ?? [name];
    return h("span", { class: "why__tag", title: sentence }, word);
  };
  return h(
    "p",
    { class: "why" },
    ...(item.recalledBy ?? []).map(tag),
    place && h("span", { class: "why__score", title: `score ${item.score}` }, place),
    item.orderedBy && h("span", { class: "why__score" }, `no score, ordered by ${modelLabel(item.orderedBy)}`),
  );
}

function legend() {
  $("strategies").replaceChildren(...[...STRATEGIES.values()].map(([word, sentence]) => h("div", {}, h("dt", {}, h("span", { class: "why__tag" }, word)), h("dd", {}, sentence))));
}

async function answered(answer) {
  const timing = answer.timings ? ` in ${micros(answer.timings.totalMicros)} (recall ${micros(answer.timings.recallMicros)}, ranking ${micros(answer.timings.rankMicros)})` : "";
  const from = typeof answer.candidates === "number" ? ` from ${plural(answer.candidates, "candidate")}` : "";
  $("answered").replaceChildren("Ranked by ", h("strong", { id: "answered-by", "data-model": answer.model }, modelLabel(answer.model)), `${from}${timing}.`);
  if (!answer.degraded) {
    if (answer.reason) $("recommendations-notice").replaceChildren(h("p", { class: "notice", id: "reason" }, await reasonText(answer.reason, answer.model)));
    return;
  }
  const wanted = answer.requestedModel ?? chosenModel();
  $("recommendations-notice").replaceChildren(
    h(
      "p",
      { class: "notice", id: "degraded" },
      h("strong", {}, wanted === answer.model ? "This answer is incomplete. " : `“${modelLabel(wanted)}” could not answer. `),
      `${await reasonText(answer.reason, wanted)} `,
      wanted === answer.model ? "" : `The fallback “${modelLabel(answer.model)}” ranked the list below.`,
    ),
  );
}

/** The parameters of the list in the address, to see whether the list on the page is still that of the address. */
function question() {
  return [chosenModel(), chosenVariety(), chosenGenres().join("|"), queryNumber("show", STEP, MOST)].join(" ");
}

/** The filters of the list in the address. */
function filters() {
  return { genres: chosenGenres(), diversity: chosenVariety() === "0" ? null : chosenVariety() };
}

let drawVersus = () => {};

const askRows = latest();

/** The rows below the list. They are ranked by the chosen model, and do not repeat the first movies of the list. */
async function rows() {
  try {
    const home = await askRows((signal) => get(`/v1/users/${userId}/home`, { size: STEP, model: new URLSearchParams(location.search).get("model") }, signal));
    if (home) $("rows")?.replaceChildren(...home.rows.filter((row) => row.kind !== "recommended").map(homeRow));
  } catch {
    // Optional; the list above shows the problem.
    $("rows")?.replaceChildren();
  }
}

let asked = "";

/** The index of the card with the focus; -1 without one. A card that leaves the list would take the focus with it. */
function heldCard(list) {
  const card = document.activeElement?.closest(".card");
  return card ? [...list.children].indexOf(card) : -1;
}

/** After a rating or a dismissal: everything on the page follows. */
async function follow() {
  const page = queryNumber("page", 1);
  recommendations({ quiet: true });
  rows();
  try {
    const user = await askHistory((signal) => get(`/v1/users/${userId}`, { size: HISTORY, offset: (page - 1) * HISTORY }, signal));
    if (!user) return;
    profile(user);
    rated = user.ratingCount;
    showHistory(user.ratings);
  } catch {
    // The last rating was removed: the user is as new.
  }
}

async function recommendations({ keep = false, quiet = false } = {}) {
  asked = question();
  const list = $("recommendations");
  const size = queryNumber("show", STEP, MOST);
  const before = keep ? list.children.length : 0;
  if (!keep && !quiet) waiting(list, size);
  if (!keep) drawVersus();
  $("recommendations-notice").replaceChildren();
  try {
    const answer = await askRecommendations((signal) =>
      get(`/v1/users/${userId}/recommendations`, { ...filters(), size, model: chosenModel(), explain: true }, signal),
    );
    if (!answer) return;
    await answered(answer);
    const kind = knownModels.find((model) => model.name === answer.model)?.kind ?? answer.model;
    const items = answer.items.map((item, index) => card(item.movie, why(answer.items, index, kind)));
    if (keep && before > 0) {
      list.removeAttribute("aria-busy");
      list.append(...items.slice(before));
      items[before]?.querySelector("a").focus({ preventScroll: true });
    } else {
      const held = heldCard(list);
      settled(list, items);
      if (held >= 0) items[Math.min(held, items.length - 1)]?.querySelector("[role=slider]").focus({ preventScroll: true });
    }
    list.dataset.model = answer.model;
    if (items.length === 0) $("recommendations-notice").append(emptyBox("Nothing to recommend", h("p", {}, chosenGenres().length > 0 ? "Try fewer genres, or other ones." : "Everything has been rated already.")));
    $("show-more").hidden = items.length < size || size >= MOST;
    refreshModels();
    announce(`${plural(items.length, "recommendation")}, ranked by ${modelLabel(answer.model)}${answer.degraded ? ", a fallback" : ""}`);
  } catch (error) {
    settled(list, []);
    $("answered").replaceChildren();
    $("show-more").hidden = true;
    $("recommendations-notice").replaceChildren(unknownChoice(error) ?? problemBox(error, () => recommendations()));
  }
}

/** The box for a model or genre in the address that this server does not have. */
function unknownChoice(error) {
  if (error.parameter === "model") return unknownChoiceBox(error, "model", chosenModel(), { label: modelLabel, link: (name) => addressWith({ model: name }) });
  if (error.parameter !== "genres") return null;
  const unknown = chosenGenres().find((genre) => !error.allowed.includes(genre));
  return unknownChoiceBox(error, "genre", unknown ?? chosenGenres().join(", "), { link: (name) => addressWith({ genres: name }) });
}

function change(changes) {
  visit(addressWith({ ...changes, show: null }));
  controls();
  recommendations();
  if ("model" in changes) rows();
}

function controls() {
  const chosen = chosenModel();
  const held = document.activeElement?.closest("#recommendation-controls input")?.value;
  // The default model comes first.
  const known = knownModels.length > 0 ? knownModels.toSorted((a, b) => (b.name === defaultModel) - (a.name === defaultModel)) : [{ name: chosen, available: true }];
  const picked = chosenGenres();
  // The notice above the list covers the chosen model.
  const troubled = known.filter((model) => !model.available && model.name !== chosen);
  $("recommendation-controls").replaceChildren(
    segmented(
      "Model",
      "model",
      known.map((model) => ({
        value: model.name,
        label: modelLabel(model.name),
        note: model.available ? null : `(${stateLabel(model.state)})`,
        title: model.reason ?? modelSentence(model.kind),
        // A model server may have recovered by the time it is asked. The chosen model stays selectable, or
        // no option would be checked.
        off: model.state === "unavailable" && model.kind !== "tf-serving" && model.name !== chosen && model.name !== defaultModel,
      })),
      chosen,
      (name) => change({ model: name === defaultModel ? null : name }),
    ),
    h("p", { class: "quiet small", id: "model-sentence" }, modelSentence(known.find((model) => model.name === chosen)?.kind)),
    segmented(
      "Variety",
      "diversity",
      VARIETY.map(([value, label]) => ({ value, label })),
      chosenVariety(),
      (value) => change({ diversity: value === "0" ? null : value }),
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
              change({ genres: now });
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

/** The state of models changes while the page is open: fetches it, and draws the choice again if it changed. */
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
    // The page keeps the last known state.
  }
}

/** Fetches the models and genres; without them the page still works with the default model. */
async function prepareControls() {
  const [known, all] = await Promise.allSettled([modelsNow(), get("/v1/genres")]);
  if (known.status === "fulfilled") {
    knownModels = known.value.items;
    defaultModel = known.value.default;
  }
  if (all.status === "fulfilled") genres = all.value.items.map((one) => one.genre);
}

// The history.

const askHistory = latest();
let rated = 0;
let shownPage = queryNumber("page", 1);

function showHistory(ratings) {
  const page = Math.floor(ratings.offset / HISTORY) + 1;
  $("history-count").textContent = ratings.total === 0 ? "" : `${plural(ratings.total, "rating")}, newest first. Stars on this page are those of user ${userId}.`;
  settled(
    $("history"),
    ratings.items.map((rating) =>
      h(
        "li",
        { class: "seen" },
        h("a", { class: "seen__link", href: movieUrl(rating.movie), "data-movie": rating.movie.movieId }, thumbnail(rating.movie), h("span", {}, h("span", { class: "seen__title" }, displayTitle(rating.movie.title)), rating.movie.releaseYear !== null && h("span", { class: "quiet" }, ` ${rating.movie.releaseYear}`))),
        h("span", { class: "seen__rating" }, ownStars(rating.movie, { removes: true }), h("span", { class: "quiet small" }, day(rating.timestamp))),
      ),
    ),
  );
  const pages = pager("Pages of the history", ratings.total, HISTORY, page, (to) => {
    visit(addressWith({ page: to === 1 ? null : to }));
    turnPage(true);
  });
  $("history-pages").replaceChildren(...(ratings.items.length === 0 ? [emptyBox(ratings.total > 0 ? "There is no such page" : rated > 0 ? "The store has no ratings of this user" : "Nothing rated yet")] : []), ...(pages ? [pages] : []));
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
  const ready = Promise.all([prepareControls(), rows()]);
  legend();
  try {
    const known = await user;
    // All sections appear at once: one that came later would move those below it.
    await ready;
    profile(known);
    rated = known.ratingCount;
    showHistory(known.ratings);
    features($("features"), `/v1/users/${userId}/features`);
  } catch (error) {
    // Before the first rating.
    if (error.status === 404 && userId === chosenUser()) {
      location.replace(`${base}/`);
      return;
    }
    problemPage(error, { title: `There is no user ${userId}`, detail: "No user in this server's data has this number" });
    return;
  }
  document.querySelectorAll("[data-later]").forEach((section) => {
    section.hidden = false;
  });
  controls();
  const models = $("models").closest("details");
  models.addEventListener("toggle", () => {
    if (models.open) refreshModels();
  });
  // Restored after Back.
  if (models.open) refreshModels();
  $("show-more").addEventListener("click", () => {
    readdress(addressWith({ show: Math.min(MOST, queryNumber("show", STEP, MOST) + STEP) }));
    recommendations({ keep: true });
  });
  addEventListener("popstate", () => {
    if (queryNumber("page", 1) !== shownPage) turnPage(false);
    if (question() !== asked) {
      controls();
      recommendations();
      rows();
    }
  });
  onChange(follow);
  recommendations();
  drawVersus = versus(userId, { models: () => knownModels, chosen: chosenModel, filters });
}

start();
