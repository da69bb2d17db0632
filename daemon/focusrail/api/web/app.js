// The page of focusrail. One module, no library, nothing from elsewhere.
//
// The service tells the truth: this page keeps no state of the rig but what it was last told. It hears of what happens by
// Server-Sent Events, asks for the status besides (nothing tells where a moving rail is), and after a lost connection
// asks for everything again.

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

/** An element: attributes by name, functions as listeners, `null` and `false` left out. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

const setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const still = matchMedia("(prefers-reduced-motion: reduce)");

// --- words and numbers ------------------------------------------------------------------------------------------------

const mm = (value, digits = 4) => value.toFixed(digits);
const microns = (value_mm) => {
  const um = Math.abs(value_mm) * 1000;
  return um >= 1000 ? `${Number((um / 1000).toPrecision(4))} mm` : `${Number(um.toPrecision(um < 10 ? 3 : 4))} µm`;
};
function duration(seconds) {
  const s = Math.round(seconds);
  if (s < 60) return `${Math.max(1, s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}
function clock(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const rest = `${String(Math.floor((s % 3600) / 60)).padStart(s >= 3600 ? 2 : 1, "0")}:${String(s % 60).padStart(2, "0")}`;
  return s >= 3600 ? `${Math.floor(s / 3600)}:${rest}` : rest;
}
function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; count >= 999.5 && unit < units.length - 1; unit += 1) count /= 1000;
  return `${count >= 100 || unit === 0 ? Math.round(count) : Number(count.toPrecision(2))} ${units[unit]}`;
}
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
function moment(iso) {
  const then = new Date(iso);
  const year = then.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
  return then.toLocaleString([], { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", ...year });
}
const number = (text) => {
  const value = text.trim().replace(",", ".");
  return value === "" ? null : Number(value);
};

// --- messages ---------------------------------------------------------------------------------------------------------

/** A message with its title, and buttons for what can be done: [words, function]. Errors stay until they are closed. */
function toast(title, words = "", { bad = false, actions = [], key = title, stay = bad } = {}) {
  untoast(key);
  const close = () => box.remove();
  const box = h(
    "div", { class: `toast${bad ? " bad" : ""}`, role: bad ? "alert" : null, "data-key": key },
    h("b", {}, title),
    h("button", { class: "close", type: "button", "aria-label": `Close: ${title}`, click: close }, icon("end")),
    words ? h("p", {}, words) : null,
    actions.length ? h("div", { class: "do" }, ...actions.map(([label, act]) => h("button", { type: "button", click: () => { close(); act(); } }, label))) : null,
  );
  $("toasts").append(box);
  while ($("toasts").children.length > 4) $("toasts").firstChild.remove();
  if (!bad) say(`${title}. ${words}`);
  if (!stay) setTimeout(close, actions.length ? 15000 : 6000);
}
const untoast = (key) => [...$("toasts").children].filter((one) => one.dataset.key === key).forEach((one) => one.remove());

/** Say something to those who listen rather than look. */
const say = (words) => setText($("say"), words);

// --- the service ------------------------------------------------------------------------------------------------------

/** JSON that may be there or not, a published file's perhaps, that has been moved away: then null. */
const read = (url) => fetch(url, { signal: AbortSignal.timeout(20_000) }).then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);

class Problem extends Error {
  constructor(title, detail, status) {
    super(detail);
    this.title = title;
    this.status = status;
  }
}

/** `patience_s`: a network that has gone away says nothing for minutes; null where the answer comes when it is done. */
async function call(method, path, body, { headers = {}, patience_s = null } = {}) {
  const given = body === undefined ? {} : { "Content-Type": "application/json" };
  // A timer of our own, since nothing but the request would hold on to AbortSignal.timeout's, and Stop counts on it.
  const ending = new AbortController();
  const late = patience_s === null ? 0 : setTimeout(() => ending.abort(), 1000 * patience_s);
  let response;
  let said;
  try {
    response = await fetch(`/api${path}`, { method, signal: ending.signal, headers: { ...given, ...headers }, body: body === undefined ? undefined : JSON.stringify(body) });
    if (response.ok) return response.status === 204 ? null : await response.json();
    said = await response.json().catch(() => ({}));
  } catch {
    connection.lose();
    throw new Problem("No connection", "The service does not answer. What is going on at the rig goes on; this page tries again by itself.", 0);
  } finally {
    clearTimeout(late);
  }
  if (response.status === 401) showGate();
  throw new Problem(said.title ?? "That did not work", said.detail ?? `The service answered ${response.status}.`, response.status);
}
const get = (path, patience_s = 20) => call("GET", path, undefined, { patience_s });
const post = (path, body, given) => call("POST", path, body, given);

/** Do it, and tell what went wrong. */
async function attempt(work, { key } = {}) {
  try {
    return await work();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 401) return undefined;
    toast(problem.title, sentence(problem.message), { bad: true, actions: homing(problem.message), key: key ?? problem.title });
    return undefined;
  }
}

/** What helps a rail that does not know where it is. */
const homing = (message) => (/ home it (first )?with /.test(message) ? [["Home the rail", home]] : []);

/** A message as it reads on the page: what names keys of files names fields here. */
function sentence(detail) {
  const names = { from_mm: "Near", to_mm: "Far", step_mm: "Step", frames: "Frames", name: "Name", specimen_id: "Specimen ID", settle_s: "Settle" };
  const text = detail
    .replace(/^recipe:\d+: /gm, "")
    .replace(/^(from_mm|to_mm|step_mm|frames|name|specimen_id|settle_s): /gm, (_, key) => `${names[key]} `)
    .replace(/home it( first)? with `focusrail rail home`(, or set rail\.home: if_unknown)?/, "home it first")
    .replace(/run `focusrail rail home`/, "press Home")
    .replace(/ in \/.*; `focusrail shoots` lists them/, ": the gallery shows those that there are");
  return text.charAt(0).toUpperCase() + text.slice(1).replace(/[^.!?…]$/, "$&.");
}

// --- getting in -------------------------------------------------------------------------------------------------------

let gated = false;

function showGate() {
  if (gated) return;
  gated = true;
  for (const id of ["view-rig", "view-gallery", "view-shoot"]) $(id).hidden = true;
  $("view-gate").hidden = false;
  document.body.dataset.gated = "";
  setHealth("wait", "Token needed", "");
  $("gate-token").focus();
}

$("gate-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const error = $("gate-error");
  setText(error, "");
  // The whole address is fine, too: it is what people copy.
  const given = $("gate-token").value.trim();
  const token = /[?&]token=([^&\s]+)/.exec(given)?.[1] ?? encodeURIComponent(given);
  try {
    // With the right one the service sets its cookie and sends us on to `/`.
    const answer = await fetch(`/?token=${token}`, { cache: "no-store" });
    if (answer.redirected) location.reload();
    else setText(error, "That is not this rig’s token. Copy the whole address that focusrail token shows.");
  } catch {
    setText(error, "The service does not answer. Is it running?");
  }
});

// --- connection -------------------------------------------------------------------------------------------------------

const REST_MS = 10_000;

const connection = {
  source: null,
  asleep: false, // nobody has looked for a while
  resting: 0,
  lost: false,
  deaf: false,
  last: 0, // the newest event heard of

  open() {
    this.source?.close();
    const source = new EventSource(`/api/events?after=${this.last}`);
    this.source = source;
    source.addEventListener("open", () => { if (this.lost || this.deaf) this.recover(); });
    source.addEventListener("error", () => {
      if (source !== this.source || gated) return;
      // The browser tries again by itself after a network error, and gives up where it is refused: too many watch. Then
      // the status, which is asked for anyway, has to do.
      if (source.readyState === EventSource.CONNECTING) return this.lose();
      this.deaf = true;
      setTimeout(() => source === this.source && !this.asleep && this.open(), 5000);
    });
    for (const name of Object.keys(HEARD)) {
      source.addEventListener(name, (event) => {
        this.last = Number(event.lastEventId) || this.last;
        HEARD[name](JSON.parse(event.data));
      });
    }
  },

  lose() {
    if (this.lost || gated) return;
    this.lost = true;
    setHealth("lost", "Connection lost", "trying again; the rig goes on by itself");
    say("Connection lost. Trying again.");
    document.body.dataset.lost = "";
    render();
  },

  /** A browser has only so many connections to one machine, all its tabs together, and Stop needs one of them. */
  rest(hidden) {
    clearTimeout(this.resting);
    if (hidden) {
      this.resting = setTimeout(() => {
        this.source?.close();
        this.asleep = true;
      }, REST_MS);
    } else if (this.asleep) {
      this.asleep = false;
      this.recover().finally(() => this.open());
    }
  },

  async recover() {
    try {
      await loadAll();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      return;
    }
    this.deaf = false;
    if (await isOutdated()) return location.reload(); // the plan is kept
    if (!this.lost) return;
    this.lost = false;
    jogging.busy = false; // an answer that was under way does not come any more
    delete document.body.dataset.lost;
    for (const picture of $("stage").querySelectorAll("[data-url]")) picture.dataset.url = ""; // some may not have come
    toast("Connected again", "Everything has been read anew.", { key: "connection" });
    render();
    renewPlan(); // it could not be asked for while all seemed lost
  },
};

/** Whether the service has been upgraded under this page, which may stand open for months. */
async function isOutdated() {
  const { version } = (await read("/api/health")) ?? {};
  isOutdated.version ??= version;
  return Boolean(version) && version !== isOutdated.version;
}

