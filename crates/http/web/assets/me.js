// Who is looking: the user whose ratings the visitor gives, and the requests that change them.

import { get, send } from "./api.js";
import { base, h, icon, pagePath } from "./dom.js";

const KEY = "sparrow.user";
const FRESH = "sparrow.fresh";
const SIGNED_IN = "sparrow.signed-in";
const CROSS = "M6 6l12 12M18 6L6 18";

/** The page of a user rates as this user; other pages as the one that the visitor chose. */
const pageUser = /^\/users\/([0-9]+)$/.exec(pagePath)?.[1] ?? null;

/** The user with this key of the storage, as text; null without one, or if the browser stores nothing. */
function storedUser(key) {
  try {
    const text = localStorage.getItem(key);
    return /^[0-9]{1,10}$/.test(text ?? "") ? text : null;
  } catch {
    return null;
  }
}

/** The user of the token with which the visitor signed in, the only one that they may be; null without one. */
export const signedInUser = () => storedUser(SIGNED_IN);

/** The user that the visitor is signed in as, or chose; null without one. */
export const chosenUser = () => signedInUser() ?? storedUser(KEY);

/** The user who rates on this page; null before the visitor chose one. */
export function rater() {
  return signedInUser() ?? pageUser ?? chosenUser();
}

/** Stores a user, or removes it if it is null. */
function storeUser(key, id) {
  try {
    if (id === null) localStorage.removeItem(key);
    else localStorage.setItem(key, String(id));
    localStorage.removeItem(FRESH);
  } catch {
    // A choice is then that of this page alone. The server refuses users that the visitor is not signed in as.
  }
}

/** Stores the signed-in user; null after signing out, or for a key, which permits all users. */
export const signInAs = (id) => storeUser(SIGNED_IN, id);

/** Stores the choice; null removes it. */
export function chooseUser(id) {
  storeUser(KEY, id);
  own = null;
  showChoice();
}

/** A fresh user. */
export async function newUser() {
  const { userId } = await send("POST", "/v1/users", {});
  chooseUser(userId);
  try {
    localStorage.setItem(FRESH, "1");
  } catch {
    // The first page then asks the server for a user whom it does not know.
  }
  return String(userId);
}

function isFresh() {
  try {
    return localStorage.getItem(FRESH) !== null;
  } catch {
    return false;
  }
}

let own = null;

/** The stars and the dismissals of the rater by movie id, requested once per page. */
export function opinions() {
  own ??= load();
  return own;
}

async function load() {
  const user = rater();
  const known = { stars: new Map(), dismissed: new Set() };
  // The server does not know a new user before the first rating.
  if (user === null || (user === chosenUser() && isFresh())) return known;
  const [ratings, events] = await Promise.allSettled([get("/getuser", { id: user }), get(`/v1/users/${user}/events`, { size: 1000 })]);
  for (const { rating } of ratings.value?.ratings ?? []) known.stars.set(rating.movieId, rating.score);
  for (const event of events.value?.items ?? []) if (event.type === "dismiss" && event.value > 0) known.dismissed.add(event.movieId);
  return known;
}

/** Calls `work` after each change, with its `{ movieId }`. */
export function onChange(work) {
  document.addEventListener("sparrow:change", (event) => work(event.detail));
}

function changed(movieId) {
  try {
    localStorage.removeItem(FRESH);
  } catch {
    // It is not there.
  }
  document.dispatchEvent(new CustomEvent("sparrow:change", { detail: { movieId } }));
}

async function raterOrNew() {
  return rater() ?? newUser();
}

/** Rates a movie; null removes the rating. */
export async function rate(movieId, stars) {
  const user = await raterOrNew();
  const known = await opinions();
  const path = `/v1/users/${user}/ratings/${movieId}`;
  if (stars === null) await send("DELETE", path);
  else await send("PUT", path, { stars });
  if (stars === null) known.stars.delete(movieId);
  else known.stars.set(movieId, stars);
  changed(movieId);
}

/** Dismisses a movie, or takes that back. */
export async function dismiss(movieId, dismissed) {
  const user = await raterOrNew();
  const known = await opinions();
  const event = { type: "dismiss", userId: Number(user), movieId, value: dismissed ? 1 : 0 };
  await send("POST", "/v1/events", { events: [event] });
  if (dismissed) known.dismissed.add(movieId);
  else known.dismissed.delete(movieId);
  changed(movieId);
}

