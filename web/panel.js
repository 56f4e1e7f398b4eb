// SPDX-License-Identifier: BSD-2-Clause
// The side: either the path that was chosen, both directions with its recent
// results, or the nodes of the mesh.
import { age, clock, el, number, withUnit } from "./format.js";
import { palette } from "./matrix.js";

const ROWS_SHOWN = 60;

export function badge(state, text) {
	return el("span", { class: `badge ${/^[a-z]+$/.test(state) ? state : ""}` }, text ?? state);
}

// ---- nodes

function nodeWords(n, maintenance) {
	const until = maintenance?.until ? ` until ${clock(maintenance.until)}` : "";
	const words = maintenance ? `in maintenance${until}${maintenance.reason ? ": " + maintenance.reason : ""}` : "";
	return [words, n.state_why].filter(Boolean).join("; ");
}

export function showNodes(side, doc, mesh) {
	const parts = [];
	const pending = doc?.pending ?? [];
	parts.push(el("div", { class: "head" }, el("h2", {}, "Nodes")));
	parts.push(el("p", { class: "why" }, "Choose a cell to see its path, both directions."));
	if (pending.length) {
		parts.push(el("h3", {}, pending.length === 1 ? "1 key waits for approval" : `${pending.length} keys wait for approval`));
		for (const p of pending.slice(0, 8)) {
			parts.push(el("p", { class: "note" },
				el("code", {}, `twmesh node approve ${p.fingerprint} NAME`),
				` from ${p.address}, ${clock(p.first_seen)}`));
		}
	}
	const known = new Map((doc?.nodes ?? []).map((n) => [n.name, n]));
	const body = el("tbody");
	for (const n of mesh?.nodes ?? []) {
		const more = known.get(n.name) ?? {};
		const clockText = more.clock_offset_ms === null || more.clock_offset_ms === undefined
			? "–" : `${number(more.clock_offset_ms, 3)} ms`;
		body.append(el("tr", { title: nodeWords(n, more.maintenance) || null },
			el("th", { scope: "row", class: "node-name" }, n.name),
			el("td", { class: "text" }, n.site || "–"),
			el("td", { class: "text" }, more.maintenance ? badge("maintenance") : badge(n.state)),
			el("td", {}, clockText),
			el("td", {}, more.spool_batches ?? "–")));
	}
	if (body.childElementCount) {
		parts.push(el("div", { class: "roll", tabindex: "0", role: "region", "aria-label": "Nodes" }, el("table", {},
			el("thead", {}, el("tr", {},
				el("th", { scope: "col", class: "text" }, "node"),
				el("th", { scope: "col", class: "text" }, "site"),
				el("th", { scope: "col", class: "text" }, "contact"),
				el("th", { scope: "col", title: "its clock less the controller's" }, "clock"),
				el("th", { scope: "col", title: "batches not yet stored" }, "spool"))),
			body)));
	}
	side.replaceChildren(...parts);
}

// ---- a path

function cellRows(mesh, here, back) {
	const rows = [];
	for (const m of mesh.metrics) {
		if (m.name === "state")
			continue;
		rows.push(el("tr", { title: m.help || null },
			el("th", { scope: "row" }, m.label),
			el("td", {}, withUnit(here?.[m.name], m)),
			el("td", {}, withUnit(back?.[m.name], m))));
	}
	const seen = (c) => c ? age(c.age_s) : "–";
	rows.push(el("tr", {}, el("th", { scope: "row" }, "measured"),
		el("td", {}, seen(here)), el("td", {}, seen(back))));
	return rows;
}

function dirTable(mesh, src, dst, here, back) {
	return el("table", {},
		el("thead", {}, el("tr", {}, el("td"),
			el("th", { scope: "col" }, `→ ${dst}`), el("th", { scope: "col" }, `→ ${src}`))),
		el("tbody", {},
			el("tr", {}, el("th", { scope: "row" }, "state"),
				el("td", {}, badge(here?.state ?? "never")),
				el("td", {}, back ? badge(back.state) : "not planned")),
			...cellRows(mesh, here, back)));
}

function whyLine(name, cell) {
	if (!cell || (cell.state === "ok" && !cell.state_why))
		return [];
	return [el("p", { class: "why" },
		`→ ${name}: ${cell.state} since ${clock(cell.state_since)}${cell.state_why ? ", " + cell.state_why : ""}`)];
}

