// Days with what was spent on each, the limit and the forecast come in; a drawing goes out, as wide as its place.

import { count, money, number } from "/page/show.js";

const HEIGHT = 240;
const EDGE = { top: 18, right: 8, bottom: 24, left: 56 };
const FAR = 4; // a limit this many times above the spend would flatten everything else

// Each day stands on the days before it: the columns climb to the month to date, on the scale of the monthly limit.
export function chart(width, { month, days, limit, forecast, today }) {
  const [year, number_of_month] = month.split("-").map(Number);
  const last = new Date(Date.UTC(year, number_of_month, 0)).getUTCDate();
  const spent = new Map(days.map((day) => [Number(day.name.slice(8)), day.spend_usd]));
  const total = days.reduce((sum, each) => sum + number(each.spend_usd), 0);
  const highest = Math.max(total, forecast ?? 0, 0.01);
  const isNear = limit !== null && limit <= highest * FAR;
  const top = nice(Math.max(highest, isNear ? limit : 0));
  const x = (day) => EDGE.left + ((day - 1) / last) * (width - EDGE.left - EDGE.right);
  const y = (usd) => HEIGHT - EDGE.bottom - (usd / top) * (HEIGHT - EDGE.top - EDGE.bottom);
  const step = x(2) - x(1);
  const shapes = [];
  for (const share of [0, 0.5, 1]) {
    shapes.push(line({ x1: EDGE.left, x2: width - EDGE.right, y1: y(top * share), y2: y(top * share), class: "grid" }));
    shapes.push(words(EDGE.left - 8, y(top * share) + 4, short(top * share), "end"));
  }
  for (let day = 1; day <= last; day += 7) shapes.push(words(x(day) + step / 2, HEIGHT - 6, count(day), "middle"));
  let before = 0;
  for (let day = 1; day <= Math.min(last, today); day++) {
    const said = spent.get(day) ?? "0";
    const usd = Math.max(number(said), 0);
    const place = { x: x(day) + step * 0.12, width: step * 0.76, rx: 1.5 };
    shapes.push(svg("rect", { ...place, y: y(before), height: y(0) - y(before), class: "before" }));
    shapes.push(svg("rect", { ...place, y: y(before + usd), height: y(before) - y(before + usd), class: "day" },
      svg("title", {}, `${month}-${String(day).padStart(2, "0")}: ${money(said)}`)));
    before += usd;
  }
  if (forecast !== null && today < last) {
    shapes.push(line({ x1: x(today) + step / 2, y1: y(before), x2: x(last) + step / 2, y2: y(forecast), class: "forecast" }));
    shapes.push(svg("circle", { cx: x(last) + step / 2, cy: y(forecast), r: 3, class: "forecast-end" }));
  }
  if (isNear) {
    shapes.push(line({ x1: EDGE.left, x2: width - EDGE.right, y1: y(limit), y2: y(limit), class: "limit" }));
    shapes.push(words(EDGE.left + 4, y(limit) - 5, `Limit ${money(limit.toFixed(2))}`, "start", "limit-name"));
  }
  return svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-labelledby": "spend-said" }, ...shapes);
}

function nice(usd) {
  const unit = 10 ** Math.floor(Math.log10(usd));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((each) => each * unit).find((each) => each >= usd * 1.05) ?? usd * 1.1;
}

const SHORT = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", notation: "compact", minimumFractionDigits: 0, maximumFractionDigits: 2 });
const short = (usd) => SHORT.format(usd);
const line = (properties) => svg("line", properties);
const words = (x, y, text, anchor, name = "axis") => svg("text", { x, y, "text-anchor": anchor, class: name }, text);

function svg(name, properties, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(properties)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
