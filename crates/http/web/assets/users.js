import "./site.js";

import { get, latest } from "./api.js";
import { announce, count, h, plural } from "./dom.js";
import { addressWith, emptyBox, pager, problemBox, queryChoice, queryNumber, segmented, settled, stars, userUrl } from "./parts.js";
import { badge } from "./poster.js";
import { visit } from "./scroll.js";

const SIZE = 48;
const SORTS = ["userId", "ratingCount"];
const $ = (id) => document.getElementById(id);
const ask = latest();

function state() {
  return { sort: queryChoice("sort", SORTS), page: queryNumber("page", 1) };
}

function go(changes, focus) {
  visit(addressWith(changes));
  show(focus);
}

function controls() {
  $("controls").replaceChildren(
    segmented(
      "Order",
      "sort",
      [
        { value: "userId", label: "By number" },
        { value: "ratingCount", label: "Most ratings" },
      ],
      state().sort,
      (sort) => go({ sort: sort === "userId" ? null : sort, page: null }),
    ),
  );
}

async function show(focus = false) {
  const { sort, page } = state();
  const list = $("users");
  list.setAttribute("aria-busy", "true");
  try {
    const found = await ask((signal) => get("/v1/users", { sort, size: SIZE, offset: (page - 1) * SIZE }, signal));
    if (!found) return;
    $("count").textContent = plural(found.total, "user");
    settled(
      list,
      found.items.map((user) =>
        h(
          "li",
          {},
          h(
            "a",
            { class: "user-card", href: userUrl(user.userId), "data-user": user.userId },
            badge(user.userId),
            h("span", { class: "user-card__name" }, `User ${user.userId}`),
            h("span", { class: "quiet small" }, plural(user.ratingCount, "rating")),
            user.averageRating === null ? h("span", { class: "quiet small" }, "no average") : stars(user.averageRating),
          ),
        ),
      ),
    );
    const pages = pager("Pages of users", found.total, SIZE, page, (to) => go({ page: to === 1 ? null : to }, true));
    $("pages").replaceChildren(...(found.items.length === 0 ? [emptyBox("There is no such page")] : []), ...(pages ? [pages] : []));
    announce(`Page ${count(page)}, ${plural(found.items.length, "user")}`);
    if (focus) $("title").focus();
  } catch (error) {
    settled(list, []);
    $("pages").replaceChildren(problemBox(error, () => show()));
  }
}

$("pick-user").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("user-id").value.trim();
  if (/^[0-9]+$/.test(text)) location.assign(userUrl(text));
});
addEventListener("popstate", () => {
  controls();
  show();
});
controls();
show();
