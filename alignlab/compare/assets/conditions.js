// Presets over several conditions: how often one gains more than another, and the share of runs beyond each gain.
const over = object(content.worlds);
const presetRow = id => ({ ...(rows.find(row => row.name === id) || { hue: -1, shape: 0, group: text(id) }), id, label: text(id) });
function drawImprovement(host) {
  const found = list(over.rows).map(each => presetRow(each.id)), metric = { form: 'percent', digits: 0 };
  const known = new Map(list(over.improvement).map(each => [`${each.a} ${each.b}`, each]));
  const columns = found.map((row, i) => ({ label: row.label, short: String(i + 1), row })), numbers = new Map(columns.map(each => [each.row, each.short]));
  host.append(heat(found, columns, (row, column) => {
    if (row === column.row) return { value: null, words: '' };
    const own = object(known.get(`${row.id} ${column.row.id}`));
    return { value: own.mean, words: shown(own.mean, metric), lines: [`${row.label} gains more than ${column.label}`, `in ${shown(own.mean, metric)} % of pairs of runs`,
      between(own, metric) && `95 % interval ${between(own, metric)} %`].filter(Boolean) };
  }, { diverging: true, name: 'how often one gains more', short: row => numbers.get(row) }));
}
function drawProfiles(host) {
  const profiles = object(over.profiles), at = list(profiles.at), gain = { ...best, digits: Math.max(2, best.digits) };
  const chart = h('div');
  host.append(chart);
  fluid(chart, width => {
    const found = list(profiles.curves).map(curve => curveOfRow(presetRow(curve.id), at.map((mark, i) => [mark, object(list(curve.shares)[i])]),
      (mark, own) => `${shown(own.mean, share)} % of runs gain more than ${shown(mark, gain)}`));
    return namedLines({ width, lines: found, kind: 'linear', name: 'share of runs beyond each gain', yFormat: percent,
      xFormat: value => shown(value, gain), xLabel: `gain in ${best.label}`, yLabel: 'runs that gain more, %' });
  });
}
