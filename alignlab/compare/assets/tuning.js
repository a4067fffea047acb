// What the k-th trial still brings, and what was chosen.
function drawTuning(host) {
  const tuning = object(content.tuning);
  const fallback = id => ({ id, label: text(id), group: text(id), hue: -1, shape: 0 });
  const rowOf = id => byId.get(id) || rows.find(row => row.name === id || row.method === id) || fallback(id);
  const found = list(tuning.curves).map(curve => {
    const row = { ...rowOf(curve.id), ...(curve.label ? { label: text(curve.label) } : {}) }, pairs = list(curve.k).map((k, i) => [k, list(curve.expected)[i]]).filter(([k, value]) => isNumber(k) && isNumber(value));
    return { row, points: pairs, tips: pairs.map(([k, value]) => [row.label, `best of ${k}: ${shown(value, best)}`]) };
  }).filter(line => line.points.length);
  if (found.length) {
    const chart = h('div');
    host.append(chart);
    fluid(chart, width => {
      return namedLines({ width, lines: found, kind: 'linear', name: 'expected best of k', xTicks: ticks(...extent(found.flatMap(line => line.points.map(point => point[0]))), width / 70).filter(Number.isInteger), xLabel: 'trials k', yLabel: 'expected validation score' });
    });
  }
  const chosen = list(tuning.chosen);
  if (!chosen.length) return;
  host.append(h('details', {}, h('summary', {}, 'Chosen settings'), h('div', { class: 'scroll' }, h('table', { class: 'plain' },
    h('thead', {}, h('tr', {}, ['method', 'score', 'KL', 'settings'].map(words => h('th', { scope: 'col' }, words)))),
    h('tbody', {}, chosen.map(each => h('tr', {}, h('th', { scope: 'row' }, h('bdi', {}, each.label ? text(each.label) : rowOf(each.id).label)), h('td', {}, shown(each.score, best)), h('td', {}, shown(each.kl, metricOf('kl'))),
      h('td', { class: 'reason' }, Object.entries(object(each.settings)).map(([name, value]) => [h('code', {}, `${name}=${text(value)}`), ' '])))))))));
}
