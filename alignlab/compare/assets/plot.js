// Axes, scales and the frame of a drawing.
function ticks(low, high, wanted) {
  const span = high - low || 1, raw = span / Math.max(1, wanted), power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map(each => each * power).find(each => each >= raw * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * span; i += 1) found.push(i * step);
  return found;
}
const plain = value => {
  const written = Math.abs(value) >= 1e4 ? large(value, '') : String(Number(value.toPrecision(6)));
  return written.replace('-', '−');
};
const extent = values => {
  const finite = values.filter(isNumber);
  return finite.length ? [Math.min(...finite), Math.max(...finite)] : [0, 1];
};
const TRANSFORMS = {
  linear: [value => value, value => value],
  root: [value => Math.sqrt(Math.max(0, value)), value => value * value],
  log: [value => Math.log10(Math.max(value, 1e-300)), value => 10 ** value],
};
// A scale from values to pixels. `pad` is a share of the span left free at either end.
function scale([low, high], [from, to], kind = 'linear', pad = [0.04, 0.06]) {
  const [go] = TRANSFORMS[kind];
  let a = go(low), b = go(high);
  if (a === b) { a -= 0.5; b += 0.5; }
  const span = b - a;
  a -= pad[0] * span; b += pad[1] * span;
  if (kind === 'root') a = Math.max(0, a);
  const place = value => from + (to - from) * (go(value) - a) / (b - a);
  place.low = kind === 'linear' ? a : TRANSFORMS[kind][1](a);
  place.high = TRANSFORMS[kind][1](b);
  place.kind = kind;
  place.ticks = wanted => spread(place, kind, a, b, wanted);
  return place;
}
// Values of ticks that do not crowd: even ones, round ones on a root axis, powers on a logarithmic one.
function spread(place, kind, a, b, wanted) {
  if (kind === 'linear') return ticks(a, b, wanted);
  if (kind === 'log') {
    const found = [];
    for (let power = Math.floor(a); power <= Math.ceil(b); power += 1) {
      for (const digit of b - a < 2.6 ? [1, 2, 5] : [1]) found.push(digit * 10 ** power);
    }
    const inside = found.filter(value => Math.log10(value) >= a - 1e-9 && Math.log10(value) <= b + 1e-9);
    const every = Math.ceil(inside.length / wanted);
    return inside.filter((_, i) => i % every === 0);
  }
  const high = b * b, gap = (place(high) - place(0)) / Math.max(2, wanted), found = [];
  const round = [0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
  for (const value of round.filter(each => each >= a * a && each <= high)) {
    if (!found.length || place(value) - place(found[found.length - 1]) >= gap * 0.7) found.push(value);
  }
  return found;
}
// An empty drawing with axes: {svg, x, y, marks, width, height}.
function frame({ width, height, x, y, xLabel, yLabel, xTicks, yTicks, xFormat = plain, yFormat = plain, name, margin }) {
  const { left, right, top, bottom } = margin;
  const svg = s('svg', { viewBox: `0 0 ${width} ${height}`, width, height, role: 'group', 'aria-label': name });
  for (const value of xTicks) {
    const at = x(value);
    svg.append(s('path', { class: 'grid', d: `M${at.toFixed(1)} ${top}V${height - bottom}` }),
      s('text', { class: 'tick', x: at.toFixed(1), y: height - bottom + 16, 'text-anchor': 'middle' }, xFormat(value)));
  }
  for (const value of yTicks) {
    const at = y(value);
    svg.append(s('path', { class: 'grid', d: `M${left} ${at.toFixed(1)}H${width - right}` }),
      s('text', { class: 'tick', x: left - 6, y: (at + 4).toFixed(1), 'text-anchor': 'end' }, yFormat(value)));
  }
  const middle = (top + height - bottom) / 2;
  svg.append(
    s('text', { class: 'axis', x: (left + width - right) / 2, y: height - 6, 'text-anchor': 'middle' },
      fit(xLabel, Math.min(left + width - right, width + right - left) - 12, 12.5)),
    s('text', { class: 'axis', x: 12, y: middle, 'text-anchor': 'middle', transform: `rotate(-90 12 ${middle})` },
      fit(yLabel, height - 10, 12.5)));
  return svg;
}
// A part of the page that is drawn again when its width changes. `draw(width)` returns nodes.
function fluid(host, draw) {
  let last = 0;
  const again = force => {
    const width = Math.floor(host.clientWidth);
    if (!width || (!force && width === last)) return;
    last = width;
    hideTip();
    host.replaceChildren(...[draw(width)].flat());
    dim();
  };
  new ResizeObserver(() => again(false)).observe(host);
  again(true);
  return () => again(true);
}
// Half width of a 95 % interval of Student's t for 1 to 30 degrees of freedom; 1.96 beyond.
const STUDENT = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131,
  2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042];
function summary(values) {
  const found = values.filter(isNumber), n = found.length;
  if (!n) return { mean: null };
  const middle = found.reduce((a, b) => a + b, 0) / n;
  if (n < 2) return { mean: middle };
  const sd = Math.sqrt(found.reduce((a, b) => a + (b - middle) ** 2, 0) / (n - 1));
  const half = (STUDENT[n - 2] || 1.96) * sd / Math.sqrt(n);
  return { mean: middle, low: middle - half, high: middle + half };
}
