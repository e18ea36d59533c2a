// The page for addresses that do not exist. It names the error if the address shows it.

import { pagePath } from "./dom.js";
import "./site.js";

const [, place, name] = pagePath.split("/");
const MISTAKES = new Map([
  ["movies", ["There is no such movie", "A movie's address ends with its id, a whole number: /movies/1."]],
  ["users", ["There is no such user", "A user's address ends with the user's number: /users/1."]],
]);
const mistake = name ? MISTAKES.get(place) : undefined;
if (mistake) {
  const [title, text] = mistake;
  document.querySelector("#problem h1").textContent = title;
  document.querySelector("#problem h1 + p").textContent = text;
  document.title = `${title} – Sparrow`;
}
