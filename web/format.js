// SPDX-License-Identifier: BSD-2-Clause
// Numbers, times and words for people. Everything here returns plain text;
// text from outside reaches the page only by textContent.

export const STATES = {
	ok: "measured, and within its limits",
	warn: "over a warning limit, or recovering",
	crit: "losing packets, or over a critical limit",
	stale: "the source is silent: nobody says",
	never: "planned, no result yet",
	maintenance: "an end is in maintenance: expected to be off",
};

// Three digits that matter, never an exponent.
export function number(v, decimals) {
	if (v === null || v === undefined || !Number.isFinite(v))
		return "–";
	const a = Math.abs(v);
	const d = a >= 100 ? 0 : a >= 10 ? 1 : a >= 1 ? 2 : 3;
	return v.toFixed(Math.min(decimals ?? 3, d));
}

export function withUnit(v, metric) {
	const text = number(v, metric.decimals);
	return text === "–" || !metric.unit ? text : `${text} ${metric.unit}`;
}

// How long ago, in words.
export function age(seconds) {
	if (seconds === null || seconds === undefined || !Number.isFinite(seconds))
		return "never";
	const s = Math.max(0, seconds);
	if (s < 90)
		return `${Math.round(s)} s ago`;
	if (s < 5400)
		return `${Math.round(s / 60)} min ago`;
	if (s < 172800)
		return `${Math.round(s / 3600)} h ago`;
	return `${Math.round(s / 86400)} days ago`;
}

// "10:02:14 UTC", with the date when it is not today.
export function clock(iso, now = Date.now()) {
	const t = Date.parse(iso ?? "");
	if (!Number.isFinite(t))
		return "–";
	const text = new Date(t).toISOString();
	const today = new Date(now).toISOString().slice(0, 10);
	const day = text.slice(0, 10);
	return `${day === today ? "" : day + " "}${text.slice(11, 19)} UTC`;
}

// An element with text: the only way in which text becomes part of the page.
export function el(tag, attrs, ...children) {
	const e = document.createElement(tag);
	for (const [k, v] of Object.entries(attrs ?? {})) {
		if (k === "class")
			e.className = v;
		else if (k.startsWith("on"))
			e.addEventListener(k.slice(2), v);
		else if (v !== null && v !== undefined)
			e.setAttribute(k, v);
	}
	for (const c of children)
		e.append(c instanceof Node ? c : document.createTextNode(String(c)));
	return e;
}
