// Live logs. What a script prints is text: of all that a terminal would obey, the colours are kept (SGR), and every other
// control, and every mark that turns the direction of writing, is shown by its name. However much there is of it, the page
// keeps so many lines of so many characters, says so, and links to the whole.

const LINES = 2000;
const WIDTH = 4000;
const MOST = 64 * 1024 * 1024;
const SPLIT = /(\x1b\[[0-9;:]{0,64}m|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb])/;
const SGR = /^\x1b\[([0-9;:]*)m$/;
const FLAGS = { 1: ["b", true], 2: ["dim", true], 3: ["i", true], 4: ["u", true], 9: ["s", true], 22: ["b", false], 23: ["i", false], 24: ["u", false], 29: ["s", false] };

// The one of the sixteen colours that is nearest to a colour of the 256, or to red, green and blue.
const PALETTE = [[0, 0, 0], [205, 0, 0], [0, 205, 0], [205, 205, 0], [0, 0, 238], [205, 0, 205], [0, 205, 205], [229, 229, 229],
  [127, 127, 127], [255, 0, 0], [0, 255, 0], [255, 255, 0], [92, 92, 255], [255, 0, 255], [0, 255, 255], [255, 255, 255]];

function nearest(rgb) {
  const far = (colour) => colour.reduce((sum, part, at) => sum + (part - rgb[at]) ** 2, 0);
  return PALETTE.reduce((best, colour, at) => (far(colour) < far(PALETTE[best]) ? at : best), 0);
}

function of256(index) {
  if (index < 16) return index;
  if (index > 231) return nearest(Array(3).fill(8 + (index - 232) * 10));
  const step = (part) => (part ? part * 40 + 55 : 0);
  const rest = index - 16;
  return nearest([step(Math.floor(rest / 36)), step(Math.floor(rest / 6) % 6), step(rest % 6)]);
}

// Changes `style` as an SGR sequence says.
function restyle(style, codes) {
  const list = codes.split(/[;:]/).map((code) => Number(code || 0));
  for (let at = 0; at < list.length; at += 1) {
    const code = list[at];
    if (code === 0) for (const key of Object.keys(style)) delete style[key];
    else if (FLAGS[code]) { style[FLAGS[code][0]] = FLAGS[code][1]; if (code === 22) style.dim = false; }
    else if (code >= 30 && code <= 37) style.f = code - 30;
    else if (code >= 90 && code <= 97) style.f = code - 82;
    else if (code >= 40 && code <= 47) style.g = code - 40;
    else if (code >= 100 && code <= 107) style.g = code - 92;
    else if (code === 39) delete style.f;
    else if (code === 49) delete style.g;
    else if (code === 7) style.g = style.f ?? 15;
    else if (code === 27) delete style.g;
    else if (code === 38 || code === 48) {
      const key = code === 38 ? "f" : "g";
      if (list[at + 1] === 5) { style[key] = of256(Math.min(255, list[at + 2] || 0)); at += 2; }
      else if (list[at + 1] === 2) { style[key] = nearest([2, 3, 4].map((n) => Math.min(255, list[at + n] || 0))); at += 4; }
    }
  }
}

function classes(style) {
  const names = ["b", "dim", "i", "u", "s"].filter((name) => style[name]);
  if (style.g !== undefined) names.push("g" + style.g);
  else if (style.f !== undefined) names.push("f" + style.f);
  return names.join(" ");
}

function span(text, names) {
  const made = document.createElement("span");
  if (names) made.className = names;
  made.textContent = text;
  return made;
}

// Puts what a line says into `element`, going on with `style`.
function fill(element, text, style) {
  for (const piece of text.split(SPLIT)) {
    if (!piece) continue;
    const sgr = SGR.exec(piece);
    if (sgr) restyle(style, sgr[1]);
    else if (piece === "\x1b") element.append(span("␛", "mask"));
    else if (piece.length === 1 && SPLIT.test(piece)) element.append(span("[U+" + piece.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "]", "mask"));
    else { const names = classes(style); element.append(names ? span(piece, names) : piece); }
  }
}

// The lines of a log as they come, in an element that shows the last ones.
class Lines {
  constructor(element) {
    this.element = element;
    this.style = {};
    this.waiting = [];
    this.current = { text: "", more: 0 };
    this.dropped = 0;
    this.frame = 0;
  }

  // Takes a piece of the log. A carriage return ends a line, too: nothing is written over.
  add(text) {
    const pieces = text.split(/\r\n|\n|\r(?=[^\n])/);
    pieces.forEach((piece, at) => {
      if (at) { this.end(); }
      const room = WIDTH - this.current.text.length;
      this.current.text += piece.slice(0, Math.max(0, room));
      this.current.more += Math.max(0, piece.length - Math.max(0, room));
    });
    if (this.waiting.length > LINES) { this.dropped += this.waiting.length - LINES; this.waiting = this.waiting.slice(-LINES); }
    this.frame ||= setTimeout(() => this.draw(), 60);
  }

  end() {
    this.current.text = this.current.text.replace(/\r$/, "");
    this.waiting.push(this.current);
    this.current = { text: "", more: 0 };
  }

  draw() {
    clearTimeout(this.frame);
    this.frame = 0;
    const element = this.element;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
    if (this.open) this.open.remove();
    const made = document.createDocumentFragment();
    for (const line of this.waiting) made.append(this.line(line, this.style));
    this.waiting = [];
    this.open = this.current.text || this.current.more ? this.line(this.current, { ...this.style }) : null;
    if (this.open) made.append(this.open);
    element.append(made);
    while (element.childElementCount > LINES) { element.firstElementChild.remove(); this.dropped += 1; }
    if (atEnd) element.scrollTop = element.scrollHeight;
    this.changed?.();
  }

  line(line, style) {
    const made = document.createElement("div");
    made.dir = "ltr";
    fill(made, line.text, style);
    if (line.more) made.append(span(` … ${line.more.toLocaleString("en")} more characters of this line`, "cut"));
    return made;
  }
}

// One log in view: follows it to its end, coming back where it was if the connection breaks.
class Follower {
  constructor(view, url) {
    this.view = view;
    this.url = url;
    this.stopped = new AbortController();
    this.bytes = 0;
  }

  async run() {
    const lines = new Lines(this.view.fresh());
    lines.changed = () => this.view.cut(lines.dropped);
    const decoder = new TextDecoder();
    for (let tries = 0; ; tries += 1) {
      try {
        this.view.say(this.bytes ? "" : "Waiting for the first line …");
        const response = await fetch(`${this.url}?follow=true&offset=${this.bytes}`, { signal: this.stopped.signal, cache: "no-store" });
        if (!response.ok) return this.view.say((await response.json()).error);
        const reader = response.body.getReader();
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
          tries = 0;
          this.bytes += part.value.length;
          lines.add(decoder.decode(part.value, { stream: true }));
          this.view.say("Live");
          if (this.bytes > MOST) { this.stop(); return this.view.say("This log is too long to be shown here: open all of it."); }
        }
        lines.draw();
        return this.view.ended(this.bytes);
      } catch (error) {
        if (error.name === "AbortError") return undefined;
        this.view.say("The connection broke; trying again …");
        await new Promise((done) => { setTimeout(done, Math.min(15000, 1000 * 2 ** tries)); });
      }
    }
  }

  stop() { this.stopped.abort(); }
}

