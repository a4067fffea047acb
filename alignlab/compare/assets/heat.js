// Tables of coloured cells: wins of all pairs, requests by kind, attacks.
const mix = (name, share) => `color-mix(in oklab, var(--${name}) ${Math.round(100 * share)}%, var(--card))`;
// Around one half in two colours, or from nothing to full in one; `ink` turns light on dark cells.
function paint(cell, value, low, high, diverging) {
  if (!isNumber(value)) return;
  const share = diverging ? Math.min(1, Math.abs(value - 0.5) * 2) : Math.min(1, Math.max(0, (value - low) / ((high - low) || 1)));
  cell.style.background = diverging ? mix(value > 0.5 ? 'more' : 'less', 0.62 * share) : mix('more', 0.06 + 0.5 * share);
}
function heat(found, columns, cellOf, { diverging = false, range, name, short }) {
  // Without a range each column has its own, since kinds of request differ more than methods do.
  const ranges = new Map(columns.map(column => [column, range || extent(found.map(row => cellOf(row, column).value))]));
  const marks = [];
  const table = h('table', { class: `heat${short ? ' short' : ''}`, 'aria-label': name },
    h('thead', {}, h('tr', {}, h('th', { scope: 'col', class: 'name' }, short ? '' : 'method'), columns.map(column =>
      h('th', { scope: 'col', title: short ? column.label : null }, h('bdi', {}, short ? column.short : column.label), column.small ? h('small', {}, column.small) : null)))),
    h('tbody', {}, found.map(row => h('tr', { 'data-group': row.group }, h('th', { scope: 'row', class: 'name' },
      short ? h('b', {}, `${short(row)} `) : null, key(row), h('bdi', {}, clip(row.label, 34))),
    columns.map(column => {
      const { value, words, lines } = cellOf(row, column), cell = h('td', {}, words);
      paint(cell, value, ...ranges.get(column), diverging);
      if (lines) { explain(cell, lines); cell.setAttribute('aria-label', lines.join(', ')); marks.push(cell); }
      return cell;
    })))));
  walk(marks);
  return h('div', { class: 'scroll' }, table);
}
function drawWins(host) {
  const wins = object(content.wins), ids = list(wins.ids), kinds = [['controlled', 'at equal length'], ['raw', 'raw'], ['labels', 'human labels']]
    .filter(([kind]) => Array.isArray(wins[kind]));
  if (!kinds.length) return;
  const order = ids.map((id, at) => ({ id, at, row: byId.get(id) || { id, label: id === 'sft' ? 'SFT, the start' : text(id), group: text(id), hue: -1, shape: 0, control: true } }));
  order.sort((a, b) => rank(a.row) - rank(b.row));
  const numbers = new Map(order.map((each, i) => [each.row, i + 1]));
  let kind = kinds[0][0];
  const chart = h('div');
  const draw = () => {
    const matrix = list(wins[kind]);
    const at = new Map(order.map(each => [each.row, each.at]));
    const columns = order.map((each, i) => ({ label: each.row.label, short: String(i + 1), row: each.row }));
    chart.replaceChildren(heat(order.map(each => each.row), columns, (row, column) => {
      const value = row === column.row ? null : list(matrix[at.get(row)])[at.get(column.row)];
      if (row === column.row) return { value: null, words: '' };
      const words = isNumber(value) ? (100 * value).toFixed(0) : '–';
      return { value, words, lines: [`${row.label} against ${column.label}`, isNumber(value) ? `wins ${(100 * value).toFixed(1)} %` : 'not known'] };
    }, { diverging: true, name: 'win rates', short: row => String(numbers.get(row)) }));
  };
  if (kinds.length > 1) host.append(h('div', { class: 'controls screen' }, choice('wins', kinds, kind, value => { kind = value; draw(); })));
  host.append(chart);
  draw();
}
function drawStrata(host) {
  const columns = [...new Set(rows.flatMap(row => Object.keys(object(row.strata))))].map(kind => ({ kind, label: kind }));
  const keys = [...new Set(rows.flatMap(row => Object.values(object(row.strata)).flatMap(found => Object.keys(object(found)))))];
  if (!columns.length || !keys.length) return;
  const metrics = { refusal: { key: 'refusal', label: 'refused, %', form: 'percent', digits: 0 }, gold: metricOf('gold'), length: metricOf('length') };
  let chosen = keys.includes(best.key) ? best.key : keys[0];
  const chart = h('div');
  const draw = () => {
    const metric = metrics[chosen] || metricOf(chosen);
    const found = ranked(rows).filter(row => Object.values(object(row.strata)).some(each => isNumber(object(object(each)[chosen]).mean)));
    chart.replaceChildren(heat(found, columns, (row, column) => {
      const own = object(object(object(row.strata)[column.kind])[chosen]), words = shown(own.mean, metric);
      return { value: own.mean, words, lines: [`${row.label}, ${column.label}`, `${metric.label}: ${words}`, between(own, metric) && `95 % interval ${between(own, metric)}`].filter(Boolean) };
    }, { name: `${metric.label} by kind of request`, range: metric.form === 'percent' ? [0, 1] : null }));
  };
  host.append(h('div', { class: 'controls screen' }, choice('figure', keys.map(key => [key, (metrics[key] || metricOf(key)).label]), chosen, value => { chosen = value; draw(); })), chart);
  draw();
}
function drawAttacks(host) {
  const seen = new Map();
  for (const row of rows) for (const [name, attack] of Object.entries(object(row.attacks))) if (!seen.has(name)) seen.set(name, object(attack).seen);
  const columns = [...seen].sort((a, b) => Number(b[1] === true) - Number(a[1] === true)).map(([name, known]) => ({ label: name, small: known === true ? 'seen' : known === false ? 'held out' : null }));
  const metric = { form: 'percent', digits: 0 }, wrappedBy = row => object(object(postureOf.get(row.id)).wrapped_by);
  const sides = { breach: ['breach', (row, name) => object(object(row.attacks)[name]).breach], wrapped: ['harmless refused', (row, name) => wrappedBy(row)[name]] };
  const chart = h('div');
  const draw = side => {
    const [words, of] = sides[side], found = ranked(rows).filter(row => columns.some(column => isNumber(object(of(row, column.label)).mean)));
    chart.replaceChildren(heat(found, columns, (row, column) => {
      const own = object(of(row, column.label)), value = shown(own.mean, metric);
      return { value: own.mean, words: value, lines: [`${row.label}, ${column.label}`, `${words} ${value} %`, between(own, metric) && `95 % interval ${between(own, metric)} %`].filter(Boolean) };
    }, { name: `${words} by attack`, range: [0, 1] }));
  };
  if (rows.some(row => Object.keys(wrappedBy(row)).length)) {
    host.append(h('div', { class: 'controls screen' }, choice('shown', [['breach', 'breach'], ['wrapped', 'harmless requests in its wording, refused']], 'breach', draw)));
  }
  host.append(chart);
  draw('breach');
}
