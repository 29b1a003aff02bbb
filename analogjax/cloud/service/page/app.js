// The page: which view is shown, and keeping it up to date.
import { forgetCharts } from "./charts.js";
import { compareView } from "./compare.js";
import { el, told } from "./dom.js";
import { experimentView } from "./experiment.js";
import { listView } from "./list.js";
import { Refused, logIn, logOut, me } from "./service.js";

const main = document.getElementById("main"), who = document.getElementById("who"), notice = document.getElementById("notice");
const logout = document.getElementById("logout");
let view = null, timer = 0, number = 0, waitMs = 1000, user = null;

function show(...nodes) { main.replaceChildren(...nodes); }

function loginView() {
  const token = el("input", { id: "token", type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
  const form = el("form", {
    onsubmit: async (event) => {
      event.preventDefault();
      try { await logIn(token.value.trim()); told(""); await start(); } catch (error) { told(error); token.select(); }
    },
  }, el("input", { class: "unseen", type: "text", autocomplete: "username", value: "analogjax", tabindex: "-1", readonly: true, "aria-label": "User name, for password managers" }),
  el("p", {}, el("label", { for: "token" }, "Token"), el("br"), token),
  el("p", { class: "quiet" }, "Whoever runs this service makes one: analogjax cloud token create NAME"),
  el("button", { type: "submit" }, "Log in"));
  user = null; who.textContent = ""; notice.textContent = ""; logout.hidden = true; document.title = "Log in – analogjax";
  show(el("h1", {}, "Log in"), form);
  token.focus();
}

function errorView(title, message) {
  document.title = `${title} – analogjax`;
  show(el("h1", {}, title), el("p", {}, message), el("p", {}, el("a", { href: "#/" }, "All experiments")));
  main.focus({ preventScroll: true });
}

async function start() {
  try {
    user = await me(); who.textContent = user.user; logout.hidden = false;
    await route();
  } catch (error) { failed(error, start); }
}

function failed(error, again) {
  forgetCharts();
  if (error instanceof Refused && error.status === 401) { stop(); told(""); loginView(); return; }
  const passes = !(error instanceof Refused) || error.status === 0 || error.status >= 500;
  told("");
  errorView(passes ? "Not reached" : error.status === 404 ? "Not found" : "Refused", error.message);
  if (passes) timer = setTimeout(again, 3000);
}

function stop() { clearTimeout(timer); number += 1; view?.close?.(); view = null; forgetCharts(); }

function viewOf(parts) {
  if (!parts.length) return listView(user);
  if (parts[0] === "experiments" && parts.length === 2) return experimentView(parts[1], user);
  if (parts[0] === "compare" && parts.length === 2) return compareView(parts[1].split(",").filter(Boolean));
  return null;
}

async function route() {
  stop(); told("");
  const mine = number;
  let parts;
  try { parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent); } catch { parts = ["?"]; }
  const next = viewOf(parts);
  if (!next) { errorView("Not found", `There is no page ${location.hash}.`); return; }
  try {
    const nodes = await next.open();
    if (mine !== number) return;
    view = next; show(...nodes); view.shown?.(); document.title = `${view.title} – analogjax`; main.focus({ preventScroll: true });
    waitMs = 1000; timer = setTimeout(() => refresh(mine), waitMs);
  } catch (error) { if (mine === number) failed(error, route); }
}

async function refresh(mine) {
  if (mine !== number) return;
  try {
    if (!document.hidden) {
      waitMs = (await view.refresh()) ? 1000 : Math.min(10000, waitMs * 1.5);
      if (mine === number) { told(""); document.title = `${view.title} – analogjax`; }
      user = await me(); notice.textContent = user.paused ? `No waiting experiment starts now: ${user.paused}` : "";
    }
  } catch (error) { if (mine !== number) return; if (error.status === 401 || error.status === 404) { failed(error, start); return; } told(error); }
  if (mine === number && view?.live()) timer = setTimeout(() => refresh(mine), waitMs);
}

addEventListener("hashchange", () => { if (user) route(); });
addEventListener("analogjax:refresh", () => { clearTimeout(timer); waitMs = 1000; if (view) refresh(number); });
document.addEventListener("visibilitychange", () => { if (!document.hidden && view?.live()) { clearTimeout(timer); refresh(number); } });
logout.addEventListener("click", async () => {
  try { await logOut(); } catch (error) { told(`You are still logged in. ${error.message}`); return; }
  stop(); told(""); loginView();
});
start();
