// Draws the poster of a movie. The first genre determines the colours, the id the composition and
// lettering, so a movie always has the same poster. If the server has a picture, it covers the drawing.

import { hasPosters } from "./api.js";
import { base, h, s } from "./dom.js";
import { shortTitle } from "./title.js";

// Genres are names from the data, so they are looked up in maps: an object would also find "constructor".
// Each palette is ground, ink, then three shape colours.
const PALETTES = new Map(Object.entries({
  Action: ["#c23a2b", "#fff3e0", "#1f1b1a", "#f2b33d", "#7d1d1a"],
  Adventure: ["#1f6f6b", "#fdf1d8", "#f0a43a", "#0e3f45", "#e9dcb6"],
  Animation: ["#f4b63f", "#2a1b3d", "#e4572e", "#2a9d8f", "#fff3d6"],
  Children: ["#76bccb", "#15303c", "#fbe36a", "#ef6f6c", "#ffffff"],
  Comedy: ["#f39a7e", "#31140f", "#ffd75e", "#d2434f", "#fff1e0"],
  Crime: ["#24282d", "#f2ead8", "#c9352b", "#5a656e", "#e0b64f"],
  Documentary: ["#e4dbc6", "#26231e", "#3d5a6c", "#b5542e", "#a89f87"],
  Drama: ["#6b2d3e", "#f8e6d4", "#d98c5f", "#3c1626", "#f0c9a0"],
  Fantasy: ["#4a3b86", "#f5ecff", "#f4b8d0", "#241a52", "#8fd3d1"],
  "Film-Noir": ["#17171a", "#efeae0", "#efeae0", "#6a6a6c", "#3a3a3e"],
  Horror: ["#15110f", "#f5e9da", "#a8181c", "#4b0d10", "#d9d2bd"],
  IMAX: ["#0f4c81", "#f4f7fa", "#f5a623", "#08294a", "#7fc4ef"],
  Musical: ["#b2315f", "#fff0f4", "#ffcf56", "#5c1a4a", "#f79ac0"],
  Mystery: ["#2c3e4c", "#f1ead7", "#d7b56d", "#16222c", "#7c98a6"],
  Romance: ["#e8a0a0", "#3c1220", "#c23b4f", "#fbe5db", "#7d2240"],
  "Sci-Fi": ["#101a3a", "#e6f1ff", "#ff6b4a", "#2f5fd0", "#7ee0e6"],
  Thriller: ["#0f3b3a", "#eef2df", "#e2c044", "#06201f", "#d1542f"],
  War: ["#555a3a", "#f6efd9", "#c4502c", "#2f3321", "#c9bd8b"],
  Western: ["#cf7f3e", "#2a140a", "#7a2e17", "#f3d9a4", "#e9b468"],
}));
const NO_GENRE = ["#6a645a", "#f7f1e4", "#c9bfa9", "#3d3932", "#a39a87"];

// Compositions that suit a genre; half of its posters use one of these, the rest any.
const SUITED = new Map(Object.entries({
  Action: ["burst", "bands", "target"],
  Adventure: ["peaks", "horizon", "waves"],
  Animation: ["tiles", "scales", "dots"],
  Children: ["perch", "scales", "tiles"],
  Comedy: ["tiles", "dots", "perch"],
  Crime: ["skyline", "blinds", "spotlight"],
  Documentary: ["horizon", "bands", "target"],
  Drama: ["arches", "stairs", "moon"],
  Fantasy: ["peaks", "moon", "petals"],
  "Film-Noir": ["blinds", "spotlight", "skyline"],
  Horror: ["eye", "arches", "spiral"],
  Musical: ["burst", "petals", "spotlight"],
  Mystery: ["eye", "stairs", "arches"],
  Romance: ["petals", "waves", "moon"],
  "Sci-Fi": ["orbits", "target", "dots"],
  Thriller: ["spiral", "blinds", "eye"],
  War: ["burst", "bands", "horizon"],
  Western: ["horizon", "peaks", "perch"],
}));

