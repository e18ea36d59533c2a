// Scroll positions of history entries. The browser restores a position before a page has loaded its
// content, when the page is still too short, so pages do it themselves after they have drawn it.

const PREFIX = "scroll:";

/** An id for the current history entry; it survives reloads and is there again after Back. */
function entryKey() {
  const known = history.state?.key;
  if (typeof known === "string") return known;
  const key = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
  history.replaceState({ key }, "");
  return key;
}

function stored(key) {
  try {
    const text = sessionStorage.getItem(PREFIX + key);
    return text === null ? null : Number(text);
  } catch {
    // Storage can be disabled; then Back leads to the top.
    return null;
  }
}

let current = entryKey();
let target = stored(current);

function remember() {
  try {
    sessionStorage.setItem(PREFIX + current, String(Math.round(scrollY)));
  } catch {
    // As above.
  }
}

/** Scrolls to where this history entry was left; does nothing after the first input of the visitor. */
export function restoreScroll() {
  if (target !== null) scrollTo({ top: target, behavior: "instant" });
}

/** Adds a history entry with this address. */
export function visit(url) {
  remember();
  history.pushState(null, "", url);
  current = entryKey();
  target = null;
}

/** Changes the address of the current history entry. */
export function readdress(url) {
  history.replaceState(history.state, "", url);
}

history.scrollRestoration = "manual";
for (const input of ["wheel", "touchstart", "pointerdown", "keydown"]) {
  addEventListener(input, () => (target = null), { passive: true, capture: true });
}
addEventListener("pagehide", remember);
// Registered before the listeners of the pages, which draw the entry's content and restore again.
addEventListener("popstate", () => {
  remember();
  current = entryKey();
  target = stored(current);
  restoreScroll();
});
