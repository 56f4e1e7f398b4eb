// SPDX-License-Identifier: BSD-2-Clause
// The page: asks for the matrix once a second, and shows it as a sentence, a
// grid, a table. What was chosen lives in the address (#src=..&dst=..), so that
// a view can be sent to somebody.
import { STATES, age, clock, el, withUnit } from "./format.js";
import { Mesh } from "./mesh.js";
import { MatrixView, drawState, palette } from "./matrix.js";
import { showNodes, showPath } from "./panel.js";

const POLL_MS = 1000;
const HIDDEN_POLL_MS = 10000;
const NODES_EVERY_MS = 5000;
const LOST_AFTER_MS = 4000;
const TIMEOUT_MS = 12000;

const $ = (id) => document.getElementById(id);
const view = new MatrixView($("canvas"));
const state = {
	mesh: null, nodes: null, etag: null, etagOf: null, okAt: 0, error: "",
	metric: "state", class: null, path: null, table: false, nodesAt: 0,
};
let polling = null;

// ---- asking

async function get(url, headers = {}) {
	const stop = new AbortController();
	const timer = setTimeout(() => stop.abort(), TIMEOUT_MS);
	try {
		const r = await fetch(url, { headers, cache: "no-store", signal: stop.signal });
		const body = r.status === 304 ? null : await r.json();
		return { status: r.status, etag: r.headers.get("ETag"), body };
	} finally {
		clearTimeout(timer);
	}
}

const query = (o) => new URLSearchParams(Object.entries(o).filter(([, v]) => v)).toString();

async function pollMatrix() {
	const q = query({ class: state.class });
	const url = "/api/v1/matrix" + (q ? "?" + q : "");
	const r = await get(url, state.etag && state.etagOf === url ? { "If-None-Match": state.etag } : {});
	if (r.status === 404 && state.class) {
		state.class = null; // it was retired: fall back to the default
		saveAddress();
		return;
	}
	if (r.status !== 200 && r.status !== 304)
		throw new Error(r.body?.error?.message ?? `status ${r.status}`);
	state.okAt = performance.now();
	state.error = "";
	if (r.status === 304)
		return;
	state.etag = r.etag;
	state.etagOf = url;
	state.mesh = new Mesh(r.body, performance.now());
	showMatrix();
}

async function pollPath() {
	const p = state.path;
	if (!p)
		return;
	const r = await get("/api/v1/path?" + query({ src: p.src, dst: p.dst, class: state.class }));
	if (state.path !== p)
		return; // another was chosen meanwhile
	p.error = r.status === 200 ? "" : r.body?.error?.message ?? `status ${r.status}`;
	if (r.status === 200)
		p.doc = r.body;
	if (state.mesh)
		showPath($("side"), state.mesh, p, () => choose(null));
}

async function pollNodes() {
	if (performance.now() - state.nodesAt < NODES_EVERY_MS && state.nodes)
		return;
	state.nodesAt = performance.now();
	const r = await get("/api/v1/nodes");
	if (r.status === 200)
		state.nodes = r.body;
	if (!state.path)
		showNodes($("side"), state.nodes, state.mesh);
}

async function poll() {
	clearTimeout(polling);
	try {
		await pollMatrix();
		await pollPath();
		await pollNodes();
	} catch (e) {
		state.error = e?.message || "no answer";
	}
	showLife();
	clearTimeout(polling);
	polling = setTimeout(poll, document.hidden ? HIDDEN_POLL_MS : POLL_MS);
}

// ---- showing