const HEARD = {
  missed: () => attempt(loadAll),
  started: (event) => {
    untoast("ended");
    attempt(() => begin(event.shoot_id, event.frames));
  },
  frame_stored: ({ index }) => {
    mark(index, STORED);
    soon();
  },
  fused: ({ index }) => {
    mark(index, FUSED);
    shown.frame = index;
    renderStage();
    soon();
  },
  left_out: ({ index, message }) => {
    mark(index, OUT);
    shown.note = `Frame ${index} left out: ${message}`;
    say(shown.note);
    soon();
  },
  live: ({ frames }) => {
    shown.live = frames;
    renderStage();
  },
  paused: ({ paused }) => {
    say(paused ? "Paused" : "Going on");
    soon();
  },
  merging: () => {
    say("All frames are stored. The results are being written.");
    soon();
  },
  button_pressed: ({ did, refused }) => {
    if (refused) toast("The button at the rig", `Nothing was done: ${refused}.`, { key: "button" });
    else toast("The button at the rig", { capture: "A shoot is begun.", resume: "The shoot goes on.", abort: "It is ended; what is stored is safe.", halt: "The rail is stopped." }[did], { key: "button" });
  },
  inbound_failed: ({ folder, message }) => toast("A folder was not stacked", `${folder.split("/").at(-1)}: ${message}. It is tried again when something in it changes.`, { bad: true, key: `inbound ${folder}` }),
  measures: ({ lost }) => { if (lost) toast("The accelerator was lost", `${lost}. The processor goes on in its place.`, { bad: true }); },
  published: (event) => {
    const warnings = event.finished?.warnings?.length ?? 0;
    toast("Published", `${plural(event.finished?.frames_used ?? 0, "frame")} in one picture${warnings ? `, with ${plural(warnings, "warning")}` : ""}.`, {
      actions: [["Look at it", () => { location.hash = `#/shoots/${event.shoot_id}/${event.version}`; }]], key: "ended",
    });
    shown.note = "";
    soon();
  },
  ended: ({ shoot_id, error, message }) => {
    const words = sentence(message.split(/: `focusrail/)[0]);
    toast(error === "ShootAborted" ? "Aborted" : "The shoot has ended early", words, {
      bad: error !== "ShootAborted", key: "ended", stay: true,
      actions: /safe|waits/.test(message) ? [["Go on with it", () => goOn(shoot_id)], ["Stack what there is", () => stack(shoot_id)]] : homing(message),
    });
    soon();
  },
};

// --- what we know -----------------------------------------------------------------------------------------------------

let status = null; // as GET /api/status tells it

// Letting originals go makes way for whatever a person wants: nobody has to wait for it.
const looked = async () => {
  const told = await get("/status", 5);
  return told.doing === "tidying" ? { ...told, doing: "" } : told;
};
let rail = null; // what of the rail does not change: its ends and its smallest step
let latest = null; // the newest shoot that was published
let latestTold = "";
let unfinished = null; // the newest shoot, where it ended before it was published
const shown = { shoot: null, watched: null, live: 0, frame: null, note: "", mode: "stack", pausing: false, quarter: 0 };
const going = () => status?.progress ?? null;
const busy = () => Boolean(status?.doing) && !["moving", "homing"].includes(status.doing);
const present = () => Boolean(status?.rig) && !connection.lost;

let timer = 0;
let asking = false;

/** Ask for the status soon; often while something moves, seldom while nothing does, never while nobody looks. */
function soon(after_ms = 60) {
  clearTimeout(timer);
  timer = setTimeout(ask, after_ms);
}
async function ask() {
  if (asking || gated) return;
  asking = true;
  try {
    await readStatus();
    if (connection.lost && connection.source) {
      // Sooner than the browser tries: it is asked more often. And it may not have noticed: the network is another now.
      await connection.recover();
      if (!connection.lost) connection.open();
    }
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
  } finally {
    asking = false;
    if (!document.hidden) soon(connection.lost ? 1500 : status?.moving || status?.doing ? 350 : 1500);
  }
}
document.addEventListener("visibilitychange", () => {
  renderLive();
  connection.rest(document.hidden);
  if (!document.hidden) soon();
});

async function readStatus() {
  const went = going();
  status = await looked();
  if (!status.rig) rail = null;
  else if (!rail) {
    // The rig has come, or come back: what can be planned is known only now.
    rail = await get("/rail");
    if (!plan.touched) await loadLatest();
    renewPlan();
  }
  const progress = going();
  if (progress && progress.shoot_id !== shown.shoot) await begin(progress.shoot_id, progress.frames);
  if (went && !progress) await ended(went.shoot_id);
  render();
}

/** What was going on is over: see what has become of it. */
async function ended(shoot_id) {
  await loadLatest();
  if (view.name === "gallery") await loadGallery();
  if (view.name === "shoot" && view.id === shoot_id) await loadShoot(shoot_id);
  renewPlan(); // how long a shoot takes is known better now
}

/** Everything anew: at the beginning, after a lost connection, and when events were missed. */
async function loadAll() {
  shown.shoot = null;
  status = await looked();
  connection.last = status.last_event;
  rail = status.rig ? await get("/rail") : null;
  const progress = going();
  if (progress) await begin(progress.shoot_id, progress.frames);
  await Promise.all([loadLatest(), loadRecipes()]);
  if (view.name === "gallery") await loadGallery();
  if (view.name === "shoot") await loadShoot(view.id);
  render();
  renewPlan();
}

async function loadLatest() {
  const shoots = await get("/shoots?limit=12");
  const told = shoots.map(({ shoot_id, versions }) => `${shoot_id} ${versions.length}`).join();
  if (told !== latestTold) unanswered = null; // something has come of it
  latestTold = told;
  latest = shoots.find(resultOf) ?? null;
  const newest = shoots[0];
  unfinished = newest?.unfinished && newest.picture && !newest.going_on ? newest : null;
  if (!plan.touched) plan.begin(shoots.find((shoot) => shoot.recipe)?.recipe ?? null);
  renderStage();
}

/** The frames of a shoot that are stored, in the order of the stack. */
const framesOf = async (shoot_id) => (await get(`/shoots/${shoot_id}/frames`)).sort((one, other) => one.place - other.place);

/** A shoot or stack is going on: what has become of its frames so far? */
async function begin(shoot_id, frames) {
  if (shown.shoot === shoot_id && marks.length === frames && going()) return;
  placeOf = new Map();
  unanswered = null;
  const mode = shown.watched === shoot_id ? shown.mode : "stack"; // read anew, what is looked at stays
  Object.assign(shown, { shoot: shoot_id, watched: shoot_id, live: 0, frame: null, note: "", mode, pausing: false });
  setMarks(frames);
  renderStage();
  soon();
  let told;
  let stored;
  try {
    [told, stored] = await Promise.all([get(`/shoots/${shoot_id}`), framesOf(shoot_id)]);
  } catch (problem) {
    if (shown.shoot === shoot_id) shown.shoot = null; // it is asked for again with the next status
    throw problem;
  }
  if (shown.shoot !== shoot_id) return;
  placeOf = placesOf(stored, frames);
  // Frames are fused in the order of their places.
  const progress = going()?.shoot_id === shoot_id ? going() : null;
  const done = progress ? progress.fused + progress.left_out : 0;
  stored.forEach((frame, k) => mark(frame.index, k < done ? FUSED : STORED));
  if (done) shown.frame ??= stored.slice(0, done).filter((frame) => frame.thumbnail).at(-1)?.index ?? null;
  if (!shown.live && done && told.picture?.endsWith("/live")) shown.live = SOME;
  renderStage();
}

// --- the strip: a mark for each frame ---------------------------------------------------------------------------------

const PLANNED = 0;
const STORED = 1;
const FUSED = 2;
const OUT = 3;
let marks = new Uint8Array(0); // by place
let placeOf = new Map(); // by frame number
let stripDue = false;

/** Where in the stack each frame lies, by its number; those to come, in the order of their numbers, where there is room. */
function placesOf(frames, count) {
  const known = new Map(frames.map((frame) => [frame.index, frame.place]));
  const taken = new Set(known.values());
  const free = [...Array(count).keys()].filter((place) => !taken.has(place));
  for (let index = 0; index < count; index += 1) if (!known.has(index)) known.set(index, free.shift());
  return known;
}

function setMarks(count) {
  marks = new Uint8Array(Math.max(0, Math.min(count, 65535)));
  drawStripSoon();
}
function mark(index, as) {
  const place = placeOf.get(index) ?? index;
  if (place < marks.length && (as === OUT || as > marks[place])) marks[place] = as;
  drawStripSoon();
}
function drawStripSoon() {
  if (stripDue) return;
  stripDue = true;
  requestAnimationFrame(() => {
    stripDue = false;
    drawStrip();
  });
}

function drawStrip() {
  const canvas = $("strip");
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (!width) return;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const c = canvas.getContext("2d");
  c.scale(ratio, ratio);
  const count = marks.length || plan.told?.frames || 0;
  const base = height - 8;
  c.fillStyle = "#2a303a";
  c.fillRect(0, base + 2, width, 1);
  if (!count) return;
  const colours = ["#59626f", "#7cc4f5", "#ffb547", "#f08a5d"];
  const heights = [0.4, 0.66, 1, 1];
  const pitch = width / count;
  const bar = Math.max(1, Math.min(4, pitch * 0.55));
  // Where there are more frames than there is room for, what is told is the least that has become of some neighbours.
  const each = Math.max(1, Math.ceil(2 / pitch));
  for (let first = 0; first < count; first += each) {
    let state = marks.length ? OUT : PLANNED;
    let out = false;
    for (let k = first; k < Math.min(count, first + each); k += 1) {
      const one = marks[k] ?? PLANNED;
      out ||= one === OUT;
      if (one !== OUT) state = Math.min(state, one);
    }
    const x = Math.min(width - bar, (first + each / 2) * pitch - bar / 2);
    const tall = (base - 10) * heights[state];
    c.fillStyle = colours[state];
    if (state !== OUT) c.fillRect(x, base - tall, bar, tall);
    if (out) {
      c.strokeStyle = colours[OUT];
      c.lineWidth = 1.6;
      const [m, y, r] = [x + bar / 2, 6, 3.2];
      c.beginPath();
      c.moveTo(m - r, y - r); c.lineTo(m + r, y + r); c.moveTo(m + r, y - r); c.lineTo(m - r, y + r);
      c.stroke();
    }
  }
}
new ResizeObserver(drawStripSoon).observe($("strip"));

// --- the stage: the picture that grows --------------------------------------------------------------------------------

const SOME = -1; // frames: the composite was there before we were
const WORDS = { stack: "Composite", depth: "Depth map", frame: "Last frame" };

const thumbnail = (shoot_id, index) => `/api/shoots/${shoot_id}/frames/${index}/thumbnail`;
const resultOf = (shoot) => {
  const version = [...shoot.versions].reverse().find((one) => one.files.includes("result.jpg"));
  return version && { ...version, url: `/api/shoots/${shoot.shoot_id}/versions/${version.version}/` };
};

/** Put a picture in once it has come, so that nothing flickers; where there is none, or it does not come, nothing. */
function lay(picture, url, alt = "") {
  if (picture.dataset.url === url) return;
  picture.dataset.url = url;
  if (!url) {
    picture.hidden = true;
    return;
  }
  const next = new Image();
  next.src = url;
  next.decode().then(() => {
    if (picture.dataset.url === url) Object.assign(picture, { src: url, alt, hidden: false });
  }, () => {
    if (picture.dataset.url === url) picture.hidden = true; // another's, under these words, would be a lie
  });
}

/** What there is to see, by mode: of what is going on, else of the newest shoot, be it finished or not. */
function sights() {
  const progress = going();
  if (progress) return growing(progress.shoot_id, shown.live, shown.frame);
  if (unfinished) {
    const { shoot_id, stored, planned, state } = unfinished;
    const words = `${titleOf(unfinished)}, ${STATES[state] ?? state} at ${stored} of ${planned}`;
    const all = growing(shoot_id, unfinished.picture.endsWith("/live") ? stored : 0, stored - 1);
    for (const sight of Object.values(all)) if (sight) sight.caption = words;
    return { ...all, open: `#/shoots/${shoot_id}` };
  }
  if (!latest) return {};
  const { version, files, url } = resultOf(latest);
  const last = shown.shoot === latest.shoot_id && shown.frame !== null ? shown.frame : latest.stored - 1;
  return {
    stack: { url: `${url}result.jpg`, caption: `${titleOf(latest)}, ${moment(latest.created_at)}` },
    depth: files.includes("depth.png") ? { url: `${url}depth.png`, caption: `${titleOf(latest)}, depth map` } : null,
    frame: { url: thumbnail(latest.shoot_id, last), caption: `${titleOf(latest)}, frame ${last}` },
    open: `#/shoots/${latest.shoot_id}/${version}`,
  };
}
function growing(id, frames, newest) {
  const made = frames === SOME ? "So far" : plural(frames, "frame");
  const live = `/api/shoots/${id}/live`;
  return {
    stack: frames ? { url: `${live}?frames=${frames}`, caption: made, name: "Composite" } : null,
    depth: frames ? { url: `${live}/depth?frames=${frames}`, caption: made, name: "Depth" } : null,
    frame: newest === null ? null : { url: thumbnail(id, newest), caption: `Frame ${newest}`, name: `Frame ${newest}` },
  };
}

function renderStage() {
  const mode = shown.mode;
  const progress = going();
  const trouble = Boolean(status && !status.rig && !progress);
  const all = trouble ? {} : sights();
  const sight = mode === "camera" ? null : all[mode] ?? all.frame ?? null;
  $("stage").dataset.mode = mode;
  $("view-rig").classList.toggle("looking", mode === "camera" && !progress);
  lay($("stage-picture"), sight?.url ?? "", sight && [WORDS[mode], sight.caption].join(": "));
  setText($("stage-caption"), sight?.caption ?? "");
  $("stage-empty").hidden = mode === "camera" || Boolean(sight);
  setText($("stage-words"), nothingYet(progress, trouble));
  $("stage-open").hidden = !all.open || mode === "camera";
  if (all.open) $("stage-open").href = all.open;
  for (const button of document.querySelectorAll("[data-stage]")) button.setAttribute("aria-pressed", String(button.dataset.stage === mode));
  for (const inset of document.querySelectorAll("[data-inset]")) renderInset(inset, progress && mode !== "camera" ? all : {}, sight);
  renderLive();
}
function nothingYet(progress, trouble) {
  if (trouble) return status.trouble ? `The rig does not answer: ${status.trouble}. It is tried again by itself.` : "The rig is being opened.";
  if (progress) return progress.state === "merging" ? "Reading the frames." : "Here the picture grows, frame by frame.";
  const first = status && status.position_mm === null ? "Home the rail, set near and far by looking at the live view" : "Set near and far by looking at the live view";
  return `${first}, and press Capture. Here the picture will grow, frame by frame.`;
}
/** What is not shown large is shown small, in the corner. */
function renderInset(inset, all, large) {
  const sight = all[inset.dataset.inset];
  inset.hidden = !sight || sight.url === large?.url;
  if (inset.hidden) return;
  lay(inset.firstChild, sight.url);
  inset.setAttribute("aria-label", `${WORDS[inset.dataset.inset]}: show it large`);
  setText(inset.lastChild, sight.name);
}
for (const button of document.querySelectorAll("[data-stage], [data-inset]")) {
  button.addEventListener("click", () => {
    shown.mode = button.dataset.stage ?? button.dataset.inset;
    renderStage();
  });
}

// --- live view --------------------------------------------------------------------------------------------------------

const PEAKS_VERTEX = `#version 300 es
in vec2 a_at; out vec2 v_at; void main() { v_at = a_at * 0.5 + 0.5; v_at.y = 1.0 - v_at.y; gl_Position = vec4(a_at, 0.0, 1.0); }`;
// What is sharp is where the Laplacian of the blurred picture is large: the measure that stacking goes by, too.
const PEAKS_FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D u_picture; uniform vec2 u_px; uniform float u_least; uniform bool u_peaks; in vec2 v_at; out vec4 colour;
float luma(vec2 at) { return dot(texture(u_picture, at).rgb, vec3(0.299, 0.587, 0.114)); }
float blurred(vec2 at) {
  float sum = 0.0;
  for (int y = -1; y <= 1; y++) for (int x = -1; x <= 1; x++) sum += luma(at + vec2(x, y) * u_px) * float((2 - abs(x)) * (2 - abs(y)));
  return sum / 16.0;
}
void main() {
  vec3 photo = texture(u_picture, v_at).rgb;
  if (!u_peaks) { colour = vec4(photo, 1.0); return; }
  float edge = abs(blurred(v_at - vec2(u_px.x, 0)) + blurred(v_at + vec2(u_px.x, 0)) + blurred(v_at - vec2(0, u_px.y)) + blurred(v_at + vec2(0, u_px.y)) - 4.0 * blurred(v_at));
  // The picture steps back into grey, so that what is marked is told by brightness, not only by its colour.
  colour = vec4(mix(mix(vec3(dot(photo, vec3(0.299, 0.587, 0.114))), photo, 0.25) * 0.62, vec3(1.0, 0.78, 0.2), smoothstep(u_least, u_least * 1.6, edge)), 1.0);
}`;

const live = { stop: null, peaks: true, least: 0.03 };

/** Look through the camera while that is what the stage shows, somebody looks, and no shoot needs the camera. */
function renderLive() {
  const wanted = shown.mode === "camera" && view.name === "rig" && !document.hidden && present() && !going() && status.doing !== "shooting";
  $("live-view").hidden = shown.mode !== "camera";
  if (shown.mode === "camera" && !wanted && !live.stop && !$("live-view").firstChild) waiting($("live-view"), "");
  const words = $("live-view").querySelector(".wait p");
  if (words && shown.mode === "camera" && !wanted) setText(words, going() ? "The camera makes frames now. Look at the composite, or at the last frame." : connection.lost ? "No connection." : "The rig is not ready.");
  if (wanted && !live.stop) watchLive();
  else if (!wanted && live.stop) {
    live.stop();
    $("live-view").replaceChildren();
    if (shown.mode === "camera") renderLive();
  }
}

async function watchLive() {
  const ending = new AbortController();
  const box = $("live-view");
  let screen = null;
  live.stop = () => {
    ending.abort();
    screen?.end();
    live.stop = null;
  };
  box.replaceChildren();
  const wait = waiting(box, "Opening the camera’s eye…");
  try {
    const answer = await fetch("/api/camera/live", { signal: ending.signal });
    if (!answer.ok) throw new Problem("", (await answer.json().catch(() => ({}))).detail ?? "The camera shows nothing.", answer.status);
    let newest = null;
    let drawing = false;
    for await (const data of pictures(answer.body.getReader())) {
      newest = data;
      if (drawing) continue; // what comes while one is being drawn is shown next, or never
      drawing = true;
      (async () => {
        while (newest) {
          const picture = await createImageBitmap(new Blob([newest], { type: "image/jpeg" }), ((newest = null), {}));
          if (ending.signal.aborted) return;
          if (!screen) {
            wait.remove();
            screen = liveScreen(box, picture.width, picture.height);
          }
          screen.draw(picture);
          picture.close();
        }
      })().catch(() => {}).finally(() => { drawing = false; });
    }
  } catch (problem) {
    if (ending.signal.aborted) return;
    if (wait.isConnected) setText(wait.firstChild, problem instanceof Problem ? sentence(problem.message) : "The camera’s picture does not come. It is tried again.");
  }
  if (ending.signal.aborted) return;
  setTimeout(() => { if (!ending.signal.aborted) { live.stop?.(); renderLive(); } }, 2500);
}

/** The pictures of an MJPEG stream: every part says how long it is. */
async function* pictures(reader) {
  let held = new Uint8Array(0);
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const all = new Uint8Array(held.length + value.length);
    all.set(held);
    all.set(value, held.length);
    held = all;
    for (;;) {
      const head = new TextDecoder("latin1").decode(held.subarray(0, 1000));
      const end = head.indexOf("\r\n\r\n");
      const length = Number(/content-length: *(\d+)/i.exec(head.slice(0, Math.max(0, end)))?.[1]);
      if (end < 0 || !length || held.length < end + 4 + length) break;
      yield held.slice(end + 4, end + 4 + length);
      held = held.slice(end + 4 + length);
    }
  }
}

function liveScreen(box, width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const gl = canvas.getContext("webgl2", { alpha: false });
  const tools = [];
  let draw;
  if (gl) {
    const program = compiled(gl, PEAKS_VERTEX, PEAKS_FRAGMENT);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 3, -1, -1, 3]), gl.STATIC_DRAW);
    const at = gl.getAttribLocation(program, "a_at");
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, 2, gl.FLOAT, false, 0, 0);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const [name, value] of [[gl.TEXTURE_MIN_FILTER, gl.LINEAR], [gl.TEXTURE_MAG_FILTER, gl.LINEAR], [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE], [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE]]) gl.texParameteri(gl.TEXTURE_2D, name, value);
    gl.uniform2f(gl.getUniformLocation(program, "u_px"), 1 / width, 1 / height);
    const [uPeaks, uLeast] = ["u_peaks", "u_least"].map((name) => gl.getUniformLocation(program, name));
    const show = () => {
      gl.uniform1i(uPeaks, live.peaks ? 1 : 0);
      gl.uniform1f(uLeast, live.least);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
    };
    draw = (picture) => {
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, gl.RGB, gl.UNSIGNED_BYTE, picture);
      show();
    };
    const toggle = h("button", { type: "button", "aria-pressed": String(live.peaks), class: "toggle", click: () => {
      live.peaks = !live.peaks;
      toggle.setAttribute("aria-pressed", String(live.peaks));
      show();
    } }, "Peaking");
    const least = h("input", { type: "range", min: "-2.2", max: "-0.7", step: "0.05", value: String(Math.log10(live.least)), "aria-label": "How sharp it must be to be marked", input: () => {
      live.least = 10 ** Number(least.value);
      show();
    } });
    tools.push(toggle, h("label", { class: "least" }, h("span", { class: "finer" }, "How sharp"), least));
  } else {
    const context = canvas.getContext("2d");
    draw = (picture) => context.drawImage(picture, 0, 0);
  }
  const end = deepZoom(box, [[canvas]], "What the camera sees", { tools, size: [width, height] });
  let over = false;
  canvas.addEventListener("webglcontextlost", () => { // the graphics card was needed elsewhere
    if (over) return;
    live.stop?.();
    renderLive();
  });
  return {
    draw,
    end() {
      over = true;
      end();
      gl?.getExtension("WEBGL_lose_context")?.loseContext();
    },
  };
}

function compiled(gl, ...sources) {
  const program = gl.createProgram();
  sources.forEach((source, k) => {
    const shader = gl.createShader(k ? gl.FRAGMENT_SHADER : gl.VERTEX_SHADER);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  });
  gl.linkProgram(program);
  gl.useProgram(program);
  return program;
}

// --- all that shows the status ----------------------------------------------------------------------------------------

function setHealth(state, word, more) {
  $("health").dataset.state = state;
  setText($("health-word"), word);
  setText($("health-more"), more);
}

const DOING = { shooting: "Shooting", stacking: "Stacking", homing: "Homing", moving: "Moving", photographing: "Photographing" };
let before = "";

function render() {
  if (gated) return;
  const progress = going();
  if (status && !connection.lost) {
    if (status.store_trouble) setHealth("trouble", "Journal damaged", status.store_trouble);
    else if (!status.rig) setHealth("trouble", "Rig not ready", status.trouble);
    else if (status.doing) setHealth("busy", { paused: "Paused", ending: "Ending" }[progress?.state] ?? DOING[status.doing] ?? status.doing, progress?.name ?? status.rig);
    else setHealth("ready", "Ready", status.rig);
  }
  renderRail();
  renderProgress(progress);
  renderDeck(progress);
  const state = `${progress?.state ?? ""}`;
  if (state !== before) {
    before = state;
    renderStage();
  } else if (!progress) renderStage();
}

function renderProgress(progress) {
  if (!progress && marks.length && !shown.shoot) setMarks(0);
  const total = progress?.frames ?? (marks.length || plan.told?.frames || 0);
  const done = progress ? doneOf(progress) : marks.filter((one) => one !== PLANNED).length;
  setText($("count-stored"), String(done));
  setText($("count-total"), String(total));
  document.querySelector(".strip-count").style.visibility = total ? "" : "hidden"; // of what, nobody knows yet
  setText($("strip-note"), noteOf(progress));
  setText($("time-left"), progress ? timeOf(progress) : "");
  $("progress").setAttribute("aria-valuenow", String(progress && total ? Math.round((100 * done) / total) : 0));
  $("progress").setAttribute("aria-valuetext", progress ? `${done} of ${plural(total, "frame")}` : "");
  if (progress) sayQuarter(total ? Math.floor((4 * done) / total) : 0);
}
const doneOf = (progress) => (status.doing === "stacking" ? progress.fused + progress.left_out : progress.stored);
function noteOf(progress) {
  if (connection.lost) return "No connection: the rig goes on by itself";
  if (!progress && marks.length) return shown.note;
  if (!progress) return unfinished && present() ? "An unfinished shoot waits: press Open to finish it" : "";
  const { state, fused } = progress;
  if (state !== "shooting") shown.pausing = false;
  const words = { preflight: "Getting ready", shooting: shown.pausing ? "Pausing after this frame" : "", paused: "Paused", merging: "Writing the results" };
  return shown.note || words[state] || (fused ? `${fused} in the picture` : "");
}
function timeOf({ state, remaining_s, elapsed_s }) {
  if (state === "merging") return "";
  return remaining_s === null ? `${clock(elapsed_s)} so far` : `${clock(remaining_s)} left`;
}
function sayQuarter(quarter) {
  if (quarter > 0 && quarter < 4 && shown.quarter !== quarter) say(`${25 * quarter} percent`);
  shown.quarter = quarter;
}

function renderDeck(progress) {
  const capture = $("capture");
  const shooting = status?.doing === "shooting";
  const done = progress && progress.frames ? (shooting ? progress.stored : progress.fused) / progress.frames : 0;
  capture.style.setProperty("--done", String(done));
  capture.classList.toggle("going", Boolean(progress));
  setText($("capture-word"), progress ? doingNow(progress, shooting) : "Capture");
  setText($("capture-more"), progress ? howFar(progress, shooting) : whatComes());
  const ready = present() && !status.doing && plan.told && !plan.error;
  // Not `disabled`: a button that is switched off while it has the focus would lose it.
  capture.setAttribute("aria-disabled", String(!ready));
  const pausable = shooting && ["shooting", "paused"].includes(progress?.state) && !connection.lost;
  const paused = progress?.state === "paused";
  $("pause").setAttribute("aria-disabled", String(!pausable));
  $("pause").classList.toggle("waiting", Boolean(paused));
  setText($("pause-word"), paused ? "Resume" : "Pause");
  $("pause").querySelector("use").setAttribute("href", paused ? "#i-play" : "#i-pause");
  $("abort").setAttribute("aria-disabled", String(!progress || connection.lost));
}

function doingNow(progress, shooting) {
  if (!shooting) return "Stacking";
  return { preflight: "Getting ready", shooting: "Shooting", paused: "Paused", merging: "Finishing", ending: "Ending" }[progress.state] ?? "Working";
}
function howFar(progress, shooting) {
  if (["preflight", "ending"].includes(progress.state)) return "";
  if (progress.state === "merging" && shooting) return "writing the results";
  const left = progress.state !== "paused" && progress.remaining_s !== null ? `, ${clock(progress.remaining_s)} left` : "";
  return `${shooting ? progress.stored : progress.fused} of ${progress.frames}${left}`;
}
function whatComes() {
  if (connection.lost) return "no connection";
  if (!present()) return "the rig is not ready";
  if (plan.error) return "the plan needs a look";
  if (!plan.told) return plan.complete() ? "" : "set near and far first";
  return `${plural(plan.told.frames, "frame")}${plan.told.estimated_s ? `, about ${duration(plan.told.estimated_s)}` : ""}`;
}

// --- rail -------------------------------------------------------------------------------------------------------------

const jogging = { step_mm: 0.1, busy: false };

function renderRail() {
  const position = status?.position_mm ?? null;
  const ends = [plan.from(), plan.to()].map((end) => (end === null || !Number.isFinite(end) ? null : end));
  setText($("position"), position === null ? "–" : mm(position));
  setText($("moving"), whereabouts(position));
  renderRuler(position, ends);
  if (rail && renderRail.steps !== rail.resolution_mm) renderSteps();
  const free = present() && !busy();
  const homed = position !== null;
  for (const id of ["jog-back", "jog-on"]) $(id).disabled = !free || !homed;
  for (const id of ["set-near", "set-far"]) $(id).disabled = !homed || connection.lost;
  $("home").disabled = !free;
  ["go-near", "go-far"].forEach((id, k) => { $(id).disabled = !free || !homed || ends[k] === null; });
}

function whereabouts(position) {
  if (!status?.rig) return "";
  if (connection.lost) return "when last heard";
  if (status.moving) return "moving";
  return position === null ? "not homed yet" : "";
}

function renderRuler(position, ends) {
  const travel = status?.travel_mm;
  const [low, high] = travel ?? [0, 1];
  const ruler = $("ruler");
  const put = (name, value) => ruler.style.setProperty(name, String(Math.min(1, Math.max(0, (value - low) / (high - low)))));
  setText($("ruler-min"), travel ? `${Number(low.toFixed(2))}` : "");
  setText($("ruler-max"), travel ? `${Number(high.toFixed(2))} mm` : "");
  ruler.querySelector(".needle").hidden = position === null;
  ruler.querySelector(".bracket").hidden = !travel || ends.includes(null);
  if (position !== null) put("--x", position);
  if (ends.includes(null)) return;
  put("--a", Math.min(...ends));
  put("--b", Math.max(...ends));
}

/** One step of the rail, and round lengths that are whole steps of it. */
function renderSteps() {
  renderRail.steps = rail.resolution_mm;
  const fine = rail.resolution_mm;
  const whole = (length) => Math.max(1, Math.round(length / fine)) * fine;
  const lengths = [fine, ...[0.01, 0.1, 1, 5].map(whole).filter((length) => length > 2 * fine && length < (rail.max_mm - rail.min_mm) / 2)];
  jogging.step_mm = lengths.reduce((best, one) => (Math.abs(one - 0.1) < Math.abs(best - 0.1) ? one : best));
  const buttons = lengths.map((length) => h("button", { type: "button", role: "radio", "data-mm": String(length) }, microns(length)));
  $("steps").replaceChildren(...buttons);
  radio($("steps"), (button) => { jogging.step_mm = Number(button.dataset.mm); }, buttons[lengths.indexOf(jogging.step_mm)]);
}

/** Buttons of which one is chosen, by arrow keys, too. */
function radio(group, choose, chosen, role = "aria-checked") {
  const buttons = [...group.querySelectorAll("button")];
  const pick = (button, told = true) => {
    for (const one of buttons) {
      one.setAttribute(role, String(one === button));
      one.tabIndex = one === button ? 0 : -1;
    }
    if (told) choose(button);
  };
  buttons.forEach((button) => button.addEventListener("click", () => pick(button)));
  group.onkeydown = (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const live = buttons.filter((one) => !one.disabled && !one.hidden);
    const at = live.indexOf(document.activeElement);
    if (!by || at < 0) return;
    event.preventDefault();
    const next = live[(at + by + live.length) % live.length];
    next.focus();
    pick(next);
  };
  pick(chosen, false);
  return pick;
}

async function jog(direction, times = 1) {
  if (jogging.busy || !present() || busy() || status.position_mm === null) return;
  jogging.busy = true;
  soon();
  const at = await attempt(() => post("/rail/jog", { distance_mm: direction * times * jogging.step_mm }), { key: "rail" });
  jogging.busy = false;
  if (at) arrived(at);
}
async function goTo(position_mm) {
  if (position_mm === null || !Number.isFinite(position_mm)) return;
  soon();
  const at = await attempt(() => post("/rail/goto", { position_mm }), { key: "rail" });
  if (at) arrived(at);
}
async function home() {
  soon();
  const at = await attempt(() => post("/rail/home"), { key: "rail" });
  if (!at) return;
  arrived(at);
  say("The rail is home.");
}
function arrived(at) {
  status = { ...status, position_mm: at.position_mm, moving: at.moving };
  renderRail();
  soon(300);
}

$("jog-back").addEventListener("click", (event) => jog(-1, event.shiftKey ? 10 : 1));
$("jog-on").addEventListener("click", (event) => jog(1, event.shiftKey ? 10 : 1));
$("home").addEventListener("click", home);
$("go-near").addEventListener("click", () => goTo(plan.from()));
$("go-far").addEventListener("click", () => goTo(plan.to()));
for (const [id, field] of [["set-near", "f-from"], ["set-far", "f-to"]]) {
  $(id).addEventListener("click", () => {
    if (status?.position_mm === null || status?.position_mm === undefined) return;
    $(field).value = mm(status.position_mm);
    say(`${field === "f-from" ? "Near" : "Far"} is ${$(field).value} millimetres`);
    plan.changed();
  });
}

// Escape halts, wherever one is. Arrow keys jog where they mean nothing else.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !gated && !event.isComposing) {
    if ($("save-dialog").open) $("save-dialog").close();
    else if (!event.repeat) halt();
    return;
  }
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by || view.name !== "rig" || event.altKey || event.ctrlKey || event.metaKey || $("save-dialog").open) return;
  if (event.target.closest("input, select, textarea, [role=radiogroup], [role=slider], [role=tablist], summary")) return;
  if (event.target.closest(".zoom") && event.defaultPrevented) return;
  event.preventDefault();
  jog(by, event.shiftKey ? 10 : 1);
});

async function halt() {
  $("halt").setAttribute("aria-busy", "true");
  try {
    await post("/halt", undefined, { patience_s: 3 });
    toast("Stopped", "The rail stands still. What is stored is safe.", { key: "halt" });
  } catch (problem) {
    toast("The stop may not have reached the rig", "Use the switch at the rig itself. " + (problem.message ?? ""), { bad: true, key: "halt" });
  } finally {
    $("halt").removeAttribute("aria-busy");
  }
  soon();
}
$("halt").addEventListener("click", halt);

// --- plan -------------------------------------------------------------------------------------------------------------

const KEPT = "focusrail.plan";

const plan = {
  told: null, // what the service made of it
  error: "",
  by: "step",
  rest: {}, // what a recipe says besides, which has no field here
  mesh: null, // whether a 3D surface is wanted; null: as the rig does it
  touched: false,
  saved: "", // the recipe that it was, loaded or saved
  edited: false, // since its figures were last said
  asked: 0,
  timer: 0,

  from: () => number($("f-from").value),
  to: () => number($("f-to").value),
  complete() {
    return [this.from(), this.to(), number($("f-amount").value)].every((value) => value !== null && Number.isFinite(value));
  },

  /** The recipe that the fields say, in the words of a recipe's file. */
  recipe() {
    const amount = number($("f-amount").value);
    const recipe = { ...this.rest, name: $("f-name").value.trim() || "stack", from_mm: this.from(), to_mm: this.to() };
    if (this.by === "step") recipe.step_mm = Number((amount / 1000).toPrecision(9));
    else recipe.frames = amount;
    const specimen = $("f-specimen").value.trim();
    const settle = number($("f-settle").value);
    if (specimen) recipe.specimen_id = specimen;
    if (settle !== null) recipe.settle_s = settle;
    // Not said: what is published is what the rig's configuration says.
    if (this.mesh !== null) recipe.outputs = { ...this.rest.outputs, mesh: this.mesh };
    return recipe;
  },

  /** Fill the fields from a recipe as the service tells it, all defaults named. */
  fill(told) {
    const { name, from_mm, to_mm, depth_mm, frames, step_mm, specimen_id, settle_s, outputs, ...rest } = withoutNull(told);
    this.rest = { ...rest, ...(outputs ? { outputs } : {}) };
    $("f-name").value = name ?? "";
    $("f-from").value = from_mm === undefined ? "" : mm(Number(from_mm));
    const end = to_mm ?? (depth_mm === undefined ? undefined : Number(from_mm) + Number(depth_mm));
    $("f-to").value = end === undefined ? "" : mm(Number(end));
    this.count(frames === undefined ? "step" : "frames");
    $("f-amount").value = String(frames ?? (step_mm === undefined ? "" : Number((step_mm * 1000).toPrecision(6))));
    $("f-specimen").value = specimen_id ?? "";
    $("f-settle").value = settle_s ?? "";
    this.mesh = outputs?.mesh ?? null;
  },

  count(by) {
    this.by = by;
    const buttons = [...document.querySelectorAll("[data-by]")];
    buttons.forEach((button) => {
      button.setAttribute("aria-checked", String(button.dataset.by === by));
      button.tabIndex = button.dataset.by === by ? 0 : -1;
    });
    $("amount-label").replaceChildren(...(by === "step" ? ["Step ", h("span", {}, "µm")] : ["Number of frames"]));
    $("f-amount").inputMode = by === "step" ? "decimal" : "numeric";
  },

  /** What stands there at first: what this browser had, else the newest shoot's, else what suits the simulated rig. */
  begin(newest) {
    const mine = kept(KEPT);
    if (!mine && !newest && !status?.rig) return; // later: which rig it is tells what suits it
    this.touched = true;
    if (mine) this.fill(mine);
    else if (newest) {
      // Its places, not how it was fused: that may have been set otherwise since.
      const { name, from_mm, to_mm, depth_mm, frames, step_mm, keep_step } = newest;
      this.fill({ name, from_mm, to_mm, depth_mm, frames, step_mm, keep_step });
    }
    else if (/simulated/.test(status?.rig ?? "")) this.fill({ name: "demo", from_mm: 10, to_mm: 14.7, frames: 30, outputs: { mesh: true } });
    else this.fill({ name: "stack", frames: 40 });
  },

  changed() {
    this.edited = true;
    $("recipe-list").value = ""; // no longer what it says, and can be chosen again
    document.querySelector(".sums").classList.add("stale");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      store(KEPT, this.complete() ? this.recipe() : null);
      renewPlan();
    }, 220);
    renderRail();
  },
};

async function renewPlan() {
  const mine = (plan.asked += 1);
  const [answer, error] = await askPlan();
  if (mine !== plan.asked) return; // a newer question is under way
  plan.told = answer;
  plan.error = error;
  if (!going() && !status?.doing && answer && marks.length && marks.length !== answer.frames) {
    shown.shoot = null;
    setMarks(0);
  }
  renderPlan(answer, error);
  render();
  drawStripSoon();
}

/** What the service makes of the plan, and what is wrong with it. */
async function askPlan() {
  if (!present()) return [null, ""];
  const error = plan.complete() ? impossible() : incomplete();
  if (error) return [null, error];
  try {
    return [await post("/plan", { recipe: plan.recipe() }), ""];
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    return [null, problem.status ? sentence(problem.message) : ""];
  }
}

const BLAMED = { "f-from": /^Near|from_mm/, "f-to": /^Far|to_mm/, "f-amount": /^(Step|Frames)|step/i, "f-name": /^Name/ };

function renderPlan(answer, error) {
  document.querySelector(".sums").classList.toggle("stale", !answer);
  setText($("plan-error"), error || tooLarge(answer));
  for (const [id, key] of Object.entries(BLAMED)) {
    if (error && key.test(error)) $(id).setAttribute("aria-invalid", "true");
    else $(id).removeAttribute("aria-invalid");
  }
  const sums = answer ? sumsOf(answer) : {};
  for (const id of ["p-frames", "p-step", "p-depth", "p-time", "p-disk"]) setText($(id), sums[id] ?? "–");
  renderExtras();
  if (!answer) return;
  $("f-mesh").checked = answer.surface;
  if (plan.edited) say(`${plural(answer.frames, "frame")}, ${sums["p-step"]} apart${answer.estimated_s === null ? "" : `, about ${sums["p-time"]}`}`);
  plan.edited = false;
}
function sumsOf({ frames, step_mm, from_mm, to_mm, estimated_s, needed_bytes, free_bytes }) {
  const free = `${bytes(free_bytes)} free`;
  return {
    "p-frames": String(frames),
    "p-step": microns(step_mm),
    "p-depth": `${Number(Math.abs(to_mm - from_mm).toPrecision(5))} mm`,
    "p-time": estimated_s === null ? "–" : duration(estimated_s),
    "p-disk": needed_bytes === null ? `${free}; the first shoot tells what it takes` : `${bytes(needed_bytes)} of originals, ${free}`,
  };
}
const tooLarge = (answer) => (answer?.needed_bytes > 0.95 * answer?.free_bytes ? "The disk is too full for this plan: make room, or take fewer frames." : "");

function incomplete() {
  const bad = [["Near", plan.from()], ["Far", plan.to()], [plan.by === "step" ? "Step" : "Frames", number($("f-amount").value)]];
  const wrong = bad.find(([, value]) => value !== null && !Number.isFinite(value));
  if (wrong) return `${wrong[0]} must be a number.`;
  const missing = bad.filter(([, value]) => value === null).map(([name]) => name);
  return `${missing.join(" and ")} ${missing.length > 1 ? "are" : "is"} not set yet.`;
}

/** What can be seen without asking. The service has the last word. */
function impossible() {
  const [low, high] = status?.travel_mm ?? [-Infinity, Infinity];
  const reach = `The rail reaches from ${Number(low.toFixed(4))} to ${Number(high.toFixed(4))} mm.`;
  for (const [name, value] of [["Near", plan.from()], ["Far", plan.to()]]) {
    if (value < low || value > high) return `${name} lies outside the travel. ${reach}`;
  }
  if (plan.from() === plan.to()) return "Far is where near is: move one of them, so that there is something between them.";
  const amount = number($("f-amount").value);
  if (plan.by === "frames" && !(Number.isInteger(amount) && amount >= 2)) return "Frames must be a whole number, 2 or more.";
  if (plan.by === "step" && rail && amount / 1000 < rail.resolution_mm * 0.999) return `Step is finer than the rail’s smallest, ${microns(rail.resolution_mm)}.`;
  return "";
}

function renderExtras() {
  const { method, camera_settings, keep_step } = plan.rest;
  const parts = [];
  if (method?.fusion) parts.push(`fusion ${method.fusion}`);
  for (const [key, value] of Object.entries(camera_settings ?? {})) parts.push(`${key} ${value}`);
  if (keep_step === true) parts.push("exactly this step");
  setText($("extras"), parts.length ? `From the recipe: ${parts.join(", ")}.` : "");
}

/** Without what is not set: a recipe's file has no nulls. */
function withoutNull(value) {
  if (Array.isArray(value)) return value.map(withoutNull);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== null && one !== undefined).map(([key, one]) => [key, withoutNull(one)]));
}
function kept(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}
function store(key, value) {
  try {
    if (value) localStorage.setItem(key, JSON.stringify(value));
  } catch { /* a browser that keeps nothing */ }
}

$("f-mesh").addEventListener("input", () => { plan.mesh = $("f-mesh").checked; });
$("plan-form").addEventListener("input", () => plan.changed());
$("plan-form").addEventListener("submit", (event) => event.preventDefault());
radio(document.querySelector(".by"), (button) => {
  if (plan.by === button.dataset.by) return;
  // The same plan, said the other way.
  const same = plan.told && (button.dataset.by === "step" ? Number((Math.abs(plan.told.step_mm) * 1000).toPrecision(4)) : plan.told.frames);
  plan.count(button.dataset.by);
  if (same) $("f-amount").value = String(same);
  plan.changed();
}, document.querySelector("[data-by=step]"));

async function loadRecipes() {
  const names = await get("/recipes");
  const list = $("recipe-list");
  list.replaceChildren(h("option", { value: "" }, "Recipes"), ...names.map((name) => h("option", { value: name }, name)));
}
$("recipe-list").addEventListener("change", () => attempt(async () => {
  const name = $("recipe-list").value;
  if (!name) return;
  const { recipe } = await get(`/recipes/${encodeURIComponent(name)}`);
  plan.fill(recipe);
  plan.changed();
  $("recipe-list").value = plan.saved = name;
  toast("Recipe loaded", `“${name}” is the plan now.`, { key: "recipe" });
}));
$("recipe-save").addEventListener("click", () => {
  if (!plan.complete()) {
    toast("Not saved", incomplete(), { bad: true, key: "recipe" });
    return;
  }
  $("save-name").value = plan.saved || $("f-name").value.replace(/[^A-Za-z0-9 ._-]/g, "-").replace(/^[^A-Za-z0-9]+/, "");
  $("save-dialog").show(); // not modal: Stop must be within reach
  $("save-name").focus();
});
$("save-cancel").addEventListener("click", () => $("save-dialog").close());
$("save-dialog").addEventListener("close", () => $("recipe-save").focus());
$("save-form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const name = $("save-name").value.trim();
    // JSON is YAML, too.
    await call("PUT", `/recipes/${encodeURIComponent(name)}`, { yaml: `${JSON.stringify(plan.recipe(), null, 2)}\n` });
    $("save-dialog").close();
    await loadRecipes();
    $("recipe-list").value = plan.saved = name;
    toast("Recipe saved", `“${name}” can be loaded on every screen of this rig.`, { key: "recipe" });
  });
});

// --- shoots -----------------------------------------------------------------------------------------------------------

let unanswered = null; // what was asked for and not yet answered: asking again does not begin it a second time

async function start(path, wish) {
  const what = path + JSON.stringify(wish);
  if (unanswered?.what !== what) {
    unanswered = { what, key: [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("") };
  }
  status = { ...status, doing: "shooting" };
  render();
  try {
    await post(path, wish, { headers: { "Idempotency-Key": unanswered.key } });
    unanswered = null;
    say("The shoot has begun.");
  } catch (problem) {
    if (problem.status) unanswered = null;
    throw problem;
  } finally {
    soon();
  }
}

$("capture").addEventListener("click", () => {
  if ($("capture").getAttribute("aria-disabled") === "true") {
    if (plan.error && !going()) (document.querySelector("#plan-form [aria-invalid]") ?? $("f-from")).focus(); // on a phone it is far below
    return;
  }
  attempt(() => start("/shoots", { recipe: plan.recipe() }), { key: "ended" });
});
$("pause").addEventListener("click", () => {
  const progress = going();
  if (!progress || $("pause").getAttribute("aria-disabled") === "true") return;
  attempt(() => post(`/shoots/${progress.shoot_id}/${progress.state === "paused" ? "resume" : "pause"}`)).then(() => {
    shown.pausing = progress.state !== "paused";
    soon();
  });
});
$("abort").addEventListener("click", () => {
  const progress = going();
  if (progress && !connection.lost) attempt(() => post(`/shoots/${progress.shoot_id}/abort`)).then(() => soon());
});
async function goOn(shoot_id) {
  if (await attempt(() => post(`/shoots/${shoot_id}/resume`))) location.hash = "#/";
}
async function stack(shoot_id, wish) {
  if (await attempt(() => post(`/shoots/${shoot_id}/stack`, wish))) location.hash = "#/";
}

// --- gallery ----------------------------------------------------------------------------------------------------------

const STATES = { idle: "not begun", preflight: "interrupted", shooting: "interrupted", paused: "interrupted", merging: "interrupted", failed: "failed", aborted: "aborted" };
const PAGE = 24;
let gallery = [];

async function loadGallery(older = false) {
  const more = await get(`/shoots?limit=${PAGE}${older && gallery.length ? `&before=${gallery.at(-1).shoot_id}` : ""}`);
  gallery = older ? [...gallery, ...more] : more;
  $("older").hidden = more.length < PAGE;
  $("gallery-empty").hidden = gallery.length > 0;
  const cards = more.map(card);
  if (older) $("cards").append(...cards);
  else $("cards").replaceChildren(...cards);
}

/** The specimen first: it is what tells one beetle from the next, and what is too long is cut at its end. */
const titleOf = ({ specimen_id, name }) => [specimen_id, name].filter(Boolean).join(" · ");

function card(shoot) {
  const published = resultOf(shoot);
  const state = shoot.going_on ? "going on" : published && !shoot.unfinished ? "" : STATES[shoot.state] ?? shoot.state;
  return h("li", {}, h("a", { href: `#/shoots/${shoot.shoot_id}` },
    h("div", { class: "picture" },
      shoot.picture ? h("img", { src: shoot.picture, class: shoot.picture.endsWith("/live") ? "grown" : null, alt: "", loading: "lazy", decoding: "async" }) : h("span", { class: "none" }, "no picture"),
      state ? h("span", { class: `pill ${shoot.going_on ? "on" : "bad"}` }, state) : null),
    h("div", { class: "words" },
      h("b", { title: titleOf(shoot) }, titleOf(shoot)),
      h("span", { class: "right versions" }, shoot.versions.length > 1 ? plural(shoot.versions.length, "version") : ""),
      h("span", {}, moment(shoot.created_at)),
      h("span", { class: "right" }, plural(shoot.stored, "frame")))));
}
$("older").addEventListener("click", () => {
  $("older").disabled = true; // asked twice, they would hang there twice
  attempt(() => loadGallery(true)).finally(() => { $("older").disabled = false; });
});