const LETTERING = new Map(Object.entries({
  Action: ["narrow", "heavy"],
  Adventure: ["heavy", "serif"],
  Animation: ["heavy"],
  Children: ["heavy"],
  Comedy: ["heavy", "serif"],
  Crime: ["narrow", "heavy"],
  Documentary: ["light", "heavy"],
  Drama: ["serif", "light"],
  Fantasy: ["serif", "italic"],
  "Film-Noir": ["narrow", "serif"],
  Horror: ["narrow", "serif"],
  Musical: ["italic", "heavy"],
  Mystery: ["serif", "narrow"],
  Romance: ["italic", "serif"],
  "Sci-Fi": ["light", "narrow"],
  Thriller: ["narrow", "light"],
  War: ["narrow", "heavy"],
  Western: ["serif", "heavy"],
}));

/** A small seeded generator (mulberry32): numbers in [0, 1). */
function generator(seed) {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function luminance(hex) {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const v = parseInt(hex.slice(at, at + 2), 16) / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one, other) {
  const [light, dark] = [luminance(one), luminance(other)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}

/** One of a palette's schemes: the ground may be any of three of its colours; the ink stays readable on it. */
function scheme(palette, random) {
  const [ground, ink, a, b, c] = palette;
  const turn = random();
  if (turn < 0.58) return { ground, ink, shapes: [a, b, c] };
  const [newGround, shapes] = turn < 0.8 ? [b, [a, ground, c]] : [c, [a, ground, b]];
  const readable = [ink, ground, "#fff6e8", "#1b1613"].find((colour) => contrast(colour, newGround) >= 5);
  return readable ? { ground: newGround, ink: readable, shapes } : { ground, ink, shapes: [a, b, c] };
}

const circle = (cx, cy, r, fill) => s("circle", { cx, cy, r, fill });
const ring = (cx, cy, r, stroke, width) => s("circle", { cx, cy, r, fill: "none", stroke, "stroke-width": width });
const rect = (x, y, width, height, fill) => s("rect", { x, y, width, height, fill });
const path = (d, fill) => s("path", { d, fill });
const line = (d, stroke, width) => s("path", { d, fill: "none", stroke, "stroke-width": width });
const round = (number) => Math.round(number * 10) / 10;

/** A sparrow, seen from the side, standing at (x, y); `flip` makes it face left. */
function bird(x, y, size, body, wing, flip) {
  const turn = `translate(${x} ${y}) scale(${flip ? -size : size} ${size})`;
  return s(
    "g",
    { transform: turn },
    path("M-10 -2A10 10 0 0 0 10 -2Z", body),
    circle(7, -5, 5, body),
    path("M11 -7L17 -5L11 -3Z", wing),
    path("M-10 -2L-20 -8L-8 -8Z", body),
    path("M-8 -2A8 8 0 0 0 4 -2Z", wing),
  );
}

// Each composition fills a 200 by 200 square above (or below) the lettering. `p` is { shapes, ink, ground }.
const COMPOSITIONS = {
  horizon(p, random) {
    const [sun, far, near] = p.shapes;
    const x = 60 + random() * 80;
    const r = 44 + random() * 22;
    const stripes = [0, 1, 2, 3].map((k) => rect(0, 130 + k * 20, 200, 4 + k * 4, k % 2 ? near : far));
    return [circle(x, 122, r, sun), rect(0, 124, 200, 200, p.ground), ...stripes];
  },
  target(p, random) {
    const x = 50 + random() * 100;
    const y = 60 + random() * 60;
    const order = [p.shapes[0], p.ground, p.shapes[1], p.ground, p.shapes[2], p.shapes[0]];
    return order.map((colour, k) => circle(x, y, 112 - k * 20, colour));
  },
  tiles(p, random) {
    const out = [];
    for (let row = 0; row < 4; row += 1) {
      for (let column = 0; column < 4; column += 1) {
        const [x, y] = [column * 50, row * 50];
        const colour = p.shapes[Math.floor(random() * 3)];
        const kind = random();
        if (kind < 0.16) continue;
        if (kind < 0.3) out.push(circle(x + 25, y + 25, 25, colour));
        else if (kind < 0.46) out.push(rect(x, y, 50, 50, colour));
        else {
          const turn = Math.floor(random() * 4) * 90;
          out.push(s("path", { d: "M-25-25H25A50 50 0 0 1-25 25Z", fill: colour, transform: `translate(${x + 25} ${y + 25}) rotate(${turn})` }));
        }
      }
    }
    return out;
  },
  peaks(p, random) {
    const [a, b, c] = p.shapes;
    const peak = (x, y, w, colour) => path(`M${round(x - w)} 200L${round(x)} ${round(y)}L${round(x + w)} 200Z`, colour);
    const x = 40 + random() * 120;
    return [
      circle(30 + random() * 140, 50 + random() * 20, 20 + random() * 12, a),
      peak(200 - x, 92 + random() * 20, 120, c),
      peak(x, 66 + random() * 24, 96, b),
      path(`M${round(x)} 88L${round(x - 17)} 118L${round(x)} 110L${round(x + 17)} 118Z`, p.ink),
      rect(0, 196, 200, 6, b),
    ];
  },
  bands(p, random) {
    const slope = random() < 0.5 ? -1 : 1;
    const widths = [16, 34, 10, 26, 14].sort(() => random() - 0.5);
    let at = -30 + random() * 30;
    return widths.map((w, k) => {
      at += w + 18;
      const x = at;
      const [top, bottom] = slope > 0 ? [x + 60, x - 60] : [x - 60, x + 60];
      return path(`M${round(top)} 0H${round(top + w)}L${round(bottom + w)} 200H${round(bottom)}Z`, p.shapes[k % 3]);
    });
  },
  skyline(p, random) {
    const [a, b, c] = p.shapes;
    const out = [circle(40 + random() * 120, 52, 26 + random() * 10, a)];
    for (let k = 0; k < 7; k += 1) {
      const w = 24 + random() * 14;
      const top = 60 + random() * 90;
      out.push(rect(round(k * 30 - 4), round(top), round(w), round(200 - top), k % 2 ? b : c));
      for (let y = top + 12; y < 188; y += 18) {
        if (random() < 0.55) out.push(rect(round(k * 30 + 3), round(y), 5, 7, a));
        if (random() < 0.35) out.push(rect(round(k * 30 + 13), round(y), 5, 7, a));
      }
    }
    return out;
  },
  waves(p, random) {
    const out = [circle(50 + random() * 100, 60, 34, p.shapes[0])];
    for (let k = 0; k < 5; k += 1) {
      const y = 84 + k * 26;
      const shift = -random() * 60;
      let d = `M${round(shift)} ${y}`;
      for (let x = 0; x < 5; x += 1) d += `q30 ${k % 2 ? 22 : -22} 60 0`;
      out.push(path(`${d}V200H${round(shift)}Z`, [p.shapes[1], p.shapes[2], p.shapes[0]][k % 3]));
    }
    return out;
  },
  orbits(p, random) {
    const [a, b, c] = p.shapes;
    const tilt = -50 + random() * 100;
    const orbit = (rx, ry) => s("ellipse", { rx, ry, fill: "none", stroke: p.ink, "stroke-width": 1.6 });
    const angle = random() * 6.28;
    const stars = Array.from({ length: 14 }, () => circle(round(random() * 200), round(random() * 200), 1.3, p.ink));
    return [
      ...stars,
      s(
        "g",
        { transform: `translate(${round(80 + random() * 40)} 104) rotate(${round(tilt)})` },
        orbit(104, 38),
        orbit(74, 26),
        circle(0, 0, 36, b),
        path("M-36 0A36 36 0 0 0 36 0Z", a),
        circle(round(104 * Math.cos(angle)), round(38 * Math.sin(angle)), 9, c),
        circle(round(74 * Math.cos(angle + 2.5)), round(26 * Math.sin(angle + 2.5)), 5, a),
      ),
    ];
  },
  scales(p, random) {
    const out = [];
    const r = random() < 0.5 ? 25 : 33.4;
    for (let y = -r, row = 0; y < 200; y += r, row += 1) {
      for (let x = row % 2 ? 0 : -r; x <= 200 + r; x += 2 * r) {
        const colour = p.shapes[Math.floor(random() * 3)];
        out.push(path(`M${round(x - r)} ${round(y)}A${r} ${r} 0 0 0 ${round(x + r)} ${round(y)}Z`, colour));
        out.push(path(`M${round(x - r / 2)} ${round(y)}A${r / 2} ${r / 2} 0 0 0 ${round(x + r / 2)} ${round(y)}Z`, p.ground));
      }
    }
    return out;
  },
  stairs(p, random) {
    const [a, b, c] = p.shapes;
    const flip = random() < 0.5;
    const step = Math.floor(random() * 4) + 2;
    const out = [circle(150, 52, 30, c)];
    for (let k = 0; k < 8; k += 1) out.push(rect(k * 25, 196 - k * 20, 26, 220, k % 2 ? b : a));
    const [x, y] = [step * 25 + 12, 196 - step * 20];
    out.push(path(`M${x - 5} ${y}L${x - 4} ${y - 22}H${x + 4}L${x + 5} ${y}Z`, p.ink), circle(x, y - 28, 5, p.ink));
    return [s("g", flip ? { transform: "translate(200 0) scale(-1 1)" } : {}, ...out)];
  },
  burst(p, random) {
    const x = 40 + random() * 120;
    const y = 70 + random() * 70;
    const rays = 18;
    const out = [];
    for (let k = 0; k < rays; k += 1) {
      const [from, to] = [(k / rays) * 6.2832, ((k + 0.5) / rays) * 6.2832];
      const at = (angle) => `${round(x + 320 * Math.cos(angle))} ${round(y + 320 * Math.sin(angle))}`;
      out.push(path(`M${round(x)} ${round(y)}L${at(from)}L${at(to)}Z`, p.shapes[k % 2]));
    }
    out.push(circle(round(x), round(y), 36, p.ground), circle(round(x), round(y), 26, p.shapes[2]));
    return out;
  },
  petals(p, random) {
    const size = 50;
    const out = [];
    for (let row = 0; row < 4; row += 1) {
      for (let column = 0; column < 4; column += 1) {
        const [x, y] = [column * size, row * size];
        const colour = p.shapes[(row + column + Math.floor(random() * 2)) % 3];
        const d = (row + column) % 2 ? `M${x} ${y}A50 50 0 0 1 ${x + 50} ${y + 50}A50 50 0 0 1 ${x} ${y}Z` : `M${x + 50} ${y}A50 50 0 0 1 ${x} ${y + 50}A50 50 0 0 1 ${x + 50} ${y}Z`;
        out.push(path(d, colour));
      }
    }
    return out;
  },
  arches(p, random) {
    const x = 76 + random() * 48;
    const colours = [p.shapes[0], p.ground, p.shapes[1], p.ground, p.shapes[2]];
    const out = colours.map((colour, k) => {
      const r = 84 - k * 16;
      return path(`M${round(x - r)} 202V${116}A${r} ${r} 0 0 1 ${round(x + r)} 116V202Z`, colour);
    });
    out.push(path(`M${round(x - 5)} 202L${round(x - 4)} 170H${round(x + 4)}L${round(x + 5)} 202Z`, p.ground), circle(round(x), 163, 5.5, p.ground));
    return out;
  },
  spotlight(p, random) {
    const [a, b, c] = p.shapes;
    const left = random() < 0.5;
    const x = left ? 128 : 72;
    const lamp = left ? 0 : 200;
    return [
      path(`M${lamp} 0L${x - 54} 176H${x + 54}Z`, b),
      s("ellipse", { cx: x, cy: 176, rx: 54, ry: 13, fill: c }),
      path(`M${x - 9} 177L${x - 7} 128Q${x} 118 ${x + 7} 128L${x + 9} 177Z`, a),
      circle(x, 112, 9, a),
    ];
  },
  blinds(p, random) {
    const [a, b, c] = p.shapes;
    const out = [circle(60 + random() * 80, 100, 62, a), circle(60 + random() * 80, 100, 40, c)];
    for (let y = 0; y < 200; y += 22) out.push(rect(0, y, 200, 9 + random() * 5, y % 44 ? p.ground : b));
    return out;
  },
  moon(p, random) {
    const [a, b, c] = p.shapes;
    const x = 70 + random() * 60;
    const shift = (random() < 0.5 ? -1 : 1) * (18 + random() * 14);
    return [
      circle(round(x), 92, 62, a),
      circle(round(x + shift), 82, 54, p.ground),
      path("M0 172Q50 146 100 168T200 160V202H0Z", b),
      path("M0 188Q60 170 120 186T200 180V202H0Z", c),
    ];
  },
  spiral(p, random) {
    const [a, , c] = p.shapes;
    const [x, y] = [80 + random() * 40, 100];
    const twist = random() < 0.5 ? 1 : -1;
    let d = `M${round(x)} ${y}`;
    for (let k = 1; k < 90; k += 1) {
      const angle = k * 0.28 * twist;
      d += `L${round(x + k * 1.7 * Math.cos(angle))} ${round(y + k * 1.7 * Math.sin(angle))}`;
    }
    return [circle(round(x), y, 120, p.shapes[1]), line(d, a, 8), circle(round(x), y, 9, c)];
  },
  dots(p, random) {
    const chosen = Math.floor(random() * 36);
    const grow = random() < 0.5;
    const out = [];
    for (let k = 0; k < 36; k += 1) {
      const [column, row] = [k % 6, Math.floor(k / 6)];
      const size = grow ? 5 + row * 1.9 : 14.5 - row * 1.9;
      out.push(circle(18 + column * 33, 18 + row * 33, k === chosen ? 15 : round(size), k === chosen ? p.shapes[0] : p.shapes[1 + ((column + row) % 2)]));
    }
    return out;
  },
  perch(p, random) {
    const [a, b, c] = p.shapes;
    const out = [circle(150 - random() * 100, 74, 44, c)];
    for (let k = 0; k < 4; k += 1) out.push(line(`M0 ${66 + k * 36}Q100 ${82 + k * 36} 200 ${62 + k * 36}`, p.ink, 1.8));
    for (let k = 0; k < 5; k += 1) {
      const wire = Math.floor(random() * 4);
      const x = 24 + k * 38;
      const sag = 66 + wire * 36 + 16 * (1 - ((x - 100) / 100) ** 2) * 0.6;
      out.push(bird(x, round(sag - 7.5), 1, k === 2 ? a : b, k === 2 ? p.ink : a, random() < 0.5));
    }
    return out;
  },
  eye(p, random) {
    const [a, b, c] = p.shapes;
    const look = -16 + random() * 32;
    const lashes = Array.from({ length: 9 }, (_, k) => line(`M${20 + k * 20} ${40 - (4 - Math.abs(k - 4)) * 6}V${round(66 - (4 - Math.abs(k - 4)) * 7)}`, b, 4));
    return [
      ...lashes,
      path("M4 108Q100 8 196 108Q100 208 4 108Z", c),
      circle(round(100 + look), 108, 44, a),
      circle(round(100 + look), 108, 21, p.ground),
      circle(round(112 + look), 95, 7, p.ink),
    ];
  },
};
const NAMES = Object.keys(COMPOSITIONS);

/** The design of a poster, computed from the movie. */
function design(movie) {
  const random = generator(movie.movieId);
  const genre = movie.genres[0];
  const colours = scheme(PALETTES.get(genre) ?? NO_GENRE, random);
  const suited = SUITED.get(genre);
  const name = suited && random() < 0.5 ? suited[Math.floor(random() * suited.length)] : NAMES[Math.floor(random() * NAMES.length)];
  const styles = LETTERING.get(genre) ?? ["light", "serif"];
  const style = styles[Math.floor(random() * styles.length)];
  const top = random() < 0.35;
  return { random, colours, name, style, top };
}

/** The drawing alone: 200 by 300, or its art square when `square`. */
function drawing(plan, square) {
  const art = COMPOSITIONS[plan.name](plan.colours, plan.random);
  const { ground } = plan.colours;
  // A nested svg clips what bleeds over the edge of the art square.
  const frame = s("svg", { x: 0, y: square || !plan.top ? 0 : 100, width: 200, height: 200, viewBox: "0 0 200 200" }, ...art);
  return s(
    "svg",
    { class: "poster__art", viewBox: `0 0 200 ${square ? 200 : 300}`, preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true", focusable: "false" },
    rect(0, 0, 200, 300, ground),
    frame,
  );
}

// The space for the title, in hundredths of the poster's width: see .poster__text in poster.css.
const TEXT_WIDTH = 86;
const TEXT_HEIGHT = 30;

const faces = new Map();
let canvas;

/** The metrics of a lettering style in this browser, with the first available font; measured once. */
function face(style) {
  const known = faces.get(style);
  if (known) return known;
  const probe = h("span", { class: `poster__title--${style} hidden` });
  probe.style.fontSize = "100px";
  document.body.append(probe);
  const { fontStyle, fontWeight, fontStretch, fontFamily, letterSpacing, textTransform, lineHeight } = getComputedStyle(probe);
  probe.remove();
  const spacing = Number.parseFloat(letterSpacing) || 0;
  canvas ??= document.createElement("canvas").getContext("2d");
  const found = {
    leading: (Number.parseFloat(lineHeight) || 100) / 100,
    /** In ems. */
    width(text) {
      const shown = textTransform === "uppercase" ? text.toUpperCase() : text;
      canvas.font = `${fontStyle} ${fontWeight} 100px ${fontFamily}`;
      canvas.fontStretch = STRETCHES.get(fontStretch) ?? "normal";
      return (canvas.measureText(shown).width + spacing * shown.length) / 100;
    },
  };
  faces.set(style, found);
  return found;
}

// The computed value is a percentage; the canvas takes keywords.
const STRETCHES = new Map(Object.entries({ "75%": "condensed", "100%": "normal" }));

/** The unbreakable pieces of a title: words, and parts of words with hyphens; `space` is true after a space. */
function pieces(title) {
  return title.split(/\s+/u).flatMap((word) => (word.match(/[^-]+-*|-+/gu) ?? []).map((text, k) => ({ text, space: k === 0 })));
}

/** The number of lines that the pieces take, with each line filled in turn. */
function lines(parts, gap, room) {
  let taken = 1;
  let used = 0;
  for (const { width, space } of parts) {
    const before = used > 0 && space ? gap : 0;
    if (used > 0 && used + before + width > room) {
      taken += 1;
      used = width;
    } else used += before + width;
  }
  return taken;
}

/** The greatest lettering size, in hundredths of the poster's width, at which the title fits its third of the poster. */
function letteringSize(title, style) {
  const { leading, width } = face(style);
  const parts = pieces(title).map(({ text, space }) => ({ width: width(text), space }));
  const gap = width(" ");
  const longest = Math.max(...parts.map((part) => part.width));
  for (let size = 22; size > 5; size -= 0.5) {
    const fits = longest * size <= TEXT_WIDTH && lines(parts, gap, TEXT_WIDTH / size) * size * leading <= TEXT_HEIGHT;
    if (fits) return size;
  }
  return 5;
}

function picture(movie, place) {
  hasPosters().then((has) => {
    if (!has) return;
    const image = h("img", { class: "poster__photo", src: `${base}/posters/${movie.movieId}.jpg`, alt: "", loading: "lazy", decoding: "async" });
    image.addEventListener("error", () => image.remove());
    place.append(image);
  });
}

/** The full poster. It repeats the caption beside it, so it is hidden from screen readers. */
export function poster(movie) {
  const plan = design(movie);
  const title = shortTitle(movie.title);
  const name = h("span", { class: `poster__title poster__title--${plan.style}` }, title);
  name.style.fontSize = `${letteringSize(title, plan.style)}cqw`;
  const lettering = h(
    "span",
    { class: plan.top ? "poster__text poster__text--top" : "poster__text" },
    name,
    h("span", { class: "poster__line" }, h("span", {}, movie.genres[0] ?? "Film"), h("span", {}, movie.releaseYear ?? "")),
  );
  const element = h("span", { class: "poster", "aria-hidden": "true" }, drawing(plan, false), lettering);
  element.style.color = plan.colours.ink;
  element.style.backgroundColor = plan.colours.ground;
  picture(movie, element);
  return element;
}

/** A small square of the same drawing, without lettering. */
export function thumbnail(movie) {
  const element = h("span", { class: "thumb", "aria-hidden": "true" }, drawing(design(movie), true));
  picture(movie, element);
  return element;
}

/** A badge for a user: tiles in one of the palettes, the same wherever the user appears. */
export function badge(userId) {
  const random = generator(userId * 31 + 7);
  const palettes = [...PALETTES.values()];
  const colours = scheme(palettes[Math.floor(random() * palettes.length)], random);
  return s(
    "svg",
    { class: "badge", viewBox: "0 0 200 200", "aria-hidden": "true", focusable: "false" },
    rect(0, 0, 200, 200, colours.ground),
    ...COMPOSITIONS.tiles(colours, random),
  );
}
