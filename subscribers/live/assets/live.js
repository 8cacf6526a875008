// Keeps the page up to date: asks for it every two seconds, with the tag of what it
// has, and changes what is different. Everything works without it.
"use strict";
(() => {
  const every = 2000;
  let tag = "", paused = false, failed = 0, skew = 0;
  const main = document.querySelector("main");
  const status = document.getElementById("status");
  const button = document.getElementById("pause");

  // What was done stands on this view only, not on those that are asked for later.
  const here = new URL(location.href);
  here.searchParams.delete("done");
  here.searchParams.delete("changed");
  history.replaceState(null, "", here);

  const clock = (t) => t.toLocaleTimeString([], { hour12: false });
  const synchronize = () => { skew = Number(main.dataset.now) - Date.now(); };

  // short is what the page's own function of that name does.
  const short = (ms) => {
    const s = Math.max(ms, 0) / 1000, n = Math.round(s);
    if (s < 10) return s.toFixed(1).replace(/\.0$/, "") + "s";
    if (n < 60) return n + "s";
    if (n < 3600) return Math.floor(n / 60) + "m" + (n % 60 ? (n % 60) + "s" : "");
    if (n < 172800) return Math.floor(n / 3600) + "h" + (n % 3600 >= 60 ? Math.floor(n % 3600 / 60) + "m" : "");
    return Math.floor(n / 86400) + "d" + Math.floor(n % 86400 / 3600) + "h";
  };

  // tick lets durations grow and countdowns run while nothing else changes.
  const tick = () => {
    const now = Date.now() + skew;
    for (const t of document.querySelectorAll("main time")) {
      const at = Date.parse(t.dateTime);
      const text = short(t.className === "in" ? at - now : now - at);
      if (t.textContent !== text) t.textContent = text;
    }
  };

  // idOf asks for the attribute: the property of a form is its field of that name, if it has one.
  const idOf = (n) => n.getAttribute?.("id") || "";
  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && idOf(a) === idOf(b);

  // morph makes a like b and keeps every node that can be kept, and with it the
  // focus, the selection and what was opened.
  const morph = (a, b) => {
    if (a.nodeType !== Node.ELEMENT_NODE) {
      if (a.data !== b.data) a.data = b.data;
      return;
    }
    for (const { name, value } of b.attributes) if (a.getAttribute(name) !== value) a.setAttribute(name, value);
    for (const { name } of [...a.attributes]) if (!b.hasAttribute(name) && name !== "open") a.removeAttribute(name);
    let old = a.firstChild;
    for (const fresh of [...b.childNodes]) {
      if (idOf(fresh)) {
        const known = [...a.children].find((c) => idOf(c) === idOf(fresh));
        if (known && known !== old) a.insertBefore(known, old);
        if (known) old = known;
      }
      if (!old) {
        a.append(fresh);
      } else if (alike(old, fresh)) {
        const next = old.nextSibling;
        morph(old, fresh);
        old = next;
      } else if (idOf(old)) {
        a.insertBefore(fresh, old);
      } else {
        const next = old.nextSibling;
        old.replaceWith(fresh);
        old = next;
      }
    }
    while (old) {
      const next = old.nextSibling;
      old.remove();
      old = next;
    }
  };

  const show = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const content = fresh.querySelector("main");
    if (!content) return;
    morph(main, content);
    document.title = fresh.title;
    const icon = document.querySelector("link[rel=icon]"), other = fresh.querySelector("link[rel=icon]");
    if (icon.getAttribute("href") !== other.getAttribute("href")) icon.setAttribute("href", other.getAttribute("href"));
    synchronize();
  };

  const say = () => {
    status.classList.toggle("lost", failed > 0);
    if (failed > 0) status.textContent = "no answer, showing what was there at " + clock(new Date(Date.now() - failed));
    else status.textContent = paused ? "updates paused at " + clock(new Date()) : "live, " + clock(new Date());
  };

  let last = Date.now();
  const poll = async () => {
    if (paused || document.hidden) return;
    try {
      const answer = await fetch(here, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store", redirect: "error", signal: AbortSignal.timeout(10000) });
      if (answer.status === 200) {
        const text = await answer.text();
        if (paused) return;
        tag = answer.headers.get("ETag") || "";
        show(text);
      } else if (answer.status !== 304) {
        throw new Error("status " + answer.status);
      }
      failed = 0;
      last = Date.now();
    } catch {
      failed = Date.now() - last;
    }
    say();
  };

  synchronize();
  setInterval(tick, 500);
  if (main.dataset.live !== "on") return;
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "resume updates" : "pause updates";
    button.setAttribute("aria-pressed", String(paused));
    say();
    if (!paused) poll();
  });
  document.addEventListener("visibilitychange", poll);
  say();
  // One request at a time, however slow the answers are.
  const loop = async () => {
    await poll();
    setTimeout(loop, every);
  };
  setTimeout(loop, every);
})();