// --- one shoot --------------------------------------------------------------------------------------------------------

const seen = { shoot: null, frames: [], version: 0, about: null, tab: "result", end: null };

/** Let go of what was looked at: large pictures are not kept for somebody who has gone on. */
function leave() {
  seen.end?.();
  Object.assign(seen, { shoot: null, about: null, frames: [], end: null });
  for (const id of ["shoot-name", "viewer", "facts"]) $(id).replaceChildren();
}

async function loadShoot(id) {
  const [shoot, frames] = await Promise.all([get(`/shoots/${id}`), framesOf(id)]);
  if (view.id !== id) return;
  Object.assign(seen, { shoot, frames });
  setText($("shoot-name"), titleOf(shoot));
  $("shoot-name").title = titleOf(shoot);
  document.title = `${titleOf(shoot)} – focusrail`;
  const whole = shoot.versions.filter((one) => one.files.length);
  $("version").replaceChildren(...whole.map((one) => h("option", { value: String(one.version) }, one.without ? `${one.version}, without ${one.without}` : String(one.version))).reverse());
  document.querySelector(".version").hidden = whole.length < 2;
  await showVersion(Number(view.version) || whole.at(-1)?.version || 0);
}

const versionOf = () => seen.shoot.versions.find((one) => one.version === seen.version);
const fileUrl = (name) => `/api/shoots/${seen.shoot.shoot_id}/versions/${seen.version}/${encodeURIComponent(name)}`;

