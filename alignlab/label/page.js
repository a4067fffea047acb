// The page of one session: asks the server what to show, sends what was chosen, and shows text as text alone.
"use strict";

const at = (id) => document.getElementById(id);
const KEYS = { t: "equal", "=": "join", escape: "clear", enter: "save", s: "skip", u: "undo" };
const HOW = "Pick from best to worst, or drag into order.";

let state = null;
let groups = []; // places picked so far, from best to worst; places of one group tie
let joined = false; // the next pick ties with the last
let busy = false;
let seen = 0; // milliseconds the question was in sight
let since = performance.now();
let dragged = null;

function element(tag, kind, text) {
  const made = document.createElement(tag);
  made.className = kind;
  if (text !== undefined) made.textContent = text;
  return made;
}

function count() {
  return state.showing ? state.showing.completions.length : 0;
}

function ranked() {
  return groups.flat().length;
}

function rankOf(place) {
  return groups.findIndex((group) => group.includes(place)) + 1;
}

function card(completion, place) {
  const made = element("div", "card"); // not a button: those cannot be dragged everywhere
  made.setAttribute("role", "button");
  made.tabIndex = 0;
  made.dataset.place = place;
  made.draggable = count() > 2;
  const top = element("span", "top");
  top.append(element("kbd", "", String(place + 1)), element("span", "rank"));
  made.append(top, element("span", "text-of", completion.text));
  if (!completion.text.trim()) made.append(element("span", "cut", "(empty)"));
  if (!completion.ended) made.append(element("span", "cut", "(cut off at the length limit)"));
  made.addEventListener("click", () => pick(place));
  return made;
}

function show(next, said) {
  state = next;
  groups = [];
  joined = false;
  seen = 0;
  since = performance.now();
  const showing = state.showing;
  at("progress").textContent = [`${state.done} of ${state.total}`, state.left].filter(Boolean).join(" · ");
  at("bar").max = Math.max(state.total, 1);
  at("bar").value = state.done;
  at("question").textContent = !showing ? "Done" : count() > 2 ? "Rank from best to worst" : "Which is better?";
  at("prompt").replaceChildren(...(showing ? showing.prompt : []).map(([role, text]) => {
    const turn = element("div", `turn ${["user", "text"].includes(role) ? role : ""}`);
    if (showing.prompt.length > 1) turn.append(element("div", "role", role));
    turn.append(element("div", "text-of", text));
    return turn;
  }));
  at("completions").replaceChildren(...(showing ? showing.completions : []).map(card));
  at("end").hidden = Boolean(showing);
  at("said").textContent = [said, count() > 2 ? HOW : ""].filter(Boolean).join(" ");
  window.scrollTo(0, 0);
  marks();
}

function marks() {
  const several = count() > 2;
  for (const made of document.querySelectorAll(".card")) {
    const rank = rankOf(Number(made.dataset.place));
    made.classList.toggle("picked", rank > 0);
    const ties = rank && groups[rank - 1].length > 1;
    made.querySelector(".rank").textContent = !rank || !several ? "" : `Rank ${rank}${ties ? ", tie" : ""}`;
  }
  at("equal").querySelector("span").textContent = several ? "All equal" : "Tie";
  for (const id of ["join", "clear", "save"]) at(id).hidden = !several;
  for (const id of ["equal", "skip"]) at(id).disabled = busy || !state.showing;
  at("join").disabled = busy || !groups.length || ranked() === count();
  at("join").setAttribute("aria-pressed", String(joined));
  at("join").querySelector("span").textContent = joined ? "Pick what ties" : "Next ties";
  at("clear").disabled = busy || !groups.length;
  at("save").disabled = busy || !several || ranked() < count();
  at("undo").disabled = busy || state.done === 0;
}

function pick(place) {
  if (busy || !state.showing || place >= count() || rankOf(place)) return;
  if (joined && groups.length) groups[groups.length - 1].push(place);
  else groups.push([place]);
  joined = false;
  if (count() === 2) {
    groups.push([1 - place]);
    act.save();
  } else {
    at("said").textContent = ranked() === count() ? "All are ranked: save." : HOW;
    marks();
  }
}

