// Restores history entries: the scroll positions of the page and of rows that scroll sideways, and opened boxes. The
// browser restores the position of the page before the page has loaded its content, when it is still too short, and does
// not restore the others. Pages therefore restore them after they have drawn their content.

const PREFIX = "scroll:";

/** Elements that scroll sideways. */
const ROWS = ".row__list, .sideways, .chips--genres, .choices__list";

/** The id of the current history entry. It remains after a reload and after Back. */
function entryKey() {
  const known = history.state?.key;
  if (typeof known === "string") return known;
  const key = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
  history.replaceState({ key }, "");
  return key;
}

function stored(key) {
  let left;
  try {
    left = JSON.parse(sessionStorage.getItem(PREFIX + key));
  } catch {
    // Storage can be disabled; then Back leads to the top.
  }
  return { top: left?.top ?? null, rows: new Map(left?.rows), boxes: new Set(left?.boxes) };
}

/** Elements by names that are the same each time the page is drawn. */
function named(selector, nameOf) {
  const found = new Map();
  for (const element of document.querySelectorAll(selector)) {
    const name = nameOf(element);
    let number = 0;
    while (found.has(`${name}#${number}`)) number += 1;
    found.set(`${name}#${number}`, element);
  }
  return found;
}

const rows = () => named(ROWS, (row) => row.closest("[data-row]")?.dataset.row ?? row.id);
const boxes = () => named("details", (box) => box.querySelector("summary")?.textContent ?? "");

let current = entryKey();
/** Positions and boxes that have not been restored yet. */
let target = stored(current);

function remember() {
  // Elements that were not drawn again keep their recorded state.
  const positions = new Map(target.rows);
  for (const [name, row] of rows()) if (row.scrollLeft > 0) positions.set(name, Math.round(row.scrollLeft));
  const opened = new Set(target.boxes);
  for (const [name, box] of boxes()) if (box.open) opened.add(name);
  const left = { top: Math.round(scrollY), rows: [...positions], boxes: [...opened] };
  try {
    sessionStorage.setItem(PREFIX + current, JSON.stringify(left));
  } catch {
    // As above.
  }
}

/**
 * Restores the boxes and scroll positions of this history entry. After the first input of the visitor, the position of
 * the page is no longer restored; a row is restored once it has its content.
 */
export function restoreScroll() {
  if (target.boxes.size > 0) {
    for (const [name, box] of boxes()) if (target.boxes.delete(name)) box.open = true;
  }
  if (target.rows.size > 0) {
    for (const [name, row] of rows()) {
      const left = target.rows.get(name);
      if (left === undefined) continue;
      row.scrollTo({ left, behavior: "instant" });
      if (Math.abs(row.scrollLeft - left) < 2) target.rows.delete(name);
    }
  }
  if (target.top !== null) scrollTo({ top: target.top, behavior: "instant" });
}

/** Adds a history entry with this address. */
export function visit(url) {
  remember();
  history.pushState(null, "", url);
  current = entryKey();
  target = stored(current);
}

/** Changes the address of the current history entry. */
export function readdress(url) {
  history.replaceState(history.state, "", url);
}

history.scrollRestoration = "manual";
for (const input of ["wheel", "touchstart", "pointerdown", "keydown"]) {
  addEventListener(input, () => (target.top = null), { passive: true, capture: true });
}
addEventListener("pagehide", remember);
// Registered before the listeners of the pages, which draw the entry's content and restore again.
addEventListener("popstate", () => {
  remember();
  current = entryKey();
  target = stored(current);
  restoreScroll();
});