function showLife() {
	const silent = performance.now() - state.okAt;
	const lost = !state.okAt ? state.error !== "" : silent > LOST_AFTER_MS;
	const away = state.mesh?.doc.database?.ok === false;
	$("live").dataset.state = lost ? "lost" : state.okAt ? "ok" : "wait";
	$("live-word").hidden = lost || !state.mesh;
	$("live-text").textContent = lost ? "no connection"
		: !state.mesh ? "connecting" : age((state.okAt ? silent : 0) / 1000);
	const banner = $("banner");
	const text = lost
		? `The controller does not answer${state.mesh ? "; what you see is from " + clock(new Date(state.mesh.serverAt).toISOString()) : ""}. Trying again every second.`
		: away ? `The database is away since ${clock(state.mesh.doc.database.since)}: this is the last known matrix. The nodes go on measuring and keep their results.` : "";
	if (banner.textContent !== text)
		banner.textContent = text;
	banner.hidden = !text;
	if (view.faded !== (lost || away)) {
		view.faded = lost || away;
		view.draw();
	}
}

// "ams1→fra1" in the sentence becomes a way to open that path.
function withLinks(text) {
	const out = [];
	let at = 0;
	for (const m of text.matchAll(/([a-z0-9-]+)→([a-z0-9-]+)/g)) {
		const [src, dst] = [m[1], m[2]];
		if (!state.mesh.place(src, dst))
			continue;
		out.push(text.slice(at, m.index));
		out.push(el("button", { type: "button", class: "path-link", onclick: () => choose([src, dst]) }, m[0]));
		at = m.index + m[0].length;
	}
	out.push(text.slice(at));
	return out;
}

let storyText = null;
function showStory() {
	const sentence = state.mesh.doc.summary?.sentence ?? "";
	if (sentence === storyText)
		return;
	storyText = sentence;
	const [head, ...rest] = sentence.split("; ");
	$("headline").replaceChildren(...withLinks(head.charAt(0).toUpperCase() + head.slice(1)));
	$("rest").replaceChildren(...rest.map((x) => el("span", {}, ...withLinks(x))));
	document.title = `${head} · twmesh`;
}

function showPickers() {
	const { mesh } = state;
	const names = mesh.metrics.map((m) => m.name).join();
	const box = $("metrics");
	if (box.dataset.names !== names) {
		box.dataset.names = names;
		box.replaceChildren(...mesh.metrics.map((m) => {
			const input = el("input", { type: "radio", name: "metric", value: m.name });
			input.checked = m.name === state.metric;
			input.addEventListener("change", () => setMetric(m.name));
			return el("label", { title: m.help ?? "" }, input, el("span", {}, m.label));
		}));
	}
	const select = $("class");
	const classes = mesh.doc.classes ?? [];
	if (select.dataset.names !== classes.join()) {
		select.dataset.names = classes.join();
		select.replaceChildren(...classes.map((c) => el("option", { value: c }, c)));
	}
	select.value = mesh.doc.class ?? "";
	select.parentElement.hidden = classes.length === 0;
}

function showLegend() {
	const nothing = !state.mesh.planned;
	$("legend").hidden = $("scale").hidden = nothing;
	if (nothing)
		return;
	const c = palette();
	const ratio = window.devicePixelRatio || 1;
	const counts = state.mesh.doc.summary?.states ?? {};
	const items = [];
	for (const [name, words] of Object.entries(STATES)) {
		const count = counts[name] ?? 0;
		if (!count && (name === "warn" || name === "maintenance"))
			continue; // explained when there is one
		const swatch = el("canvas", { width: 18 * ratio, height: 18 * ratio, "aria-hidden": "true" });
		swatch.style.width = swatch.style.height = "18px";
		const g = swatch.getContext("2d");
		g.setTransform(ratio, 0, 0, ratio, 0, 0);
		drawState(g, name, 0, 0, 18, 18, c);
		items.push(el("div", { class: count ? "" : "none" }, swatch,
			el("dt", {}, `${count} ${name}`), el("dd", {}, words)));
	}
	$("legend").replaceChildren(...items);
	const m = state.mesh.metric(view.metric);
	const range = view.metric === "state" ? null : state.mesh.range(view.metric);
	$("scale").textContent = view.metric === "state"
		? "Numbers: round trip in ms; with %: the share lost. A row sends, a column receives."
		: `${m.help ? m.help[0].toUpperCase() + m.help.slice(1) : m.label}.` + (range
			? ` Pale ${withUnit(range.lo, m)}, deep ${withUnit(range.hi, m)}; warn and crit keep their ring.` : "");
	if (state.mesh.unplanned > 0)
		$("scale").append(" Blank: not planned.");
}

