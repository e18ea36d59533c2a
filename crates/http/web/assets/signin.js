// Signing in on a server with keys or tokens. They go into a cookie that scripts cannot read: nothing here keeps them.

import { Problem, onUnauthorized, send } from "./api.js";
import { h } from "./dom.js";
import { signInAs } from "./me.js";

/** Set while somebody is signed in: pages of servers without keys ask for nothing. */
const FLAG = "sparrow.session";

function remember(signedIn) {
  try {
    if (signedIn) localStorage.setItem(FLAG, "1");
    else localStorage.removeItem(FLAG);
  } catch {
    // The button to sign out is then missing; the session ends with the browser.
  }
}

function isRemembered() {
  try {
    return localStorage.getItem(FLAG) !== null;
  } catch {
    return false;
  }
}

let dialog;

function ask() {
  if (dialog || typeof HTMLDialogElement === "undefined") return;
  const input = h("input", { id: "key", name: "key", type: "password", autocomplete: "off", autocapitalize: "off", spellcheck: "false", required: true });
  const problem = h("p", { class: "small", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    try {
      const { user } = await send("POST", "/v1/session", { key: input.value.trim() });
      signInAs(user ?? null);
    } catch (error) {
      problem.textContent = error instanceof Problem && error.status === 401 ? "This key or token is not valid." : `${error.title}. ${error.detail ?? ""}`;
      return;
    }
    remember(true);
    location.reload();
  };
  dialog = h(
    "dialog",
    { class: "chooser", id: "sign-in", "aria-labelledby": "sign-in-title" },
    h("h2", { id: "sign-in-title" }, "Sign in"),
    h("p", {}, "This server needs a key, or a token of a user. The operator of the server gives them out."),
    h("form", { class: "pick", onsubmit: submit }, h("label", { for: "key" }, "Key or token"), h("span", { class: "pick__field" }, input, h("button", { class: "button", type: "submit" }, "Sign in"))),
    problem,
  );
  document.body.append(dialog);
  dialog.showModal();
}

function showSignOut() {
  const footer = document.querySelector(".foot p");
  if (!footer || !isRemembered()) return;
  const leave = async () => {
    try {
      await send("DELETE", "/v1/session");
    } finally {
      remember(false);
      signInAs(null);
      location.reload();
    }
  };
  footer.append(" ", h("button", { class: "button button--quiet", type: "button", id: "sign-out", onclick: leave }, "Sign out"));
}

onUnauthorized(ask);
showSignOut();
