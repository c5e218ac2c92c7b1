// What every page has: parts that keep themselves up to date, buttons that act, texts to copy.
"use strict";

const Amun = { updated: [] };

// Asks the API; where the visitor is not known any more, they are asked who they are.
Amun.ask = async (path, options = {}) => {
  const response = await fetch("/api/v1" + path, options);
  if (response.status === 401) {
    location.assign("/sign-in?next=" + encodeURIComponent(location.pathname + location.search));
    throw new Error("Sign in first.");
  }
  return response;
};

Amun.say = (text) => { document.getElementById("news").textContent = text; };

// -- parts that keep themselves up to date: [data-live], with an id; the page is asked for again, and what differs is
// put in the place of what was, so that focus, selection, scrolling and open details stay.

const delivered = new Map();

function remember() {
  for (const part of document.querySelectorAll("[data-live]")) delivered.set(part.id, part.innerHTML);
}

function period() {
  const seconds = [...document.querySelectorAll("[data-live]")].map((part) => Number(part.dataset.live) || 0);
  return Math.max(0, ...seconds) * 1000;
}

function news(before, after) {
  const old = new Map([...before.querySelectorAll("[data-news]")].map((each) => [each.id, each.dataset.news]));
  const changed = [...after.querySelectorAll("[data-news]")].filter((each) => old.get(each.id) !== each.dataset.news);
  return changed.map((each) => each.dataset.news);
}

function replace(part, fresh) {
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const place = focused && [...part.querySelectorAll("a, button, input, select, [tabindex]")].indexOf(focused);
  const key = focused && (focused.id || focused.value || focused.getAttribute("href"));
  const ticked = new Set([...part.querySelectorAll("input:checked")].map((box) => box.value));
  const open = new Map([...part.querySelectorAll("details[id]")].map((each) => [each.id, each.open]));
  const left = part.scrollLeft;
  part.replaceChildren(...fresh.childNodes);
  part.dataset.live = fresh.dataset.live || "";
  for (const box of part.querySelectorAll("input[type=checkbox]")) box.checked = ticked.has(box.value);
  for (const each of part.querySelectorAll("details[id]")) if (open.has(each.id)) each.open = open.get(each.id);
  part.scrollLeft = left;
  if (!focused) return;
  const candidates = [...part.querySelectorAll("a, button, input, select, [tabindex]")];
  const same = (each) => key && (each.id === key || each.value === key || each.getAttribute("href") === key);
  (candidates.find(same) || candidates[place] || part).focus({ preventScroll: true });
}

async function update() {
  const response = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-cache" });
  if (response.redirected) return location.reload();
  if (!response.ok) return undefined;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  const parts = [...document.querySelectorAll("[data-live]")];
  const told = [];
  for (const part of parts) {
    const other = fresh.getElementById(part.id);
    if (!other || delivered.get(part.id) === other.innerHTML) continue;
    delivered.set(part.id, other.innerHTML);
    told.push(...news(part, other));
    replace(part, other);
    Amun.updated.forEach((call) => call(part));
  }
  if (told.length) Amun.say(told.slice(0, 3).join("; ") + (told.length > 3 ? ` and ${told.length - 3} more` : ""));
  return undefined;
}

// A page that is slow to make is asked for less often: a fifth of the time at most goes into it.
let timer;
let took = 0;
function look() {
  const begun = performance.now();
  update().catch(() => {}).finally(() => { took = performance.now() - begun; schedule(); });
}

function schedule() {
  clearTimeout(timer);
  const wait = period();
  if (wait && !document.hidden) timer = setTimeout(look, Math.max(wait, 4 * took));
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (!document.hidden && period()) look();
});

// -- texts to copy

async function copy(button) {
  const code = button.previousElementSibling;
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
    Amun.say("Copied");
  } catch {
    getSelection().selectAllChildren(code); // no clipboard without https: the text is selected, to be copied by hand
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

// -- picking inspections to compare: two at least, and what was picked stays picked on the next page of the list

function picking() {
  const form = document.getElementById("picking");
  if (!form) return;
  const show = () => {
    const typed = [...form.querySelectorAll("input:not([type=checkbox])")].filter((each) => each.value.trim()).length;
    const count = form.querySelectorAll("input[type=checkbox]:checked").length + typed;
    const said = document.getElementById("picked");
    if (said) said.textContent = count < 2 ? "Pick two or more." : count > 10 ? "Ten at most." : `${count} picked.`;
    const button = document.getElementById("compare");
    if (button) button.disabled = count < 2 || count > 10;
  };
  form.addEventListener("input", show);
  Amun.updated.push(show);
  show();
}

// -- cancelling and deleting

function acting() {
  const actions = document.querySelector("[data-inspection]");
  if (!actions) return;
  const path = "/inspect/" + actions.dataset.inspection;
  const failure = document.getElementById("failure");
  const act = async (where, method, then) => {
    failure.hidden = true;
    try {
      const response = await Amun.ask(where, { method });
      if (!response.ok) throw new Error((await response.json()).error);
      await then();
    } catch (error) {
      failure.textContent = error.message;
      failure.hidden = false;
    }
  };
  const reveal = () => { for (const id of ["cancel", "delete"]) { const each = document.getElementById(id); if (each) each.hidden = false; } };
  Amun.updated.push(reveal);
  reveal();
  const sure = document.getElementById("sure");
  actions.addEventListener("click", (event) => {
    if (event.target.id === "delete") sure.showModal();
    if (event.target.id === "cancel") {
      event.target.disabled = true;
      act(path + "/cancel", "POST", () => { Amun.say("It is being cancelled"); return update(); });
    }
  });
  sure.addEventListener("close", () => {
    if (sure.returnValue === "yes") act(path, "DELETE", () => location.assign("/"));
  });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});
document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
  remember();
  picking();
  acting();
  schedule();
});