function relayout() {
	if (!state.mesh?.planned)
		return;
	const width = document.querySelector(".field").clientWidth;
	const top = $("stage").getBoundingClientRect().top + window.scrollY;
	view.layout(width, Math.max(260, window.innerHeight - Math.min(top, 330) - 100));
	view.draw();
	showLegend();
}

let shapeKey = "";
function showMatrix() {
	const { mesh } = state;
	view.mesh = mesh;
	view.metric = mesh.metrics.some((m) => m.name === state.metric) ? state.metric : "state";
	view.chosen = state.path ? mesh.place(state.path.src, state.path.dst) : null;
	showStory();
	showPickers();
	const empty = !mesh.planned;
	$("empty").hidden = !empty;
	if (empty && mesh.n > 0)
		$("empty").replaceChildren(mesh.n === 1 ? `${mesh.nodes[0].name} is in; the matrix begins with the second node.`
			: `No direction is planned for class ${mesh.doc.class}: no mesh of it has two members that are there.`);
	else if (empty)
		$("empty").replaceChildren("No node has joined yet. On each site, give twmesh-meshd this controller's address and key (",
			el("code", {}, "twmesh-controller --show-key"), "); what knocks appears at the right, to be approved.");
	$("stage").hidden = empty || state.table;
	const key = [mesh.rows, mesh.columns].map((list) => list.map((i) => mesh.nodes[i].name).join()).join(";");
	if (key !== shapeKey) {
		shapeKey = key;
		view.cursor = null;
		relayout();
	} else {
		view.draw();
	}
	showLegend();
	showTable();
	if (tipAt)
		showTip(tipAt);
	if (!state.path && state.nodes)
		showNodes($("side"), state.nodes, mesh);
}

// The same matrix for those who do not see the grid.
function showTable() {
	$("table").hidden = !state.table || !state.mesh?.planned;
	if ($("table").hidden)
		return;
	const { mesh } = state;
	const m = mesh.metric(view.metric);
	const scroll = [$("table").scrollLeft, $("table").scrollTop];
	const focused = document.activeElement?.dataset?.cell;
	const head = el("tr", {}, el("th", { scope: "col", class: "text" }, "from \\ to"),
		...mesh.columns.map((i) => el("th", { scope: "col" }, mesh.nodes[i].name)));
	const rows = mesh.rows.map((_, s) => el("tr", {}, el("th", { scope: "row" }, mesh.from([s]).name),
		...mesh.columns.map((_, d) => {
			const i = mesh.cell([s, d]), from = mesh.from([s]), to = mesh.to([s, d]);
			if (i < 0)
				return el("td", {}, el("span", { class: "unseen" }, mesh.isSelf([s, d]) ? "" : "not planned"));
			const st = mesh.state(i);
			const v = view.metric === "state" ? st : `${withUnit(mesh.value(i, m.name), m)}${st === "ok" ? "" : " " + st}`;
			return el("td", { class: ["crit", "warn", "maintenance"].includes(st) ? st : "" },
				el("button", { type: "button", "data-cell": `${s},${d}`, "aria-label": `${from.name} to ${to.name}: ${v}`, onclick: () => choose([from.name, to.name]) }, v));
		})));
	$("table").replaceChildren(el("table", {},
		el("caption", {}, `${m.label}, from the row's node to the column's`),
		el("thead", {}, head), el("tbody", {}, ...rows)));
	[$("table").scrollLeft, $("table").scrollTop] = scroll;
	if (focused)
		$("table").querySelector(`[data-cell="${focused}"]`)?.focus({ preventScroll: true });
}

// ---- tooltip and words

let tipAt = null;

