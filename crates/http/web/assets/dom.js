// Builds elements. Text is inserted as text nodes only, so that markup in titles is not interpreted.

/**
 * The path under which the server is reached, without a slash at the end: empty, or as `/movies`. This module is at
 * `/assets/dom.js` below it.
 */
export const base = new URL("..", import.meta.url).pathname.slice(0, -1);

/** The path of this page below `base`. */
export const pagePath = location.pathname.slice(base.length);

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An HTML element: `h("a", { href: "/", onclick: f }, "text", otherElement, [more])`. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** An inline icon from one path in a 24 by 24 box; decorative, so hidden from screen readers. */
export function icon(path) {
  return s(
    "svg",
    { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    s("path", { d: path }),
  );
}

let live;

/** Announces a text to screen readers without moving the focus. */
export function announce(text) {
  live ??= document.getElementById("live");
  if (live) live.textContent = text;
}

/** True for a plain left click. A page leaves all other clicks on links to the browser. */
export function plainClick(event) {
  return event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
}

const counts = new Intl.NumberFormat("en");

/** 9742 as "9,742". */
export function count(number) {
  return counts.format(number);
}

/** "1 movie", "9,742 movies". */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** "850 µs", "1.2 ms". */
export function micros(value) {
  return value < 1000 ? `${count(value)} µs` : `${(value / 1000).toFixed(1)} ms`;
}

const days = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeZone: "UTC" });

/** A `<time>` for seconds since 1970. */
export function day(timestamp) {
  const date = new Date(timestamp * 1000);
  if (Number.isNaN(date.getTime())) return h("span", {}, "unknown date");
  return h("time", { datetime: date.toISOString() }, days.format(date));
}
