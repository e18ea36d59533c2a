import "./site.js";

import { get } from "./api.js";
import { count, h } from "./dom.js";
import { card, genreUrl, problemBox, settled, userUrl, waiting, whenNear } from "./parts.js";
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

async function start() {
  userPicker();
  greeting();
  const rows = document.getElementById("rows");
  // The rows are below the genres, so they wait for them: otherwise they would move down.
  const [home, all] = await Promise.allSettled([get("/v1/home", { size: ROW_SIZE }), get("/v1/genres")]);
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