let toast;
let timer;

/** Shows a message for a while, with a button that takes the change back. */
export function note(text, undo) {
  toast ??= document.body.appendChild(h("div", { class: "toast", role: "status" }));
  const close = () => {
    toast.hidden = true;
  };
  toast.replaceChildren(
    h("span", {}, text),
    undo && h("button", { class: "toast__undo", type: "button", onclick: () => { close(); undo(); } }, "Undo"),
    h("button", { class: "toast__close", type: "button", "aria-label": "Close this message", onclick: close }, icon(CROSS)),
  );
  toast.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(close, 12000);
}

/** Shows why a change failed. */
export function failed(error) {
  note(`${error.title}${error.detail ? `: ${error.detail}` : ""}`);
}

// The choice in the header.

const nameOf = (id) => `User ${id}`;

function showChoice() {
  const button = document.getElementById("me");
  if (!button) return;
  const user = chosenUser();
  button.textContent = user === null ? "Who are you?" : nameOf(user);
  button.title = signedInUser() !== null ? `You are signed in as user ${user}` : user === null ? "Choose whose ratings you give" : `You rate as user ${user}`;
}

/** Where ratings are kept, in a sentence. */
async function whereKept() {
  try {
    const { live } = await get("/readyz");
    if (!live) return "This server accepts no ratings.";
    return live.lostAtRestart ? "Ratings are kept in the server's memory: a restart loses them." : `Ratings are kept in ${live.kind} (${live.durability}).`;
  } catch {
    return "";
  }
}

function chooser() {
  const button = document.getElementById("me");
  if (!button || typeof HTMLDialogElement === "undefined") return;
  const input = h("input", { id: "me-id", type: "text", inputmode: "numeric", pattern: "[0-9]+", maxlength: 10, autocomplete: "off", required: true, title: "a whole number" });
  const where = h("p", { class: "quiet small" });
  const problem = h("p", { class: "small", role: "alert" });
  const dialog = h("dialog", { class: "chooser", "aria-labelledby": "chooser-title" });
  const leave = () => dialog.close();
  const use = h(
    "form",
    {
      class: "pick",
      onsubmit: (event) => {
        event.preventDefault();
        if (!/^[0-9]+$/.test(input.value.trim())) return;
        chooseUser(Number(input.value.trim()));
        location.reload();
      },
    },
    h("label", { for: "me-id" }, "A user of the data"),
    h("span", { class: "pick__field" }, input, h("button", { class: "button", type: "submit" }, "That's me")),
  );
  const fresh = async () => {
    try {
      await newUser();
      location.assign(`${base}/`);
    } catch (error) {
      problem.textContent = `${error.title}. ${error.detail}`;
    }
  };
  const nobody = h("button", { class: "button button--quiet", type: "button", id: "me-nobody", onclick: () => { chooseUser(null); location.reload(); } }, "Nobody");
  const only = signedInUser();
  const ways = h("p", { class: "hero__ways" }, h("button", { class: "button", type: "button", id: "me-new", onclick: fresh }, "I'm new"), nobody);
  dialog.append(
    h("h2", { id: "chooser-title" }, only === null ? "Who are you?" : `You are signed in as user ${only}`),
    h("p", {}, "Your stars change your recommendations at once."),
    ...(only === null ? [ways, use] : []),
    problem,
    where,
    h("p", {}, h("button", { class: "button button--quiet", type: "button", onclick: leave }, "Close")),
  );
  document.body.append(dialog);
  button.addEventListener("click", async () => {
    nobody.hidden = chosenUser() === null;
    dialog.showModal();
    where.textContent = await whereKept();
  });
}

/** Hides the ways to other users from visitors who may be only one. */
function hideOthers() {
  if (signedInUser() === null) return;
  for (const way of document.querySelectorAll(".top__nav a[href$='/users'], .hero .lead, .hero__pick")) way.hidden = true;
}

showChoice();
chooser();
hideOthers();

/** Announces a rating in words. */
export function starsInWords(stars) {
  return stars === null ? "no rating" : `${stars} ${stars === 1 ? "star" : "stars"}`;
}