function element(name, properties) { return Object.assign(document.createElement(name), properties); }

// The part of the page that shows a log.
class View {
  constructor(section) {
    this.root = section.dataset.log;
    this.source = section.querySelector("#source");
    this.lines = element("pre", { className: "lines", tabIndex: 0 });
    this.lines.setAttribute("role", "region");
    this.bar = element("p", { className: "logbar" });
    this.state = element("span", {});
    this.left = element("span", {});
    this.raw = element("a", { textContent: "All of it, as it is" });
    this.bar.append(this.state, this.left, this.raw);
    section.append(this.lines, this.bar);
    if (this.source) {
      this.source.closest("label").hidden = false;
      this.source.addEventListener("change", () => this.follow(this.source.value));
    }
    this.follow(section.dataset.source || this.source.value);
  }

  follow(path) {
    this.follower?.stop();
    this.path = path;
    this.raw.href = `${this.root}/${path}?follow=true`;
    this.lines.setAttribute("aria-label", path === "build/log" ? "Log of the build" : "Log of item " + path.split("/")[1]);
    this.follower = new Follower(this, `${this.root}/${path}`);
    this.follower.run();
  }

  fresh() { this.lines.replaceChildren(); this.left.textContent = ""; return this.lines; }
  say(text) { if (this.state.textContent !== text) this.state.textContent = text; }
  cut(dropped) { this.left.textContent = dropped ? `${dropped.toLocaleString("en")} earlier lines are not shown here.` : ""; }
  ended(bytes) { this.say(bytes ? "This log has ended." : "This log is empty."); this.done?.(); }
}

document.addEventListener("DOMContentLoaded", () => {
  const section = document.querySelector("[data-log]");
  if (!section) return;
  const view = new View(section);
  // Whoever watches the build sees the first run when it is over, unless they chose for themselves.
  let chosen = false;
  view.source?.addEventListener("change", () => { chosen = true; });
  view.done = () => {
    const first = view.source?.options[1];
    const live = document.querySelector("#standing")?.dataset.live;
    if (!chosen && first && view.path === "build/log" && Number(live)) {
      view.source.value = first.value;
      view.follow(first.value);
    }
  };
});
