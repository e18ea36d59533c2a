// The page for operators: replaces its content every ten seconds, unless it is paused or hidden.

const EVERY = 10_000;

const pause = document.getElementById("pause");
const live = document.getElementById("live");
let failing = false;

function isPaused() {
  return pause.getAttribute("aria-pressed") === "true";
}

/** Keeps the focus and the scrolling of wide tables, which the new content has again. */
function replace(main) {
  const old = document.getElementById("main");
  const key = (element) => element?.getAttribute("aria-labelledby");
  const focused = old.contains(document.activeElement) ? key(document.activeElement) : null;
  const scrolled = [...old.querySelectorAll(".sideways")].map((e) => [key(e), e.scrollLeft]);
  old.replaceWith(main);
  for (const table of main.querySelectorAll(".sideways")) {
    table.scrollLeft = scrolled.find(([name]) => name === key(table))?.[1] ?? 0;
    if (focused === key(table)) table.focus({ preventScroll: true });
  }
}

function report(problem) {
  if (failing === (problem !== null)) return;
  failing = problem !== null;
  document.body.classList.toggle("stale", failing);
  live.textContent = failing ? `The page is not updated: ${problem}` : "The page is updated again.";
  live.className = failing ? "notice stale__notice" : "hidden";
}

async function update() {
  try {
    const answer = await fetch("/status", { cache: "no-store" });
    if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (isPaused()) return;
    replace(document.adoptNode(page.getElementById("main")));
    report(null);
  } catch (error) {
    report(error instanceof TypeError ? "the server does not answer" : error.message);
  }
}

pause.hidden = false;
pause.addEventListener("click", () => {
  const paused = !isPaused();
  pause.setAttribute("aria-pressed", String(paused));
  if (!paused) update();
});

setInterval(() => {
  if (!isPaused() && !document.hidden) update();
}, EVERY);
