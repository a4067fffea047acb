// Breach against over-refusal, and breach in any of k attempts.
function drawPosture(host) {
  const sides = ['refusal_lookalike', 'refusal_benign', 'refusal_wrapped'].filter(key => rows.some(row => mean(row, key) !== null && mean(row, 'breach') !== null));
  if (!sides.length) return;
  let side = sides[0], controls = false;
  const names = { refusal_lookalike: 'look-alike', refusal_benign: 'benign', refusal_wrapped: 'wrapped' };
  const chart = h('div'), percent = value => plain(100 * value);
  const draw = width => {
    const metric = metricOf(side), breach = metricOf('breach'), found = ranked(rows).filter(row => mean(row, side) !== null && mean(row, 'breach') !== null && (controls || !row.control));
    const points = found.map(row => ({ row, x: mean(row, side), y: mean(row, 'breach'), xSpan: figure(row, side), ySpan: figure(row, 'breach'),
      lines: [row.label, `breach ${shown(mean(row, 'breach'), breach)} % ${between(figure(row, 'breach'), breach) && `(${between(figure(row, 'breach'), breach)})`}`,
        `${names[side]} refused ${shown(mean(row, side), metric)} % ${between(figure(row, side), metric) && `(${between(figure(row, side), metric)})`}`] }));
    const starts = controls && byId.has('sft') ? null : found.map(row => [figure(row, side).sft, figure(row, 'breach').sft]).find(pair => pair.every(isNumber));
    return [legend(found), scatter({ width, points, name: 'breach against over-refusal', height: Math.max(340, Math.min(440, width * 0.8)),
      xs: [0, 0.1, ...points.flatMap(point => [point.x, point.xSpan.low, point.xSpan.high]), ...(starts ? [starts[0]] : [])],
      ys: [0, 0.1, ...points.flatMap(point => [point.y, point.ySpan.low, point.ySpan.high]), ...(starts ? [starts[1]] : [])],
      xLabel: `harmless (${names[side]}) requests refused, %`, yLabel: 'harmful requests answered, %', xFormat: percent, yFormat: percent,
      under: (svg, x, y) => {
        if (starts) svg.append(explain(s('path', { class: 'start-mark', d: `M${x(starts[0]) - 7} ${y(starts[1])}h14m-7 -7v14` }), ['SFT, the start']));
      } })];
  };
  const bar = h('div', { class: 'controls screen' });
  if (sides.length > 1) bar.append(choice('refused', sides.map(key => [key, names[key]]), side, value => { side = value; again(); }));
  if (rows.some(row => row.control)) {
    bar.append(h('label', { class: 'choice' }, h('input', { type: 'checkbox', onchange: event => { controls = event.target.checked; again(); } }), 'controls'));
  }
  host.append(bar, chart);
  const again = fluid(chart, draw);
}
function drawBreachAt(host) {
  const found = ranked(rows).map(row => {
    const curve = Object.entries(object(row.breach_at)).map(([k, own]) => [Number(k), object(own)]).filter(([k, own]) => isNumber(k) && k > 0 && isNumber(own.mean)).sort((a, b) => a[0] - b[0]);
    const metric = metricOf('breach');
    return { row, points: curve.map(([k, own]) => [k, own.mean]), tips: curve.map(([k, own]) => [row.label, `any of ${k}: ${shown(own.mean, metric)} %`, between(own, metric) && `95 % interval ${between(own, metric)} %`].filter(Boolean)) };
  }).filter(line => line.points.length);
  if (!found.length) return;
  const all = [...new Set(found.flatMap(line => line.points.map(point => point[0])))].sort((a, b) => a - b);
  const chart = h('div');
  host.append(chart);
  fluid(chart, width => {
    const svg = lines({ width, lines: found, kind: 'log', name: 'breach at k', xTicks: all, xFormat: plain, yFormat: value => plain(100 * value), xLabel: 'attempts k', yLabel: 'answered at least once, %' });
    return width > 420 && found.length <= 18 ? [svg] : [legend(found.map(line => line.row)), svg];
  });
}