// RTT band (min to p99 or max) with its mean, lost packets as bars from above.
function drawSpark(canvas, results) {
	const c = palette();
	const ratio = window.devicePixelRatio || 1;
	const w = canvas.clientWidth || 340, h = canvas.clientHeight || 92;
	canvas.width = Math.round(w * ratio);
	canvas.height = Math.round(h * ratio);
	const g = canvas.getContext("2d");
	g.setTransform(ratio, 0, 0, ratio, 0, 0);
	const rows = results.slice(-240);
	const top = Math.max(...rows.map((r) => r.rtt_p99 ?? r.rtt_max ?? 0), 1e-6);
	const least = Math.min(...rows.map((r) => r.rtt_min ?? top));
	const low = Math.max(0, least - (top - least) * .1);
	const t0 = Date.parse(rows[0].start);
	const span = Math.max(1, Date.parse(rows[rows.length - 1].start) - t0);
	const x = (r) => 2 + (w - 6) * (Date.parse(r.start) - t0) / span;
	const y = (v) => h - 5 - (h - 21) * (v - low) / Math.max(top - low, 1e-9);
	g.strokeStyle = c.line2;
	g.lineWidth = 1;
	g.beginPath();
	g.moveTo(0, h - 3.5);
	g.lineTo(w, h - 3.5);
	g.stroke();
	g.fillStyle = c.ok;
	g.strokeStyle = c.ink2;
	const bar = Math.max(1.5, (w - 6) / Math.max(rows.length, 30) - 1);
	for (const r of rows) {
		if (typeof r.rtt_min === "number") {
			g.fillStyle = c.line2;
			const hi = r.rtt_p99 ?? r.rtt_max;
			g.fillRect(x(r) - bar / 2, y(hi), bar, Math.max(1, y(r.rtt_min) - y(hi)));
			g.fillStyle = c.ink;
			g.fillRect(x(r) - bar / 2, y(r.rtt_mean) - 1, bar, 2);
		}
		if (r.lost > 0 && r.sent > 0) {
			g.fillStyle = c.crit;
			g.fillRect(x(r) - bar / 2, 0, bar, Math.max(3, (h - 4) * r.lost / r.sent));
		}
	}
	g.fillStyle = c.ink3;
	g.font = `11px ${c.sans}`;
	g.textAlign = "right";
	g.fillText(`${number(top, 3)} ms`, w - 2, 10);
	if (low > top * .05) // else it is nearly zero, which the line says
		g.fillText(`${number(low, 3)} ms`, w - 2, h - 7);
}

function resultTable(results) {
	const body = el("tbody");
	for (const r of results.slice(-ROWS_SHOWN).reverse()) {
		body.append(el("tr", {},
			el("th", { scope: "row" }, clock(r.start)),
			el("td", {}, r.sent),
			el("td", { class: r.lost > 0 ? "crit" : "" }, r.lost > 0 ? `${r.lost_fwd}/${r.lost_bwd}/${r.lost_undet}` : "0"),
			el("td", {}, number(r.rtt_mean, 3)),
			el("td", {}, number(r.rtt_p99 ?? r.rtt_max, 3)),
			el("td", {}, number(r.fwd_ipdv, 3))));
	}
	return el("div", { class: "roll", tabindex: "0", role: "region", "aria-label": "Recent results" },
		el("table", { id: "results" }, el("thead", {}, el("tr", {},
			el("th", { scope: "col", class: "text" }, "interval from"),
			el("th", { scope: "col" }, "sent"),
			el("th", { scope: "col", title: "lost there / back / direction not known" }, "lost ↗/↙/?"),
			el("th", { scope: "col" }, "RTT ms"),
			el("th", { scope: "col" }, "p99"),
			el("th", { scope: "col" }, "jitter"))), body));
}

export function showPath(side, mesh, path, onClose) {
	const { src, dst } = path;
	const close = el("button", { type: "button", class: "quiet", id: "close", "aria-label": "Close the path", onclick: onClose }, "close");
	const parts = [
		el("div", { class: "head" }, el("h2", { id: "path-title", tabindex: "-1" }, `${src} → ${dst}`), el("span", { class: "grow" }), close),
	];
	if (path.error) {
		parts.push(el("p", { class: "why" }, path.error));
	} else if (!path.doc) {
		parts.push(el("p", { class: "why" }, "asking …"));
	} else {
		const { forward, backward, results } = path.doc;
		parts.push(...whyLine(dst, forward), ...whyLine(src, backward));
		parts.push(dirTable(mesh, src, dst, forward, backward));
		if (forward?.one_way_trusted === false)
			parts.push(el("p", { class: "note" }, "One-way delays hold the offset of two clocks that are not known to agree."));
		parts.push(el("h3", {}, `As ${src} measured it: round trip (min to p99, line: mean), lost packets hang from above`));
		if (results?.length) {
			const spark = el("canvas", { class: "spark", role: "img", "aria-label": "Round trip and loss over time; the table below holds the numbers" });
			parts.push(spark, resultTable(results));
			requestAnimationFrame(() => drawSpark(spark, results));
		} else {
			parts.push(el("p", { class: "note" }, "No results in the last hour."));
		}
	}
	const roll = side.querySelector(".roll")?.scrollTop ?? 0;
	const focused = side.contains(document.activeElement) ? document.activeElement.id : null;
	side.replaceChildren(...parts);
	const again = side.querySelector(".roll");
	if (again)
		again.scrollTop = roll;
	if (focused)
		document.getElementById(focused)?.focus({ preventScroll: true });
}