async function showVersion(version) {
  const { shoot } = seen;
  seen.version = version;
  $("version").value = String(version);
  const about = versionOf()?.files.includes("shoot.json") ? await read(fileUrl("shoot.json")) : null;
  if (view.id !== shoot.shoot_id || seen.shoot !== shoot || seen.version !== version) return; // somebody has gone on
  seen.about = about;
  renderFacts();
  const has = (name) => versionOf()?.files.includes(name) ?? false;
  const open = { result: has("result.jpg"), compare: has("result.jpg") && seen.frames.some((one) => one.thumbnail), depth: has("depth.png"), surface: has("surface.glb"), frames: seen.frames.length > 0 };
  for (const button of $("tabs").children) button.disabled = !open[button.dataset.tab] && button.dataset.tab !== "surface";
  const wanted = view.tab && (open[view.tab] || view.tab === "surface") ? view.tab : open.result ? "result" : "frames";
  pickTab($(`t-${wanted}`));
}
$("version").addEventListener("change", () => attempt(() => showVersion(Number($("version").value))));

const pickTab = radio($("tabs"), (button) => showTab(button.dataset.tab), $("t-result"), "aria-selected");

function showTab(tab) {
  if (!seen.shoot) return;
  seen.tab = tab;
  seen.end?.();
  seen.end = null;
  const viewer = $("viewer");
  viewer.setAttribute("aria-labelledby", `t-${tab}`);
  viewer.replaceChildren();
  history.replaceState(null, "", `#/shoots/${seen.shoot.shoot_id}/${seen.version}/${tab}`);
  Object.assign(view, { version: seen.version, tab });
  ({ result: showResult, compare: showCompare, depth: showDepth, surface: showSurface, frames: showFrames })[tab](viewer);
}

