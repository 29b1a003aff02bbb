// The page: which view is shown, and keeping it up to date.
import { el } from "./dom.js";
import { Refused, json, logIn, logOut } from "./service.js";
import { compareView, experimentView, listView } from "./views.js";

const main = document.getElementById("main"), alertLine = document.getElementById("alert"), who = document.getElementById("who");
const logout = document.getElementById("logout");
let view = null, timer = 0, number = 0, waitMs = 1000;

function show(...nodes) { main.replaceChildren(...nodes); }
function tell(message) { alertLine.textContent = message; }

function loginView() {
  const token = el("input", { id: "token", type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
  const form = el("form", {
    onsubmit: async (event) => {
      event.preventDefault();
      try { await logIn(token.value.trim()); tell(""); await start(); } catch (error) { tell(error.message); token.select(); }
    },
  }, el("p", {}, el("label", { for: "token" }, "Token"), el("br"), token),
  el("p", { class: "quiet" }, "Whoever runs this service makes one: analogjax cloud token create NAME"),
  el("button", { type: "submit" }, "Log in"));
  who.textContent = ""; logout.hidden = true;
  show(el("h1", {}, "Log in"), form);
  token.focus();
}

async function start() {
  try {
    who.textContent = (await json("/me")).user;
    logout.hidden = false;
    await route();
  } catch (error) { failed(error, start); }
}

function failed(error, again) {
  if (error instanceof Refused && error.status === 401) { stop(); tell(""); loginView(); return; }
  tell(error.message);
  if (!(error instanceof Refused) || error.status === 0 || error.status >= 500) timer = setTimeout(again, 3000);
}

function stop() { clearTimeout(timer); number += 1; view = null; }

async function route() {
  stop();
  const mine = number, parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  if (parts[0] === "experiments" && parts[1]) view = experimentView(parts[1]);
  else if (parts[0] === "compare" && parts[1] && parts[2]) view = compareView(parts[1], parts[2]);
  else view = listView();
  try {
    const nodes = await view.open();
    if (mine !== number) return;
    tell(""); show(...nodes); document.title = `${view.title} – analogjax`; main.focus({ preventScroll: true });
    waitMs = 1000; timer = setTimeout(() => refresh(mine), waitMs);
  } catch (error) { if (mine === number) failed(error, route); }
}

async function refresh(mine) {
  if (mine !== number) return;
  try {
    if (!document.hidden) { if (await view.refresh()) waitMs = 1000; else waitMs = Math.min(10000, waitMs * 1.5); if (mine === number) tell(""); }
  } catch (error) { if (mine !== number) return; if (error.status === 401) { failed(error, start); return; } tell(error.message); }
  if (mine === number && view.live()) timer = setTimeout(() => refresh(mine), waitMs);
}

addEventListener("hashchange", () => { if (!logout.hidden) route(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden && view?.live()) { clearTimeout(timer); refresh(number); } });
logout.addEventListener("click", async () => {
  try { await logOut(); } catch (error) { tell(`You are still logged in. ${error.message}`); return; }
  stop(); tell(""); loginView();
});
start();