function inSight() {
  return seen + (document.hidden ? 0 : performance.now() - since);
}

async function send(name, body, said) {
  if (busy) return;
  busy = true;
  marks();
  try {
    const reply = await fetch(name, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const content = await reply.json();
    if (!reply.ok && reply.status !== 409) throw new Error(content.error);
    at("error").hidden = true;
    busy = false;
    show(content, reply.status === 409 ? "That question was answered already." : said);
  } catch (error) {
    busy = false;
    groups = count() > 2 ? groups : [];
    at("said").textContent = "";
    trouble(error);
    marks();
  }
}

function trouble(error) {
  const gone = error instanceof TypeError;
  at("error").textContent = gone
    ? "Not saved: the program that serves this page has ended. Start the same command again and open the address it " +
      "prints; it goes on here."
    : `Not saved: ${error.message}`;
  at("error").hidden = false;
}

function answer(ranks, said) {
  return send("answer", { id: state.showing.id, ranks, seconds: inSight() / 1000 }, said);
}

const act = {
  save() {
    if (state.showing && ranked() === count()) answer(state.showing.completions.map((_, place) => rankOf(place)), "Saved.");
  },
  equal() {
    if (state.showing) answer(state.showing.completions.map(() => 1), "Saved as a tie.");
  },
  skip() {
    if (state.showing) answer(null, "Skipped.");
  },
  undo() {
    if (state.done) send("undo", {}, "Taken back.");
  },
  join() {
    if (groups.length && ranked() < count()) joined = !joined;
    marks();
  },
  clear() {
    groups = [];
    joined = false;
    at("said").textContent = HOW;
    marks();
  },
  async finish() {
    await send("finish", {}, "");
    if (!at("error").hidden) return;
    for (const id of ["prompt", "completions", "actions"]) at(id).replaceChildren();
    at("question").textContent = "Stopped";
    at("end").hidden = false;
    at("end").replaceChildren(element("p", "", "Every answer is saved. The same command goes on here. You can close this page."));
    state = null;
  },
};

// Dragging a card to another place ranks all of them in the order they then stand in.
function drop(target) {
  const list = at("completions");
  const cards = [...list.children];
  const after = cards.indexOf(dragged) < cards.indexOf(target);
  list.insertBefore(dragged, after ? target.nextSibling : target);
  groups = [...list.children].map((made) => [Number(made.dataset.place)]);
  at("said").textContent = "Ranked in the order shown: save.";
  marks();
}

at("completions").addEventListener("dragstart", (event) => {
  dragged = event.target.closest(".card");
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", "");
});
at("completions").addEventListener("dragover", (event) => {
  if (!dragged) return;
  event.preventDefault();
  for (const made of at("completions").children) made.classList.toggle("over", made === event.target.closest(".card"));
});
at("completions").addEventListener("drop", (event) => {
  event.preventDefault();
  const target = event.target.closest(".card");
  if (dragged && target && target !== dragged && !busy) drop(target);
});
at("completions").addEventListener("dragend", () => {
  dragged = null;
  for (const made of at("completions").children) made.classList.remove("over");
});

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || !state) return;
  const key = event.key.toLowerCase();
  const on = event.target.closest(".card");
  if (["enter", " "].includes(key) && event.target.closest("button")) return;
  if (on && (key === " " || (key === "enter" && at("save").disabled))) pick(Number(on.dataset.place));
  else if (/^[1-9]$/.test(key)) pick(Number(key) - 1);
  else if (KEYS[key] && !at(KEYS[key]).hidden && !at(KEYS[key]).disabled) act[KEYS[key]]();
  else return;
  event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) seen += performance.now() - since;
  else since = performance.now();
});
for (const id of [...Object.values(KEYS), "finish"]) at(id).addEventListener("click", () => act[id]());

fetch("state").then((reply) => reply.json()).then((first) => show(first, "")).catch(trouble);