function waiting(viewer, words) {
  const box = h("div", { class: "wait" }, h("p", {}, words));
  viewer.append(box);
  return box;
}

async function loaded(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

const showResult = (viewer) => showPicture(viewer, "result.jpg", "result");
const showDepth = (viewer) => showPicture(viewer, "depth.png", "depth map");

async function showPicture(viewer, file, what) {
  const wait = waiting(viewer, `Loading the ${what}…`);
  try {
    const image = await loaded(fileUrl(file));
    if (!wait.isConnected) return;
    image.alt = `The ${what} of ${titleOf(seen.shoot)}`;
    wait.remove();
    seen.end = deepZoom(viewer, [[image]], image.alt);
  } catch {
    setText(wait.firstChild, `The ${what} cannot be loaded: it may have been moved away from the outbound folder.`);
  }
}

function showFrames(viewer) {
  const about = new Map((seen.about?.frames ?? []).map((frame) => [frame.index, frame]));
  viewer.append(h("div", { class: "sheet-of-frames", tabindex: "0", role: "group", "aria-label": "All frames" }, ...seen.frames.map((frame) => {
    const fate = about.get(frame.index);
    const out = fate && !fate.used;
    const where = frame.position_mm === null ? frame.file : `${mm(frame.position_mm, 3)} mm`;
    const original = seen.shoot.let_go_at ? null : `/api/shoots/${seen.shoot.shoot_id}/frames/${frame.index}/original`;
    return h("a", { href: original, target: "_blank", class: out ? "out" : null, title: fate?.reason || null },
      frame.thumbnail ? h("img", { src: thumbnail(seen.shoot.shoot_id, frame.index), alt: "", loading: "lazy" }) : null,
      `${frame.index} · ${where}${out ? " · left out" : ""}`);
  })));
}

/** A frame against the result, one on the other: the frame is put where it was aligned to. */
async function showCompare(viewer) {
  const wait = waiting(viewer, "Loading the pictures…");
  const { shoot, about } = seen;
  const known = about?.frames && new Set(about.frames.map((one) => one.index)); // of this version; later ones have more
  const frames = seen.frames.filter((one) => one.thumbnail && (known?.has(one.index) ?? true));
  let at = Math.floor(frames.length / 2);
  try {
    const result = await loaded(fileUrl("result.jpg"));
    result.alt = `The result of ${titleOf(shoot)}`;
    const [width, height] = [result.naturalWidth, result.naturalHeight];
    const frame = new Image();
    const put = async () => {
      const record = frames[at];
      const whole = !shoot.let_go_at && /^image\/(jpeg|png|webp)$/.test(record.media_type);
      const url = whole ? `/api/shoots/${shoot.shoot_id}/frames/${record.index}/original` : thumbnail(shoot.shoot_id, record.index);
      const image = await loaded(url);
      if (frames[at] !== record) return;
      const crop = about?.result?.crop ?? { x: 0, y: 0, width, height };
      const fate = about?.frames?.find((one) => one.index === record.index);
      const t = fate?.transform?.length === 9 ? fate.transform : [1, 0, 0, 0, 1, 0, 0, 0, 1];
      // A small picture stands for the frame: about as large as the part that all frames cover, and a margin.
      const full = whole ? image.naturalWidth : crop.width + 2 * crop.x;
      const k = full / image.naturalWidth;
      const [a, b, c, d, e, f, g, i, j] = [t[0] - crop.x * t[6], t[1] - crop.x * t[7], t[2] - crop.x * t[8], t[3] - crop.y * t[6], t[4] - crop.y * t[7], t[5] - crop.y * t[8], t[6], t[7], t[8]];
      frame.src = url;
      frame.alt = `Frame ${record.index}`;
      frame.style.transform = `matrix3d(${[a, d, 0, g, b, e, 0, i, 0, 0, 1, 0, c, f, 0, j].join(",")}) scale(${k})`;
      setText(label, `Frame ${record.index}${record.position_mm === null ? "" : ` · ${mm(record.position_mm, 3)} mm`}`);
    };
    const label = h("span", { class: "tag l num" });
    await put();
    if (!wait.isConnected) return;
    wait.remove();
    const handle = h("div", { class: "handle", role: "slider", tabindex: "0", "aria-label": "Frame on the left, result on the right", "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": "50" });
    const split = (percent) => {
      const value = Math.min(100, Math.max(0, percent));
      viewer.style.setProperty("--split", `${value}%`);
      handle.setAttribute("aria-valuenow", String(Math.round(value)));
      handle.dataset.at = String(value);
    };
    split(50);
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      event.stopPropagation();
    });
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const box = viewer.getBoundingClientRect();
      split((100 * (event.clientX - box.left)) / box.width);
    });
    handle.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -2, ArrowRight: 2, Home: -100, End: 100 }[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      split(Number(handle.dataset.at) + by);
    });
    let later = 0;
    const chooser = h("input", { type: "range", min: "0", max: String(frames.length - 1), value: String(at), "aria-label": "Which frame", input: () => {
      at = Number(chooser.value);
      clearTimeout(later);
      later = setTimeout(() => put().catch(() => setText(label, `Frame ${frames[at].index} cannot be loaded`)), 120);
    } });
    seen.end = deepZoom(viewer, [[result], [frame]], "A frame against the result", { tools: [h("label", {}, "Frame", chooser)], over: [handle, label, h("span", { class: "tag r" }, "Result")], size: [width, height] });
  } catch {
    setText(wait.firstChild, "The pictures cannot be loaded: they may have been moved away.");
  }
}

