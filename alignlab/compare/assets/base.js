// Content, elements, figures and tooltips. Text from the content enters the document as text alone.
const content = JSON.parse(document.getElementById('content').textContent);
const view = content.view;
const SVG = 'http://www.w3.org/2000/svg';
const isNumber = value => typeof value === 'number' && isFinite(value);
const list = value => Array.isArray(value) ? value : [];
const object = value => value && typeof value === 'object' ? value : {};
const text = value => value === null || value === undefined ? '–' : String(value);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) element.append(child);
  }
  return element;
}
const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const rows = list(content.rows).map((row, index) => ({
  ...object(row), index,
  label: text(row.label || row.name || row.id),
  hue: view.marks[index][0], shape: view.marks[index][1],
  group: text(row.method),
}));
const byId = new Map(rows.map(row => [row.id, row]));
const known = view.metrics;
const best = known[view.primary] || { key: view.primary, label: view.primary, form: 'number', digits: 2, better: 1 };
const metricOf = key => Object.hasOwn(known, key) ? known[key] : { key, label: key.replaceAll('_', ' '), form: 'number', digits: 2, better: 0 };
const figure = (row, key) => {
  if (key === 'gain') return object(row.gain);
  const found = object(row.metrics)[key] ?? object(row.costs)[key];
  return isNumber(found) ? { mean: found } : object(found);
};
const mean = (row, key) => isNumber(figure(row, key).mean) ? figure(row, key).mean : null;
const rank = row => {
  const value = mean(row, best.key);
  return value === null ? Infinity : (best.better < 0 ? value : -value);
};
const ranked = found => [...found].sort((a, b) => (a.control ? 1 : 0) - (b.control ? 1 : 0) || rank(a) - rank(b));

function large(value, unit) {
  for (const [power, prefix] of [[18, 'E'], [15, 'P'], [12, 'T'], [9, 'G'], [6, 'M'], [3, 'k']]) {
    if (Math.abs(value) >= 10 ** power) return `${Number((value / 10 ** power).toPrecision(3))} ${prefix}${unit}`;
  }
  return `${Number(value.toPrecision(3))} ${unit}`.trim();
}
function duration(value) {
  for (const [size, unit] of [[86400, 'd'], [3600, 'h'], [60, 'min']]) {
    if (value >= size) return `${(value / size).toFixed(1)} ${unit}`;
  }
  return `${value.toFixed(1)} s`;
}
function shown(value, metric, signed) {
  if (!isNumber(value)) return '–';
  if (metric.form === 'time') return duration(value);
  if (metric.form === 'count' || metric.form === 'bytes') return large(value, metric.form === 'bytes' ? 'B' : '');
  const written = (metric.form === 'percent' ? 100 * value : value).toFixed(metric.digits);
  if (Number(written) === 0) return written.replace('-', '');
  return (signed && value > 0 ? '+' : '') + written.replace('-', '−');
}
const between = (found, metric, signed) => isNumber(found.low) && isNumber(found.high)
  ? `${shown(found.low, metric, signed)} to ${shown(found.high, metric, signed)}` : '';
const clip = (words, letters) => words.length > letters ? `${words.slice(0, letters - 1)}…` : words;

// Width of words in pixels, as the browser will draw them.
const pen = document.createElement('canvas').getContext('2d');
function measure(words, size, bold) {
  pen.font = `${bold ? 'bold ' : ''}${size}px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(words).width;
}
function fit(words, pixels, size) {
  if (measure(words, size) <= pixels) return words;
  let letters = words.length;
  while (letters > 1 && measure(`${words.slice(0, letters)}…`, size) > pixels) letters -= 1;
  return `${words.slice(0, letters)}…`;
}

// Tooltips, on pointing and on focus alike.
const tip = document.getElementById('tip');
let anchor = null;
function showTip(element, lines) {
  anchor = element;
  tip.replaceChildren(...lines.filter(Boolean).map((line, i) => h('div', { class: i ? null : 'first' }, line)));
  tip.hidden = false;
  placeTip();
}
function placeTip() {
  const at = anchor.getBoundingClientRect(), size = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, at.left + at.width / 2 - size.width / 2), innerWidth - size.width - 8);
  const above = at.top - size.height - 8;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 4 ? above : Math.min(at.bottom + 8, innerHeight - size.height - 4)}px`;
}
const hideTip = () => { tip.hidden = true; anchor = null; };
function explain(element, lines) {
  const show = () => showTip(element, typeof lines === 'function' ? lines() : lines);
  element.addEventListener('pointerenter', show);
  element.addEventListener('focus', show);
  element.addEventListener('pointerleave', hideTip);
  element.addEventListener('blur', hideTip);
  return element;
}
addEventListener('keydown', event => { if (event.key === 'Escape') hideTip(); });
// A mark that got the focus may have been scrolled to: its tooltip moves along.
addEventListener('scroll', () => { if (anchor) { if (anchor === document.activeElement) placeTip(); else hideTip(); } },
  { passive: true, capture: true });

// A drawing is one stop of the tab key; arrows go from mark to mark.
function walk(marks) {
  marks.forEach((mark, i) => {
    mark.setAttribute('tabindex', i ? '-1' : '0');
    mark.addEventListener('keydown', event => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = marks[(i + step + marks.length) % marks.length];
      marks.forEach(each => each.setAttribute('tabindex', each === next ? '0' : '-1'));
      next.focus();
    });
  });
}

// A choice out of a few, as buttons; out of many, as a list.
function choice(name, options, value, changed) {
  if (options.length > 4) {
    const select = h('select', { 'aria-label': name, onchange: () => changed(select.value) },
      options.map(([key, words]) => h('option', { value: key, selected: key === value }, clip(words, 48))));
    return h('label', { class: 'choice' }, h('span', {}, name), select);
  }
  const buttons = options.map(([key, words]) => h('button', {
    type: 'button', 'aria-pressed': String(key === value),
    onclick: () => {
      buttons.forEach((button, i) => button.setAttribute('aria-pressed', String(options[i][0] === key)));
      changed(key);
    },
  }, words));
  return h('div', { class: 'choice', role: 'group', 'aria-label': name }, h('span', {}, name),
    h('span', { class: 'buttons' }, buttons));
}
