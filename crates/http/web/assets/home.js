import "./site.js";

import { get } from "./api.js";
import { count, h } from "./dom.js";
import { card, genreUrl, problemBox, scroller, settled, userUrl, waiting, whenNear } from "./parts.js";
import { restoreScroll } from "./scroll.js";

const ROW_SIZE = 20;

const FIXED = [
  { title: "Best rated", note: "by Bayesian average, so that a single rating counts little", sort: "rating", href: "/search?sort=rating" },
  { title: "Most rated", note: "by number of ratings", sort: "popularity", href: "/search?sort=popularity" },
  { title: "Newest", note: "by release year", sort: "releaseYear", href: "/search?sort=releaseYear" },
];

function row({ title, note, sort, genre, href, level }) {
  const list = h("ul", { class: "row__list", role: "list" });
  const heading = h("h2", { class: "row__title" }, h("a", { href }, title));
  const section = h(
    "section",
    { class: "row", "aria-label": title, "data-row": genre ?? sort },
    h("div", { class: "row__head" }, heading, note && h("p", { class: "row__note" }, note), scroller(title, list)),
    list,
  );
  const load = async () => {
    try {
      const found = await get("/v1/movies", { genre, sort, size: ROW_SIZE });
      settled(list, found.items.map((movie) => card(movie)));
      return found;
    } catch (error) {
      settled(list, []);
      section.append(problemBox(error, () => {
        section.querySelector(".state").remove();
        waiting(list, 8);
        load();
      }));
      return undefined;
    }
  };
  waiting(list, 8);
  if (level === "now") section.loaded = load();
  else whenNear(section, load);
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

async function greeting(best) {
  try {
    const users = await get("/v1/users", { sort: "ratingCount", size: 5 });
    document.getElementById("busy-users").append(
      "Or one of the most active: ",
      ...users.items.flatMap((user, k) => [k > 0 ? ", " : "", h("a", { href: userUrl(user.userId) }, `user ${user.userId}`)]),
      ".",
    );
    const movies = await best;
    if (movies) document.getElementById("size").textContent = `${count(movies.total)} movies, ${count(users.total)} users.`;
  } catch {
    // Optional; the rows below show the problem.
  }
}

async function start() {
  userPicker();
  const rows = document.getElementById("rows");
  const fixed = FIXED.map((one, k) => row({ ...one, level: k === 0 ? "now" : "near" }));
  greeting(fixed[0].loaded);
  // The rows stand below the genres, so they wait for them: else they would move down.
  let genres = [];
  let without = [];
  let problem = [];
  try {
    const answer = await get("/v1/genres");
    genres = answer.items;
    without = [answer.withoutGenre].filter((one) => one.movies > 0);
  } catch (error) {
    problem = [problemBox(error, () => location.reload())];
  }
  document.getElementById("genres").replaceChildren(
    ...[...genres, ...without].map((one) => h("li", {}, h("a", { class: "chip", href: genreUrl(one.genre) }, one.genre, h("small", {}, ` ${count(one.movies)}`)))),
  );
  const largest = [...genres].sort((x, y) => y.movies - x.movies || x.genre.localeCompare(y.genre));
  const byGenre = largest.map((one) => row({ title: one.genre, genre: one.genre, sort: "rating", href: genreUrl(one.genre) }));
  rows.replaceChildren(...fixed, ...byGenre, ...problem);
  restoreScroll();
}

start();