// --- deep zoom --------------------------------------------------------------------------------------------------------

const within = (element, event) => {
  const frame = element.getBoundingClientRect();
  return [event.clientX - frame.left, event.clientY - frame.top];
};

/** One finger, or the mouse, drags by (x, y); two pinch by a factor, about their middle, while one of them moves by (x, y). */
function gestures(element, { drag, pinch }) {
  const fingers = new Map();
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, within(element, event));
  });
  element.addEventListener("pointermove", (event) => {
    const was = fingers.get(event.pointerId);
    if (!was) return;
    const now = within(element, event);
    const by = [now[0] - was[0], now[1] - was[1]];
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    const span = (p) => Math.max(1, Math.hypot(p[0] - other[0], p[1] - other[1]));
    if (!other) drag(...by);
    else if (fingers.size === 2) pinch(span(now) / span(was), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2], by);
    fingers.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, (event) => fingers.delete(event.pointerId));
}

/** Pictures to be moved and enlarged, by wheel, pinch, double click and keys. `panes` lie on each other; the second is cut. */
function deepZoom(viewer, panes, label, { tools = [], over = [], size = null } = {}) {
  const [width, height] = size ?? [panes[0][0].naturalWidth, panes[0][0].naturalHeight];
  const layers = panes.map((images) => h("div", { class: "layer" }, ...images));
  const zoom = h("div", { class: "zoom", tabindex: "0", role: "group", "aria-label": `${label}. Plus and minus enlarge, arrow keys move, 0 shows all, 1 shows every pixel.` },
    ...layers.map((layer, k) => h("div", { class: k ? "pane before" : "pane" }, layer)));
  const shownScale = h("output", { class: "num", "aria-label": "Enlargement" });
  const one = () => 1 / (devicePixelRatio || 1); // a pixel of the picture on a pixel of the screen
  const at = { x: 0, y: 0, scale: 1, fitted: true };
  const box = () => ({ w: zoom.clientWidth, h: zoom.clientHeight });
  const fitScale = () => Math.min(box().w / width, box().h / height);

  function place() {
    const { w, h: tall } = box();
    const limit = (value, length, room) => (length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, value)));
    at.x = limit(at.x, width * at.scale, w);
    at.y = limit(at.y, height * at.scale, tall);
    for (const layer of layers) layer.style.transform = `translate(${at.x}px, ${at.y}px) scale(${at.scale})`;
    zoom.classList.toggle("fitted", at.fitted); // then a finger scrolls the page
    zoom.classList.toggle("pixels", at.scale * (devicePixelRatio || 1) >= 3);
    setText(shownScale, `${Math.round(100 * at.scale * (devicePixelRatio || 1))} %`);
  }
  function scaleTo(scale, x = box().w / 2, y = box().h / 2) {
    const least = Math.min(fitScale(), one());
    const next = Math.min(16 * one(), Math.max(least, scale));
    at.x = x - ((x - at.x) * next) / at.scale;
    at.y = y - ((y - at.y) * next) / at.scale;
    at.scale = next;
    at.fitted = Math.abs(next - fitScale()) < 1e-6;
    place();
  }
  function fit() {
    at.scale = fitScale();
    at.fitted = true;
    place();
  }
  zoom.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    scaleTo(at.scale * Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), ...within(zoom, event));
  }, { passive: false });
  zoom.addEventListener("dblclick", (event) => (at.scale < one() * 0.99 ? scaleTo(one(), ...within(zoom, event)) : fit()));
  const drag = (x, y) => {
    at.x += x;
    at.y += y;
    place();
  };
  gestures(zoom, { drag, pinch: (factor, middle, [x, y]) => {
    drag(x / 2, y / 2);
    scaleTo(at.scale * factor, ...middle);
  } });
  zoom.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [80, 0], ArrowRight: [-80, 0], ArrowUp: [0, 80], ArrowDown: [0, -80] }[event.key];
    if (move) {
      at.x += move[0];
      at.y += move[1];
      place();
    } else if (event.key === "+" || event.key === "=") scaleTo(at.scale * 1.4);
    else if (event.key === "-") scaleTo(at.scale / 1.4);
    else if (event.key === "0") fit();
    else if (event.key === "1") scaleTo(one());
    else return;
    event.preventDefault();
  });

  viewer.append(h("div", { class: "zoom-box" }, zoom, ...over), h("div", { class: "tools" },
    h("button", { type: "button", click: fit }, "Fit"),
    h("button", { type: "button", click: () => scaleTo(one()) }, "100 %"),
    h("button", { type: "button", class: "finer", "aria-label": "Smaller", click: () => scaleTo(at.scale / 1.6) }, "−"),
    h("button", { type: "button", class: "finer", "aria-label": "Larger", click: () => scaleTo(at.scale * 1.6) }, "+"),
    shownScale, ...tools));
  const watch = new ResizeObserver(() => (at.fitted ? fit() : place()));
  watch.observe(zoom);
  fit();
  return () => watch.disconnect();
}