function describe(at) {
	const { mesh } = state;
	const from = mesh.from(at).name, to = mesh.to(at).name;
	const i = mesh.cell(at);
	if (mesh.isSelf(at))
		return `${from}, itself`;
	if (i < 0)
		return `${from} to ${to}: not planned`;
	const m = mesh.metric(view.metric === "state" ? "rtt_ms" : view.metric);
	const why = mesh.value(i, "state_why");
	return `${from} to ${to}: ${mesh.state(i)}${why ? ", " + why : ""}; ${m.label} ${withUnit(mesh.value(i, m.name), m)}`;
}

function showTip(at) {
	tipAt = at;
	const tip = $("tip");
	const { mesh } = state;
	if (!at || mesh.isSelf(at)) {
		tip.hidden = true;
		return;
	}
	tip.replaceChildren(el("strong", {}, `${mesh.from(at).name} → ${mesh.to(at).name}`), ...tipWords(at));
	tip.hidden = false;
	placeTip(tip, at);
}

function tipWords(at) {
	const { mesh } = state;
	const i = mesh.cell(at), back = mesh.back(at);
	if (i < 0)
		return ["not planned: no mesh has this direction"];
	const from = mesh.from(at).name, to = mesh.to(at).name;
	const why = mesh.value(i, "state_why");
	const since = mesh.value(i, "state_since");
	const rows = mesh.metrics.filter((m) => m.name !== "state").map((m) => el("tr", {},
		el("th", { scope: "row" }, m.label),
		el("td", {}, withUnit(mesh.value(i, m.name), m)),
		...(back < 0 ? [] : [el("td", {}, withUnit(mesh.value(back, m.name), m))])));
	return [
		`${mesh.state(i)}${since ? " since " + clock(since) : ""}${why ? ": " + why : ""}`,
		el("table", {}, el("thead", {}, el("tr", {}, el("td"),
			el("th", { scope: "col" }, `→ ${to}`), ...(back < 0 ? [] : [el("th", { scope: "col" }, `→ ${from}`)]))), el("tbody", {}, ...rows)),
		el("p", {}, `measured ${age(mesh.ageS(i))}${mesh.value(i, "partial") ? ", a partial interval" : ""}${mesh.value(i, "backfilled") ? ", back-filled" : ""}`)];
}

// Beside the cell, inside the window.
function placeTip(tip, at) {
	const box = $("canvas").getBoundingClientRect();
	const [mx, my] = view.middle(at);
	const w = tip.offsetWidth, h = tip.offsetHeight;
	let x = box.left + mx + view.cw / 2 + 12;
	if (x + w > window.innerWidth - 8)
		x = box.left + mx - view.cw / 2 - 12 - w;
	if (x < 8)
		x = Math.max(8, Math.min(window.innerWidth - w - 8, box.left + mx - w / 2));
	let y = box.top + my - h / 2;
	if (x < box.left + mx + view.cw / 2 && x + w > box.left + mx - view.cw / 2)
		y = box.top + my + view.ch / 2 + 10; // narrow: below the cell
	tip.style.left = `${x}px`;
	tip.style.top = `${Math.max(8, Math.min(window.innerHeight - h - 8, y))}px`;
}

function pointAt(at, spoken) {
	const old = view.cursor;
	view.cursor = at;
	if (String(old) !== String(at))
		view.draw();
	showTip(at);
	if (spoken && at)
		$("spoken").textContent = describe(at);
}

// ---- choosing

function choose(pair) {
	state.path = pair ? { src: pair[0], dst: pair[1], doc: null, error: "" } : null;
	saveAddress();
	if (!state.mesh)
		return;
	const { mesh } = state;
	view.chosen = pair ? mesh.place(...pair) : null;
	view.draw();
	if (!pair) {
		showNodes($("side"), state.nodes, mesh);
		$("grid").focus({ preventScroll: true });
		return;
	}
	showPath($("side"), mesh, state.path, () => choose(null));
	pointAt(null);
	if (matchMedia("(max-width: 940px)").matches)
		$("side").scrollIntoView({ block: "start" });
	pollPath().catch((e) => { state.error = e?.message ?? "no answer"; showLife(); });
}

function chooseAt(at) {
	if (at && state.mesh.cell(at) >= 0)
		choose([state.mesh.from(at).name, state.mesh.to(at).name]);
}

