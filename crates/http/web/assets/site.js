// The search box of every page, with suggestions. It follows the combobox pattern of the ARIA
// Authoring Practices: the focus stays in the field, the arrow keys move through the list.

import { get, latest } from "./api.js";
import { announce, h, plainClick, plural } from "./dom.js";
import "./me.js";
import "./signin.js";
import { movieUrl } from "./parts.js";
import { thumbnail } from "./poster.js";
import { displayTitle } from "./title.js";

const SUGGESTIONS = 7;
const PAUSE_MS = 120;

function searchBox() {
  const form = document.getElementById("search");
  const input = document.getElementById("q");
  const list = document.getElementById("suggestions");
  if (!form || !input || !list) return;
  const ask = latest();
  let options = [];
  let active = -1;
  let timer;
  let shown = "";

  const close = () => {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    active = -1;
  };

  const activate = (index) => {
    active = index;
    options.forEach((option, k) => option.setAttribute("aria-selected", String(k === index)));
    if (index < 0) input.removeAttribute("aria-activedescendant");
    else {
      input.setAttribute("aria-activedescendant", options[index].id);
      options[index].scrollIntoView({ block: "nearest" });
    }
  };

  const open = () => {
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
  };

  const show = (text, found) => {
    shown = text;
    options = found.items.map((movie, k) =>
      h(
        "li",
        { id: `suggestion-${k}`, role: "option", "aria-selected": "false", "data-href": movieUrl(movie) },
        thumbnail(movie),
        h("span", { class: "suggestion__title" }, displayTitle(movie.title)),
        movie.releaseYear !== null && h("span", { class: "suggestion__year" }, movie.releaseYear),
      ),
    );
    options.forEach((option, k) => {
      option.addEventListener("pointermove", () => active !== k && activate(k));
      // Before the field loses the focus, which would close the list.
      option.addEventListener("pointerdown", (event) => event.preventDefault());
      option.addEventListener("click", (event) => plainClick(event) && location.assign(option.dataset.href));
    });
    list.replaceChildren(...options);
    active = -1;
    input.removeAttribute("aria-activedescendant");
    if (options.length === 0) close();
    else open();
    announce(options.length === 0 ? "No suggestions" : `${plural(options.length, "suggestion")}, arrow keys to choose`);
  };

  const suggest = async () => {
    const text = input.value.trim();
    if (text === "") {
      shown = "";
      options = [];
      await ask(async () => undefined);
      close();
      return;
    }
    if (text === shown) {
      if (options.length > 0) open();
      return;
    }
    try {
      const found = await ask((signal) => get("/v1/search", { q: text, size: SUGGESTIONS }, signal));
      if (found && document.activeElement === input) show(text, found);
    } catch {
      // Suggestions are optional; the search page shows the problem.
      close();
    }
  };

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(suggest, PAUSE_MS);
  });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const isOpen = !list.hidden;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!isOpen) {
        suggest();
        return;
      }
      // One more position than options: the field itself, with the typed text.
      const places = options.length + 1;
      const step = event.key === "ArrowDown" ? 1 : -1;
      activate(((active + 1 + step + places) % places) - 1);
    } else if (event.key === "Enter" && isOpen && active >= 0) {
      event.preventDefault();
      location.assign(options[active].dataset.href);
    } else if (event.key === "Escape" && isOpen) {
      event.preventDefault();
      close();
    }
  });
  input.addEventListener("blur", close);
  form.addEventListener("submit", (event) => {
    if (input.value.trim() !== "") return;
    event.preventDefault();
    input.focus();
  });
}

searchBox();