// --- the depth as a surface -------------------------------------------------------------------------------------------

const VERTEX = `#version 300 es
uniform mat4 u_view; uniform mat4 u_eye; uniform vec3 u_scale; uniform vec3 u_middle;
in vec3 a_place; in vec2 a_at; out vec2 v_at; out vec3 v_place; out float v_height;
void main() {
  vec3 place = (a_place - u_middle) * u_scale;
  v_at = a_at; v_height = place.z; vec4 seen = u_eye * vec4(place, 1.0); v_place = seen.xyz; gl_Position = u_view * seen;
}`;
const FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D u_picture; uniform int u_as; uniform vec2 u_range; in vec2 v_at; in vec3 v_place; in float v_height; out vec4 colour;
void main() {
  vec3 normal = normalize(cross(dFdx(v_place), dFdy(v_place)));
  float light = 0.28 + 0.72 * max(0.0, dot(normal, normalize(vec3(-0.45, 0.55, 0.7))));
  vec3 photo = texture(u_picture, v_at).rgb;
  float high = clamp((v_height - u_range.x) / max(1e-9, u_range.y - u_range.x), 0.0, 1.0);
  // Near yellow, far blue: told apart whatever colours an eye knows.
  vec3 ramp = high < 0.5 ? mix(vec3(0.0, 0.13, 0.38), vec3(0.49, 0.48, 0.47), high * 2.0) : mix(vec3(0.49, 0.48, 0.47), vec3(1.0, 0.91, 0.27), high * 2.0 - 1.0);
  colour = vec4(u_as == 3 ? vec3(0.23, 0.26, 0.31) : u_as == 0 ? photo : u_as == 1 ? vec3(0.82, 0.80, 0.77) * light : ramp * (0.45 + 0.55 * light), 1.0);
}`;

/** What of a binary glTF file store/gltf.py writes: one mesh with one picture. */
function readGlb(data) {
  const head = new DataView(data);
  if (head.getUint32(0, true) !== 0x46546c67) throw new Error("not a binary glTF file");
  const length = head.getUint32(12, true);
  const document_ = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 20, length)));
  const start = 20 + length + 8;
  const view_ = (index) => document_.bufferViews[index];
  const array = (index, kind) => {
    const accessor = document_.accessors[index];
    const width = { SCALAR: 1, VEC2: 2, VEC3: 3 }[accessor.type];
    return new kind(data, start + (view_(accessor.bufferView).byteOffset ?? 0), accessor.count * width);
  };
  const mesh = document_.meshes[0].primitives[0];
  const image = view_(document_.images[0].bufferView);
  return {
    places: array(mesh.attributes.POSITION, Float32Array),
    at: array(mesh.attributes.TEXCOORD_0, Float32Array),
    triangles: array(mesh.indices, Uint32Array),
    picture: new Blob([new Uint8Array(data, start + image.byteOffset, image.byteLength)], { type: document_.images[0].mimeType }),
    scale: document_.nodes[0].scale ?? [1, 1, 1],
    low: document_.accessors[mesh.attributes.POSITION].min,
    high: document_.accessors[mesh.attributes.POSITION].max,
    extras: document_.asset.extras ?? {},
  };
}

async function showSurface(viewer) {
  if (!versionOf()?.files.includes("surface.glb")) {
    const { shoot } = seen;
    const possible = isStackable(shoot);
    const box = waiting(viewer, `This version has no surface${possible ? " yet: it can be made of the frames that are stored" : ""}. Tick “3D surface as well” in the plan, under More, and the next shoot brings its own.`);
    if (possible) box.append(h("button", { type: "button", class: "primary", click: () => stack(shoot.shoot_id, { outputs: { ...withoutNull(shoot.recipe?.outputs ?? {}), mesh: true } }) }, "Make the surface"));
    return;
  }
  const wait = waiting(viewer, "Loading the surface…");
  try {
    const answer = await fetch(fileUrl("surface.glb"));
    if (!answer.ok) throw new Error("not there");
    const mesh = readGlb(await answer.arrayBuffer());
    const picture = await createImageBitmap(mesh.picture);
    if (!wait.isConnected) return picture.close();
    const canvas = h("canvas", { class: "surface", tabindex: "0", role: "application", "aria-label": "The surface in three dimensions. Arrow keys turn it, plus and minus bring it nearer." });
    const gl = canvas.getContext("webgl2", { antialias: true });
    if (!gl) {
      setText(wait.firstChild, "This browser cannot draw in three dimensions (WebGL 2 is off). The file surface.glb can be opened in another program.");
      return;
    }
    wait.remove();
    const box = h("div", { class: "zoom-box" }, canvas);
    viewer.append(box);
    seen.end = turn(viewer, canvas, gl, mesh, picture);
  } catch {
    setText(wait.firstChild, "The surface cannot be shown: its file may have been moved away.");
  }
}

const GRID = 3; // drawn as, beside photo, shape and height

function vertices(gl, program, places, at) {
  const all = gl.createVertexArray();
  gl.bindVertexArray(all);
  for (const [name, data, width] of [["a_place", places, 3], ["a_at", at, 2]]) {
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
    const place = gl.getAttribLocation(program, name);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, width, gl.FLOAT, false, 0, 0);
  }
  return all;
}

/** Squares of a round length behind the surface, and somewhat beyond its edges: what tells how large it is. */
function millimetres({ low, high }) {
  const wide = Math.max(high[0] - low[0], high[1] - low[1]);
  const rough = 10 ** Math.floor(Math.log10(wide / 4));
  const pitch = rough * [5, 2, 1].find((times) => times * rough <= wide / 4);
  const [x0, y0, x1, y1] = [Math.floor(low[0] / pitch), Math.floor(low[1] / pitch), Math.ceil(high[0] / pitch), Math.ceil(high[1] / pitch)].map((k) => k * pitch);
  const places = [];
  for (let x = x0; x <= x1 + pitch / 2; x += pitch) places.push(x, y0, low[2], x, y1, low[2]);
  for (let y = y0; y <= y1 + pitch / 2; y += pitch) places.push(x0, y, low[2], x1, y, low[2]);
  return { places: new Float32Array(places), pitch };
}

/** How large it is, as far as that is known. */
function sizeOf(mesh, extent, grid) {
  if (grid) return `${extent.map((one) => (one * 1000).toFixed(2)).join(" × ")} mm; a square is ${microns(grid.pitch * 1000)}`;
  const deep = mesh.extras.axis_units?.[2] === "m" ? `${((mesh.high[2] - mesh.low[2]) * 1000).toFixed(2)} mm deep. ` : "";
  return `${deep}Its width is not known: set camera.um_per_px in the configuration.`;
}

/** Puts the mesh and its picture on the graphics card; returns what draws them as they are looked at, and their extent. */
function painter(gl, mesh, picture) {
  const program = compiled(gl, VERTEX, FRAGMENT);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, picture);
  picture.close();
  gl.generateMipmap(gl.TEXTURE_2D);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
  gl.enable(gl.DEPTH_TEST);
  gl.clearColor(0.024, 0.027, 0.031, 1);
  const surface = vertices(gl, program, mesh.places, mesh.at);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, mesh.triangles, gl.STATIC_DRAW);
  const grid = mesh.extras.true_to_scale ? millimetres(mesh) : null;
  const lines = grid && vertices(gl, program, grid.places, new Float32Array((grid.places.length / 3) * 2));
  const uniform = (name) => gl.getUniformLocation(program, name);
  const [uView, uEye, uScale, uMiddle, uAs, uRange] = ["u_view", "u_eye", "u_scale", "u_middle", "u_as", "u_range"].map(uniform);
  const extent = [0, 1, 2].map((k) => (mesh.high[k] - mesh.low[k]) * mesh.scale[k]);
  const unit = 1 / (Math.hypot(extent[0], extent[1]) / 2); // the picture's half diagonal is 1
  gl.uniform3fv(uMiddle, [0, 1, 2].map((k) => (mesh.high[k] + mesh.low[k]) / 2));

  function paint({ yaw, pitch, far, relief, as }, width, height) {
    gl.viewport(0, 0, width, height);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
    gl.uniformMatrix4fv(uEye, false, [cy, sp * sy, -cp * sy, 0, 0, cp, sp, 0, sy, -sp * cy, cp * cy, 0, 0, 0, -far, 1]);
    const [front, back] = [0.05, 20];
    const f = 1 / Math.tan(0.3) / Math.max(1, height / width);
    gl.uniformMatrix4fv(uView, false, [(f * height) / width, 0, 0, 0, 0, f, 0, 0, 0, 0, (back + front) / (front - back), -1, 0, 0, (2 * back * front) / (front - back), 0]);
    gl.uniform3fv(uScale, mesh.scale.map((one, k) => one * unit * (k === 2 ? relief : 1)));
    const half = (extent[2] * unit * relief) / 2;
    gl.uniform2f(uRange, -half, half);
    gl.bindVertexArray(surface);
    gl.uniform1i(uAs, as);
    gl.drawElements(gl.TRIANGLES, mesh.triangles.length, gl.UNSIGNED_INT, 0);
    if (!lines) return;
    gl.bindVertexArray(lines);
    gl.uniform1i(uAs, GRID);
    gl.drawArrays(gl.LINES, 0, grid.places.length / 3);
  }
  return { paint, extent, grid };
}

function turn(viewer, canvas, gl, mesh, picture) {
  const { paint, extent, grid } = painter(gl, mesh, picture);
  const look = { yaw: -0.5, pitch: 0.42, far: 2.7, as: 0, relief: 1, turning: !still.matches, due: false, over: false };
  function draw(now) {
    look.due = false;
    if (look.over) return;
    if (look.turning) look.yaw = 0.55 * Math.sin(now / 2600);
    const ratio = Math.min(2, devicePixelRatio || 1);
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((length) => Math.max(1, Math.round(length * ratio)));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    paint(look, width, height);
    if (look.turning) redraw();
  }
  function redraw() {
    if (look.due || look.over) return;
    look.due = true;
    requestAnimationFrame(draw);
  }
  const rotate = (yaw, pitch) => {
    setTurning(false);
    look.yaw += yaw;
    look.pitch = Math.min(1.5, Math.max(-1.5, look.pitch + pitch));
    redraw();
  };
  const nearer = (factor) => {
    look.far = Math.min(12, Math.max(0.6, look.far * factor));
    redraw();
  };
  gestures(canvas, { drag: (x, y) => rotate(x * 0.008, y * 0.008), pinch: (factor) => nearer(1 / factor) });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    nearer(Math.exp(event.deltaY * 0.0012));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, -0.12], ArrowDown: [0, 0.12] }[event.key];
    if (by) rotate(...by);
    else if (event.key === "+" || event.key === "=") nearer(0.85);
    else if (event.key === "-") nearer(1.18);
    else return;
    event.preventDefault();
  });

  const turner = h("button", { type: "button", click: () => setTurning(!look.turning) });
  function setTurning(on) {
    look.turning = on;
    setText(turner, on ? "Hold still" : "Turn");
    redraw();
  }
  const as = h("div", { class: "segments", role: "radiogroup", "aria-label": "Drawn as" }, ...["Photo", "Shape", "Height"].map((word) => h("button", { type: "button", role: "radio" }, word)));
  radio(as, (button) => {
    look.as = [...as.children].indexOf(button);
    redraw();
  }, as.firstChild);
  const relief = h("input", { type: "range", min: "0.5", max: "4", step: "0.1", value: "1", "aria-label": "Relief", input: () => {
    look.relief = Number(relief.value);
    setText(times, `× ${look.relief.toFixed(1)}`);
    redraw();
  } });
  const times = h("span", { class: "num" }, "× 1.0");
  canvas.parentElement.append(h("p", { class: "size num" }, sizeOf(mesh, extent, grid)), h("p", { class: "holes" }, "Holes: nothing sure was measured there."));
  viewer.append(h("div", { class: "tools" }, as, turner, h("button", { type: "button", click: () => { Object.assign(look, { yaw: 0, pitch: 0, far: 2.7 }); setTurning(false); } }, "Front"), h("label", {}, "Relief", relief, times)));
  const watch = new ResizeObserver(redraw);
  watch.observe(canvas);
  canvas.addEventListener("webglcontextlost", () => { // the graphics card was needed elsewhere
    if (!look.over) showTab("surface");
  });
  setTurning(look.turning);
  return () => {
    look.over = true;
    watch.disconnect();
    gl.getExtension("WEBGL_lose_context")?.loseContext();
  };
}

// --- about a shoot ----------------------------------------------------------------------------------------------------

const FILES = {
  "result.jpg": "Picture, JPEG", "result.tif": "Picture, 16-bit TIFF", "depth.tif": "Depth of every pixel, TIFF", "depth.png": "Depth map, PNG",
  "confidence.png": "How sure the depth is", "index.png": "Which frame was sharpest", "surface.glb": "3D surface, glTF", "contact_sheet.jpg": "Contact sheet", "report.html": "Report", "shoot.json": "All facts, JSON",
};

function renderFacts() {
  const { shoot, about } = seen;
  const warnings = about?.warnings ?? [];
  const actions = actionsOf(shoot);
  const files = filesOf();
  $("facts").replaceChildren(...[
    h("section", { class: "card" }, h("h2", {}, "About"), h("dl", {}, ...factsOf(shoot, about).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))),
    actions.length ? h("section", { class: "actions", "aria-label": "What can be done" }, ...actions) : null,
    extensionCard(),
    warnings.length ? h("section", { class: "card" }, h("h2", {}, plural(warnings.length, "warning")), h("ul", { class: "warnings" }, ...warnings.map((words) => h("li", {}, sentence(words))))) : null,
    files.length ? h("section", { class: "card" }, h("h2", {}, "Downloads"), h("ul", { class: "files" }, ...files)) : null,
  ].filter(Boolean));
}

/** Whether anything more can be made of its originals. */
const isStackable = (shoot) => shoot.stored > 1 && !shoot.going_on && !shoot.let_go_at;

function factsOf(shoot, about) {
  const facts = [["Name", shoot.name]];
  if (shoot.specimen_id) facts.push(["Specimen", shoot.specimen_id]);
  facts.push(["Taken", moment(shoot.created_at)]);
  if (shoot.unfinished || shoot.going_on) facts.push(["State", shoot.going_on ? "going on" : STATES[shoot.state] ?? shoot.state]);
  facts.push(["Frames", shoot.planned > shoot.stored ? `${shoot.stored} of ${shoot.planned}` : String(about?.frames.length ?? shoot.stored)]);
  if (about) facts.push(...resultFacts(about));
  if (shoot.recipe === null) facts.push(["From", shoot.source]);
  if (shoot.let_go_at) facts.push(["Originals", `let go on ${moment(shoot.let_go_at)}`]);
  return facts;
}
function resultFacts({ frames, result, method }) {
  const facts = [];
  const used = frames.filter((one) => one.used);
  if (used.length < frames.length) facts.push(["In the picture", String(used.length)]);
  facts.push(["Size", `${result.width_px} × ${result.height_px} px`]);
  const ends = used.map((one) => one.position_mm).filter((one) => one !== null);
  if (ends.length > 1) {
    const deep = Math.max(...ends) - Math.min(...ends);
    facts.push(["Depth", `${Number(deep.toPrecision(5))} mm`], ["Step", microns(deep / (ends.length - 1))]);
  }
  if (result.lateral_um_per_px) facts.push(["Scale", `${result.lateral_um_per_px} µm/px`]);
  facts.push(["Fusion", method?.fusion ?? "–"]);
  return facts;
}

function actionsOf(shoot) {
  const actions = [];
  const button = (words, act, kind) => actions.push(h("button", { type: "button", class: kind, click: act }, words));
  if (shoot.recipe && !shoot.going_on) {
    if (shoot.unfinished) button(shoot.stored < shoot.planned ? `Shoot the other ${shoot.planned - shoot.stored}` : "Finish it", () => goOn(shoot.shoot_id), "primary");
    button("Use this plan again", () => {
      plan.fill({ ...shoot.recipe, specimen_id: null }); // another's ID on a picture is worse than none
      plan.saved = "";
      plan.changed();
      location.hash = "#/";
      toast("Plan taken over", `It is that of “${shoot.name}” now${shoot.specimen_id ? ", without its specimen ID" : ""}.`, { key: "recipe" });
    });
  }
  if (isStackable(shoot)) button("Stack again", () => stack(shoot.shoot_id));
  if (versionOf()?.files.includes("report.html")) actions.push(h("a", { class: "button", href: fileUrl("report.html"), target: "_blank", rel: "noopener" }, "Report"));
  return actions;
}

function filesOf() {
  const { shoot, about } = seen;
  const order = Object.keys(FILES);
  const place = (name) => order.indexOf(name) + 1 || 99;
  const stem = [shoot.specimen_id, shoot.name, seen.version > 1 && `v${seen.version}`].filter(Boolean);
  const names = (versionOf()?.files ?? []).filter((name) => name !== "report.html").sort((one, other) => place(one) - place(other));
  return names.map((name) => h("li", {},
    h("a", { href: fileUrl(name), download: [...stem, name].join("-") }, FILES[name] ?? name),
    h("span", {}, about?.files?.[name] ? bytes(about.files[name].size_bytes) : "")));
}

const more = { frames: 5 };

/** For what was missed, an antenna perhaps: so many frames more on one side, where the same plan would have had them. */
function extensionCard() {
  const { shoot, about, frames } = seen;
  const at = frames.map((frame) => frame.position_mm);
  if (!shoot.recipe || shoot.unfinished || !isStackable(shoot) || !about || at.includes(null)) return null;
  const step = (at.at(-1) - at[0]) / (at.length - 1);
  const ends = [[at[0], -step], [at.at(-1), step]];
  if ((step > 0) !== (about.result.far_is_high ?? true)) ends.reverse();
  const [low, high] = status?.travel_mm ?? [-Infinity, Infinity];
  const sides = ["near", "far"].map((side, k) => {
    const [end, by] = ends[k];
    const words = h("b");
    const where = h("span", { class: "num" });
    const button = h("button", { type: "button", click: () => attempt(async () => {
      await start(`/shoots/${shoot.shoot_id}/extend`, { [side]: more.frames });
      location.hash = "#/";
    }, { key: "ended" }) }, words, where);
    const show = () => {
      const to = end + by * more.frames;
      button.disabled = to < low || to > high;
      setText(words, `${more.frames} more ${side}`);
      setText(where, button.disabled ? "no room" : `to ${mm(to, 3)} mm`);
    };
    return { button, show };
  });
  const count = h("div", { class: "segments", role: "radiogroup", "aria-label": "How many frames more" },
    ...[1, 5, 10, 20].map((frames_) => h("button", { type: "button", role: "radio", "data-frames": String(frames_) }, String(frames_))));
  const show = () => sides.forEach((side) => side.show());
  radio(count, (button) => {
    more.frames = Number(button.dataset.frames);
    show();
  }, count.querySelector(`[data-frames="${more.frames}"]`));
  show();
  return h("section", { class: "card extend", "aria-labelledby": "extend-title" },
    h("div", { class: "card-head" }, h("h2", { id: "extend-title" }, "Missed something?"), count),
    h("div", { class: "sides" }, ...sides.map((side) => side.button)),
    h("p", { class: "hint" }, "The carriage moves. They are shot and stacked in, as the next version."));
}

// --- which view -------------------------------------------------------------------------------------------------------

const view = { name: "", id: "", version: "", tab: "" };

function route() {
  const [, name = "", id = "", version = "", tab = ""] = location.hash.split("/");
  leave();
  Object.assign(view, { name: name === "gallery" ? "gallery" : name === "shoots" && id ? "shoot" : "rig", id, version, tab });
  if (gated) return;
  for (const one of ["rig", "gallery", "shoot"]) $(`view-${one}`).hidden = one !== view.name;
  const chosen = view.name === "shoot" ? "gallery" : view.name;
  for (const link of document.querySelectorAll(".views a")) {
    if (link.dataset.view === chosen) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.body.dataset.view = view.name;
  $("toasts").querySelector("[data-key=ended]:not(.bad)")?.remove();
  document.title = { rig: "focusrail", gallery: "Gallery – focusrail", shoot: "Shoot – focusrail" }[view.name];
  scrollTo(0, 0);
  $("save-dialog").close();
  if (!document.activeElement.getClientRects().length) $("main").focus(); // what was pressed has gone with its view
  renderLive();
  if (!status) return; // it is loaded with all else
  if (view.name === "gallery") attempt(loadGallery);
  if (view.name === "shoot") attempt(() => loadShoot(view.id));
  if (view.name === "rig") {
    render();
    drawStripSoon();
  }
}
addEventListener("hashchange", route);

async function enter() {
  // An address with a token that is still there had the wrong one: the right one is taken out by the service.
  if (new URLSearchParams(location.search).has("token")) {
    history.replaceState(null, "", `/${location.hash}`);
    setText($("gate-error"), "The address had a token that is not this rig’s. Ask for it once more.");
  }
  route();
  try {
    await loadAll();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status !== 401) {
      setTimeout(enter, 2000);
      setHealth("lost", "No connection", "trying again");
    }
    return;
  }
  connection.lost = false;
  delete document.body.dataset.lost;
  connection.open();
  isOutdated();
  soon(600);
}
enter();