function setMetric(name) {
	state.metric = name;
	saveAddress();
	if (state.mesh)
		showMatrix();
}

function saveAddress() {
	const q = query({ metric: state.metric === "state" ? "" : state.metric, class: state.class,
		src: state.path?.src, dst: state.path?.dst });
	history.replaceState(null, "", q ? "#" + q : location.pathname);
}

function readAddress() {
	const q = new URLSearchParams(location.hash.slice(1));
	state.metric = q.get("metric") || "state";
	state.class = q.get("class") || null;
	const src = q.get("src"), dst = q.get("dst");
	state.path = src && dst ? { src, dst, doc: null, error: "" } : null;
}

// ---- theme

const THEMES = ["auto", "light", "dark"];
let chosenTheme = "auto";
function setTheme(t) {
	if (t === "auto")
		delete document.documentElement.dataset.theme;
	else
		document.documentElement.dataset.theme = t;
	chosenTheme = t;
	$("theme-name").textContent = t;
	try {
		localStorage.setItem("twmesh-theme", t);
	} catch { /* private windows may refuse: then it lasts for this view */ }
	view.draw();
	if (state.mesh) {
		showLegend();
		if (state.path)
			showPath($("side"), state.mesh, state.path, () => choose(null));
	}
}

// ---- wiring

function listen() {
	const canvas = $("canvas");
	const place = (e) => {
		const box = canvas.getBoundingClientRect();
		return view.hit(e.clientX - box.left, e.clientY - box.top);
	};
	canvas.addEventListener("mousemove", (e) => pointAt(place(e)));
	canvas.addEventListener("mouseleave", () => pointAt(null));
	canvas.addEventListener("click", (e) => chooseAt(place(e)));
	$("grid").addEventListener("keydown", (e) => {
		const rows = state.mesh?.rows.length ?? 0, columns = state.mesh?.columns.length ?? 0;
		const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[e.key];
		const [s, d] = view.cursor ?? view.chosen ?? [0, 0];
		if (!rows || !columns)
			return;
		if (step)
			pointAt([Math.max(0, Math.min(rows - 1, s + step[0])), Math.max(0, Math.min(columns - 1, d + step[1]))], true);
		else if (e.key === "Home")
			pointAt([s, 0], true);
		else if (e.key === "End")
			pointAt([s, columns - 1], true);
		else if (e.key === "Enter" || e.key === " ")
			chooseAt([s, d]);
		else if (e.key === "Escape")
			state.path ? choose(null) : pointAt(null);
		else
			return;
		e.preventDefault();
	});
	$("grid").addEventListener("blur", () => pointAt(null));
	$("side").addEventListener("keydown", (e) => {
		if (e.key === "Escape" && state.path)
			choose(null);
	});
	$("class").addEventListener("change", (e) => {
		state.class = e.target.value;
		state.path = state.path ? { ...state.path, doc: null } : null;
		saveAddress();
		poll();
	});
	$("as-table").addEventListener("click", () => {
		state.table = !state.table;
		$("as-table").setAttribute("aria-pressed", String(state.table));
		if (state.mesh)
			showMatrix();
		if (!state.table)
			relayout();
	});
	$("theme").addEventListener("click", () => setTheme(THEMES[(THEMES.indexOf(chosenTheme) + 1) % THEMES.length]));
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(chosenTheme));
	window.addEventListener("resize", relayout);
	window.addEventListener("scroll", () => tipAt && showTip(tipAt), { passive: true });
	window.addEventListener("hashchange", () => {
		readAddress();
		choose(state.path ? [state.path.src, state.path.dst] : null);
		setMetric(state.metric);
	});
	document.addEventListener("visibilitychange", () => document.hidden || poll());
	setInterval(showLife, 1000);
}

let theme = "auto";
try {
	theme = localStorage.getItem("twmesh-theme") || "auto";
} catch { /* as above */ }
readAddress();
setTheme(THEMES.includes(theme) ? theme : "auto");
listen();
poll();
