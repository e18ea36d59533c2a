import "./site.js";

import { get, latest } from "./api.js";
import { announce, count, h, plural } from "./dom.js";
import { card, genreUrl, problemBox, settled, userUrl, waiting, whenNear } from "./parts.js";
import { chosenUser, newUser, onChange, opinions, signedInUser } from "./me.js";
import { emptyRow, homeRow } from "./rows.js";
import { restoreScroll } from "./scroll.js";

const ROW_SIZE = 20;

/** The best rated movies of a genre, fetched when the row comes near the screen. */
function genreRow(genre) {
  const { section, list } = emptyRow({ title: genre, key: genre, href: genreUrl(genre) });
  const load = async () => {
    try {
      const found = await get("/v1/movies", { genre, sort: "rating", size: ROW_SIZE });
      settled(list, found.items.map((movie) => card(movie)));
    } catch (error) {
      settled(list, []);
      section.append(problemBox(error, () => {
        section.querySelector(".state").remove();
        waiting(list, 8);
        load();
      }));
    }
  };
  waiting(list, 8);
  whenNear(section, load);
  return section;
}

function userPicker() {
  const form = document.getElementById("pick-user");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = document.getElementById("user-id").value.trim();
    if (/^[0-9]+$/.test(text)) location.assign(userUrl(text));
  });
  const lucky = document.getElementById("random-user");
  lucky.addEventListener("click", async () => {
    lucky.disabled = true;
    try {
      const { total } = await get("/v1/users", { size: 1 });
      const found = await get("/v1/users", { size: 1, offset: Math.floor(Math.random() * total) });
      location.assign(userUrl(found.items[0].userId));
    } catch (error) {
      document.getElementById("pick-problem").replaceChildren(problemBox(error));
    } finally {
      lucky.disabled = false;
    }
  });
}

async function greeting() {
  // Nothing about other users.
  if (signedInUser() !== null) return;
  try {
    const users = await get("/v1/users", { sort: "ratingCount", size: 5 });
    document.getElementById("busy-users").append(
      "Or one of the most active: ",
      ...users.items.flatMap((user, k) => [k > 0 ? ", " : "", h("a", { href: userUrl(user.userId) }, `user ${user.userId}`)]),
      ".",
    );
    const movies = await get("/v1/movies", { size: 1 });
    document.getElementById("size").textContent = `${count(movies.total)} movies, ${count(users.total)} users.`;
  } catch {
    // Optional; the rows below show the problem.
  }
}

// What the visitor sees of their own.

const WANTED = 5;
const ask = latest();
let ratedBefore = 0;
let starters = [];

/** The movies that a new visitor is asked for: rated by many, so that most people know some of them. */
async function asking() {
  const list = document.getElementById("first-films");
  if (starters.length > 0 || !list) return;
  starters = (await get("/v1/movies", { sort: "popularity", size: 28 })).items;
  settled(list, starters.map((movie) => card(movie)));
}

async function own() {
  const user = chosenUser();
  const section = document.getElementById("you");
  section.hidden = user === null;
  if (user === null) return;
  document.getElementById("you-page").href = userUrl(user);
  const place = document.getElementById("you-rows");
  if (place.children.length === 0) {
    // Until the rows are there, so that nothing below moves.
    const { section: row, list } = emptyRow({ title: "Recommended for you", key: "recommended" });
    waiting(list, 8);
    place.append(row);
  }
  try {
    const home = await ask((signal) => get(`/v1/users/${user}/home`, { size: ROW_SIZE }, signal));
    if (!home) return;
    const rated = (await opinions()).stars.size;
    const left = WANTED - rated;
    const first = document.getElementById("first");
    // The question stays until the visitor leaves the page, so that the films do not vanish under the pointer.
    first.hidden = left <= 0 && starters.length === 0;
    document.getElementById("first-left").textContent = left > 0 ? `${plural(left, "film")} to go. The list below changes after each.` : "Thank you. Rate as many more as you like.";
    if (!first.hidden) await asking();
    document.getElementById("you-title").textContent = rated > 0 ? "For you" : "For you, once you have rated a film";
    const rows = rated > 0 ? home.rows : home.rows.slice(0, 1);
    // Its page exists from the first rating on.
    document.getElementById("you-page").hidden = rated === 0;
    document.getElementById("you-rows").replaceChildren(...rows.map(homeRow));
    if (rated !== ratedBefore) announce("Your recommendations have changed");
    ratedBefore = rated;
  } catch (error) {
    document.getElementById("you-rows").replaceChildren(problemBox(error, own));
  }
}

function visitor() {
  onChange(own);
  document.getElementById("start-new").addEventListener("click", async () => {
    try {
      await newUser();
      await own();
      document.getElementById("you").scrollIntoView({ block: "start" });
      document.getElementById("first-title").focus({ preventScroll: true });
    } catch (error) {
      document.getElementById("pick-problem").replaceChildren(problemBox(error));
    }
  });
  return own();
}

async function start() {
  userPicker();
  const mine = visitor();
  greeting();
  const rows = document.getElementById("rows");
  // The rows are below the genres, so they wait for them: otherwise they would move down.
  const [home, all] = await Promise.allSettled([get("/v1/home", { size: ROW_SIZE }), get("/v1/genres")]);
  await mine;
  const problems = [home, all].filter((one) => one.status === "rejected").slice(0, 1);
  const genres = all.value?.items ?? [];
  const without = [all.value?.withoutGenre].filter((one) => one?.movies > 0);
  document.getElementById("genres").replaceChildren(
    ...[...genres, ...without].map((one) => h("li", {}, h("a", { class: "chip", href: genreUrl(one.genre) }, one.genre, h("small", {}, ` ${count(one.movies)}`)))),
  );
  const found = home.value?.rows ?? [];
  const shown = new Set(found.map((row) => row.genre));
  const others = genres.filter((one) => !shown.has(one.genre)).sort((x, y) => y.movies - x.movies || x.genre.localeCompare(y.genre));
  rows.replaceChildren(
    ...found.map(homeRow),
    ...others.map((one) => genreRow(one.genre)),
    ...problems.map((one) => problemBox(one.reason, () => location.reload())),
  );
  restoreScroll();
}

start();
