// Shapes, legends, labels that do not cover each other, and lines with names at their ends.
const polygon = (points, x, y, r) => `M${points.map(([a, b]) => `${(x + a * r).toFixed(1)} ${(y + b * r).toFixed(1)}`).join('L')}Z`;
const around = (n, turn, inner) => Array.from({ length: inner ? 2 * n : n }, (_, i) => {
  const angle = 2 * Math.PI * i / (inner ? 2 * n : n) + turn, r = inner && i % 2 ? inner : 1.25;
  return [r * Math.cos(angle), r * Math.sin(angle)];
});
const CROSS = [[-1.1, -0.4], [-0.4, -0.4], [-0.4, -1.1], [0.4, -1.1], [0.4, -0.4], [1.1, -0.4], [1.1, 0.4], [0.4, 0.4],
  [0.4, 1.1], [-0.4, 1.1], [-0.4, 0.4], [-1.1, 0.4]];
const turned = points => points.map(([a, b]) => [(a - b) * 0.75, (a + b) * 0.75]);
const SHAPES = [
  around(24, 0).map(([a, b]) => [a * 0.8, b * 0.8]), [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
  around(3, -Math.PI / 2), around(4, 0), around(3, Math.PI / 2), CROSS, around(5, -Math.PI / 2, 0.5), around(6, 0),
  around(4, Math.PI / 4, 0.5), around(5, Math.PI / 2), around(8, 0, 0.75), turned([[-1.3, -0.5], [1.3, -0.5], [1.3, 0.5], [-1.3, 0.5]]),
];
function shape(row, x, y, r, extra) {
  const points = row.control ? turned(CROSS) : SHAPES[row.shape % SHAPES.length];
  return s('path', { d: polygon(points, x, y, r), ...extra });
}
const hueOf = row => row.hue < 0 ? 'control' : `h${row.hue}`;
function key(row) {
  return s('svg', { class: `mark ${hueOf(row)}`, viewBox: '0 0 14 14', width: 14, height: 14, 'aria-hidden': 'true' },
    shape(row, 7, 7, 4.6, { class: 'solid' }));
}
// Pointing at a method in one legend leaves it alone bright in every drawing; a click keeps it so.
let kept = null;
function dim(group = kept) {
  for (const element of document.querySelectorAll('[data-group]')) {
    element.classList.toggle('dim', group !== null && element.dataset.group !== group);
  }
}
function legend(found) {
  const groups = new Map();
  for (const row of found) if (!groups.has(row.group)) groups.set(row.group, row);
  return h('div', { class: 'legend' }, [...groups].map(([group, row]) => h('button', {
    type: 'button', 'data-group': group, 'aria-pressed': 'false',
    onclick: event => {
      kept = kept === group ? null : group;
      event.currentTarget.setAttribute('aria-pressed', String(kept === group));
      dim();
    },
    onpointerenter: () => dim(group), onpointerleave: () => dim(),
  }, key(row), h('bdi', {}, clip(row.control ? row.label : group, 28)))));
}
// Labels beside points where there is room; a point without one has its tooltip.
function label(svg, points, box, most = 16) {
  if (points.length > most) return;
  const taken = points.flatMap(point => [[point.x - 6, point.y - 6, point.x + 6, point.y + 6], ...(point.boxes || [])]);
  const free = area => area[0] >= box[0] && area[1] >= box[1] && area[2] <= box[2] && area[3] <= box[3]
    && taken.every(each => area[2] < each[0] || area[0] > each[2] || area[3] < each[1] || area[1] > each[3]);
  for (const point of points) {
    const words = clip(point.words, 24), wide = measure(words, 12) + 2;
    const tries = [[9, 4, 'start'], [-9, 4, 'end'], [0, -10, 'middle'], [0, 19, 'middle'], [8, -8, 'start'], [8, 15, 'start'],
      [-8, -8, 'end'], [-8, 15, 'end']];
    for (const [dx, dy, anchor] of tries) {
      const x = point.x + dx, y = point.y + dy;
      const left = anchor === 'start' ? x : anchor === 'end' ? x - wide : x - wide / 2;
      const area = [left, y - 10, left + wide, y + 3];
      if (!free(area)) continue;
      taken.push(area);
      svg.append(s('text', { class: 'label', x: x.toFixed(1), y: y.toFixed(1), 'text-anchor': anchor,
        'data-group': point.group }, words));
      break;
    }
  }
}
// Names at the ends of lines, pushed apart; [] of those that do not fit.
function ends(svg, points, x, low, high, room) {
  const sorted = [...points].sort((a, b) => a.y - b.y), gap = 14;
  if (sorted.length * gap > high - low || room < 40) return;
  let last = low - gap;
  for (const point of sorted) { point.at = Math.max(point.y, last + gap); last = point.at; }
  let limit = high;
  for (const point of sorted.reverse()) { point.at = Math.min(point.at, limit); limit = point.at - gap; }
  for (const point of points) {
    svg.append(
      s('path', { class: 'leader', d: `M${x - 2} ${point.y.toFixed(1)}L${x + 8} ${point.at.toFixed(1)}`, 'data-group': point.group }),
      s('text', { class: 'label', x: x + 11, y: (point.at + 4).toFixed(1), 'data-group': point.group }, fit(point.words, room - 14, 12)));
  }
}
// Lines over a shared axis: [{row, points: [[x, y]], tips: [lines]}]; where known with `band` and `beyondBand`, both
// [[x, low, high]], and `beyond`, [[x, y]]: what was not measured, dotted.
const areas = band => band.filter(([, low, high]) => isNumber(low) && isNumber(high));
function lines({ width, lines: found, kind, xLabel, yLabel, xTicks, xFormat, yFormat, name, reach }) {
  const height = Math.min(400, Math.max(280, width * 0.62)), named = roomy(width, found);
  const room = named ? Math.min(170, Math.max(...found.map(line => measure(line.row.label, 12))) + 20) : 12;
  const margin = { left: 54, right: room, top: 12, bottom: 42 };
  const all = found.flatMap(line => [...line.points, ...list(line.beyond)]);
  const bands = found.map(line => [line, [areas(list(line.band)), areas(list(line.beyondBand))]]);
  const x = scale(extent(all.map(point => point[0])), [margin.left, width - room], kind, [0.02, 0.02]);
  const y = scale(extent([...all.map(point => point[1]), ...bands.flatMap(([, both]) => both.flat().flatMap(([, low, high]) => [low, high]))]), [height - margin.bottom, margin.top]);
  const svg = frame({ width, height, x, y, xLabel, yLabel, xTicks: xTicks || x.ticks(width / 70), yTicks: y.ticks(5), xFormat, yFormat, name, margin });
  const focusable = [], path = points => points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(' ');
  if (isNumber(reach)) svg.append(s('path', { class: 'reach-end', d: `M${x(reach).toFixed(1)} ${margin.top}V${height - margin.bottom}` }));
  for (const [line, both] of bands) for (const band of both.filter(each => each.length > 1)) {
    svg.append(s('polygon', { class: `spread ${hueOf(line.row)}`, 'data-group': line.row.group,
      points: path([...band.map(([a, low]) => [a, low]), ...band.map(([a, , high]) => [a, high]).reverse()]) }));
  }
  for (const line of found) {
    if (list(line.beyond).length) svg.append(explain(s('polyline', { class: `beyond ${hueOf(line.row)}`, 'data-group': line.row.group, points: path(line.beyond) }), line.beyondTip));
    const at = line.points.map(([a, b]) => [x(a), y(b)]);
    svg.append(s('polyline', { class: `line ${hueOf(line.row)}`, 'data-group': line.row.group,
      points: at.map(point => point.map(each => each.toFixed(1)).join(',')).join(' ') }));
    at.forEach(([a, b], i) => {
      const dot = shape(line.row, a, b, 3.6, { class: `solid ${hueOf(line.row)}`, 'data-group': line.row.group, role: 'img',
        'aria-label': line.tips[i].join(', ') });
      focusable.push(explain(dot, line.tips[i]));
      svg.append(dot);
    });
  }
  if (named) ends(svg, found.filter(line => line.points.length).map(line => ({ words: line.row.label, group: line.row.group,
    y: y([...line.points, ...list(line.beyond)].pop()[1]) })), width - room + 2, margin.top + 6, height - margin.bottom, room);
  walk(focusable);
  return svg;
}
// The same with a legend where names at the ends of lines have no room.
const roomy = (width, found) => width > 420 && found.length <= 18;
function namedLines(options) {
  const svg = lines(options);
  return roomy(options.width, options.lines) ? [svg] : [legend(options.lines.map(line => line.row)), svg];
}
// Points with intervals: [{row, x, y, xSpan, ySpan, lines}]; `under(svg, x, y)` draws what lies below.
function scatter({ width, points, xs, ys, kind, xLabel, yLabel, xFormat, yFormat, name, under, faint = [], height }) {
  const tall = height || Math.min(520, Math.max(320, width * 0.6)), margin = { left: 54, right: 14, top: 12, bottom: 42 };
  const x = scale(extent(xs), [margin.left, width - margin.right], kind, [0.04, 0.05]);
  const y = scale(extent(ys), [tall - margin.bottom, margin.top]);
  const svg = frame({ width, height: tall, x, y, xLabel, yLabel, xTicks: x.ticks(width / 75), yTicks: y.ticks(6), xFormat, yFormat, name, margin });
  if (under) under(svg, x, y);
  for (const point of faint) {
    svg.append(explain(shape(point.row, x(point.x), y(point.y), 3, { class: `faint ${hueOf(point.row)}`,
      'data-group': point.row.group }), point.lines));
  }
  for (const point of points) {
    const a = x(point.x), b = y(point.y), common = { class: `whisker ${hueOf(point.row)}`, 'data-group': point.row.group };
    if (point.ySpan && isNumber(point.ySpan.low) && isNumber(point.ySpan.high)) svg.append(s('path', { ...common, d: `M${a.toFixed(1)} ${y(point.ySpan.low).toFixed(1)}V${y(point.ySpan.high).toFixed(1)}` }));
    if (point.xSpan && isNumber(point.xSpan.low) && isNumber(point.xSpan.high)) svg.append(s('path', { ...common, d: `M${x(point.xSpan.low).toFixed(1)} ${b.toFixed(1)}H${x(point.xSpan.high).toFixed(1)}` }));
  }
  const marks = points.map(point => explain(shape(point.row, x(point.x), y(point.y), 5.2, { class: `${point.hollow ? 'hollow' : 'solid bold'} ${hueOf(point.row)}`,
    'data-group': point.row.group, role: 'img', 'aria-label': point.lines.join(', ') }), point.lines));
  svg.append(...marks);
  const span = (found, go) => found && isNumber(found.low) && isNumber(found.high) ? [go(found.low), go(found.high)].sort((a, b) => a - b) : null;
  const boxes = point => {
    const a = x(point.x), b = y(point.y), across = span(point.xSpan, x), up = span(point.ySpan, y);
    return [across && [across[0], b - 1, across[1], b + 1], up && [a - 1, up[0], a + 1, up[1]]].filter(Boolean);
  };
  label(svg, points.map(point => ({ boxes: boxes(point), x: x(point.x), y: y(point.y), words: point.row.label, group: point.row.group })),
    [margin.left, margin.top, width - 2, tall - margin.bottom], width > 500 ? 60 : 20);
  walk(marks);
  return svg;
}
