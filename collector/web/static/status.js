// Keeps the status page fresh: asks for machines.json every few seconds and changes what differs.
// Texts only ever go in by textContent; rows and chips are copies of the page's templates.
"use strict";

const PATIENCE = 10000; // milliseconds until an answer counts as missing
const TYPING = 150; // milliseconds of rest before a search is sent
const MARKS = { up: "●", down: "✕", waiting: "○" };

const $ = (id) => document.getElementById(id);
const machines = $("machines");

let asked = 0; // the number of the latest question: an answer to an older one is dropped
let refresh = Number(document.documentElement.dataset.refresh) * 1000;
let answered = new Date();
let timer = 0;
let flight = null;

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function mark(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

function fill(element, words) {
  for (const slot of element.querySelectorAll("[data-slot]")) write(slot, words[slot.dataset.slot] ?? "");
}

function copy(template) {
  return $(template).content.firstElementChild.cloneNode(true);
}

function showRow(tr, machine) {
  fill(tr, machine);
  mark(tr, "data-name", machine.name);
  mark(tr.querySelector("th a"), "href", `probe?target=${encodeURIComponent(machine.name)}`);
  mark(tr, "data-state", machine.state);
  mark(tr, "data-clock", machine.clock ?? "");
  write(tr.querySelector(".mark"), MARKS[machine.state]);
  tr.querySelector(".bar rect")?.setAttribute("width", machine.used ?? 0);
}

function showRows(list) {
  const known = new Map([...machines.rows].map((tr) => [tr.dataset.name, tr]));
  let place = machines.firstElementChild;
  for (const machine of list) {
    const old = known.get(machine.name);
    const before = old?.dataset.state;
    let tr = old;
    if (!tr || (before === "up") !== (machine.state === "up")) tr = copy(machine.state === "up" ? "row-up" : "row-down");
    showRow(tr, machine);
    if (before && before !== machine.state) flash(tr);
    if (old && old !== tr) {
      if (old === place) place = place.nextElementSibling;
      old.remove();
    }
    if (tr === place) place = place.nextElementSibling;
    else machines.insertBefore(tr, place);
    known.delete(machine.name);
  }
  for (const tr of known.values()) tr.remove();
}

function flash(tr) {
  tr.classList.add("turned");
  setTimeout(() => tr.classList.remove("turned"), 4000);
}

function showChips(list) {
  const focused = document.activeElement?.dataset?.show;
  const known = new Map([...$("chips").querySelectorAll("a")].map((a) => [a.dataset.show, a.parentElement]));
  const items = list.map((chip) => {
    const item = known.get(chip.show) ?? copy("chip");
    const link = item.querySelector("a");
    fill(item, chip);
    mark(link, "href", chip.href);
    mark(link, "title", chip.meaning);
    mark(link, "data-show", chip.show);
    if (chip.current) mark(link, "aria-current", "true");
    else link.removeAttribute("aria-current");
    return item;
  });
  const now = [...$("chips").children];
  if (now.length === items.length && now.every((item, place) => item === items[place])) return;
  $("chips").replaceChildren(...items);
  if (focused !== undefined) items.map((item) => item.firstElementChild).find((a) => a.dataset.show === focused)?.focus();
}

function showColumns(columns) {
  for (const th of document.querySelectorAll("th[data-column]")) {
    const [href, direction] = columns[th.dataset.column];
    mark(th, "aria-sort", direction);
    mark(th.firstElementChild, "href", href);
  }
}

function showShares(shares) {
  let left = 0;
  [...$("shares").children].forEach((rect, place) => {
    mark(rect, "x", String(left * 100));
    mark(rect, "width", String(shares[place][1] * 100));
    left += shares[place][1];
  });
}

function show(view) {
  document.title = `${view.title} · collector`;
  write($("headline"), view.headline);
  mark($("headline"), "data-state", view.state);
  write($("note"), view.note);
  showShares(view.shares);
  showChips(view.chips);
  showColumns(view.columns);
  showRows(view.rows);
  refresh = view.refresh * 1000;
}

function found() {
  answered = new Date();
  $("lost").hidden = true;
  document.body.classList.remove("stale");
  write($("seen"), answered.toLocaleTimeString());
  mark($("seen"), "datetime", answered.toISOString());
}

function lost() {
  // The text stays the same for as long as nobody answers, so that it is read aloud once.
  write($("lost"), `No answer from the collector since ${answered.toLocaleTimeString()}. What you see is from then; trying again.`);
  $("lost").hidden = false;
  document.body.classList.add("stale");
}

// One question at a time: a newer one takes the older one's place, and the next waits for the answer.
async function ask() {
  clearTimeout(timer);
  flight?.abort();
  flight = new AbortController();
  const mine = flight;
  const number = ++asked;
  const impatience = setTimeout(() => mine.abort(), PATIENCE);
  try {
    const answer = await fetch(`machines.json${location.search}`, { signal: mine.signal, cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    const view = await answer.json();
    if (number !== asked) return;
    found();
    show(view);
  } catch (error) {
    if (number === asked) lost();
  } finally {
    clearTimeout(impatience);
    if (number === asked) {
      flight = null;
      if (!document.hidden) timer = setTimeout(ask, refresh);
    }
  }
}

function want(search) {
  history.replaceState(null, "", search || location.pathname);
  const query = new URLSearchParams(search);
  for (const input of $("find").elements) {
    if (input.type === "hidden") input.value = query.get(input.name) ?? "";
  }
  ask();
}

function sought() {
  const query = new URLSearchParams(location.search);
  const words = $("search").value.trim();
  if (words) query.set("search", words);
  else query.delete("search");
  want(`?${query}`);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='?']");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  want(link.getAttribute("href"));
});

let rest = 0;
$("search").addEventListener("input", () => {
  clearTimeout(rest);
  rest = setTimeout(sought, TYPING);
});

$("find").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(rest);
  sought();
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest("input") || event.metaKey || event.ctrlKey || event.altKey) return;
  event.preventDefault();
  $("search").focus();
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !flight) ask();
});

ask();
