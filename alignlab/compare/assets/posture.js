// Breach against over-refusal, breach in any of k attempts, survival of turns. `posture` has the evidence by row.
const posture = object(content.posture), postureOf = new Map(list(posture.rows).map(row => [row.id, row]));
const share = { key: 'share', label: 'share', form: 'percent', digits: 1 };
const percent = value => plain(100 * value);
const unitOf = found => found.unit ? `over ${found.unit} of one run` : '';
// Over-refusal as the posture counted it, by all kinds of attack; where it did not, the row's own figure.
const refusedOf = (row, name) => {
  const counted = object(object(object(postureOf.get(row.id)).over)[name.replace('refusal_', '')]);
  return isNumber(counted.mean) ? counted : figure(row, name);
};
const refusedMean = (row, name) => isNumber(refusedOf(row, name).mean) ? refusedOf(row, name).mean : null;
// The interval of breach: over seeds, and where the row has one run only, over its requests.
function breachSpan(row) {
  const own = figure(row, 'breach');
  return isNumber(own.low) && own.low !== own.high ? own : object(object(postureOf.get(row.id)).breach);
}
function drawPosture(host) {
  const sides = ['refusal_lookalike', 'refusal_benign', 'refusal_wrapped'].filter(key => rows.some(row => refusedMean(row, key) !== null && mean(row, 'breach') !== null));
  if (!sides.length) return;
  let side = sides[0], controls = false;
  const names = { refusal_lookalike: 'look-alike', refusal_benign: 'benign', refusal_wrapped: 'wrapped' };
  const chart = h('div');
  const draw = width => {
    const metric = metricOf(side), breach = metricOf('breach'), found = ranked(rows).filter(row => refusedMean(row, side) !== null && mean(row, 'breach') !== null && (controls || !row.control));
    const points = found.map(row => ({ row, x: refusedMean(row, side), y: mean(row, 'breach'), xSpan: refusedOf(row, side), ySpan: breachSpan(row),
      hollow: list(object(postureOf.get(row.id)).dominated_by).length > 0,
      lines: [row.label, dominators(row), `breach ${shown(mean(row, 'breach'), breach)} % ${between(breachSpan(row), breach) && `(${between(breachSpan(row), breach)})`}`,
        `${names[side]} refused ${shown(refusedMean(row, side), metric)} % ${between(refusedOf(row, side), metric) && `(${between(refusedOf(row, side), metric)})`}`].filter(Boolean) }));
    const begun = refusedMean({ id: 'sft' }, side);
    const starts = controls && byId.has('sft') ? null : found.map(row => [begun ?? figure(row, side).sft, figure(row, 'breach').sft]).find(pair => pair.every(isNumber));
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
function dominators(row) {
  const found = list(object(postureOf.get(row.id)).dominated_by).map(id => object(byId.get(id)).label || text(id));
  return found.length ? `dominated by ${found.slice(0, 3).join(', ')}${found.length > 3 ? ' and others' : ''}` : '';
}
// A line for each row from figures by x: [[x, figure]], with what each point says.
function curveOfRow(row, pairs, words) {
  const known = pairs.filter(([at, own]) => isNumber(at) && isNumber(own.mean));
  return { row, points: known.map(([at, own]) => [at, own.mean]), band: known.map(([at, own]) => [at, own.low, own.high]),
    tips: known.map(([at, own]) => [row.label, words(at, own), between(own, share) && `95 % interval ${between(own, share)} % ${unitOf(own)}`].filter(Boolean)) };
}
const byNumber = found => Object.entries(object(found)).map(([k, own]) => [Number(k), object(own)]).filter(([k]) => isNumber(k) && k > 0).sort((a, b) => a[0] - b[0]);
function drawBreachAt(host) {
  const names = { power: 'power law', beta_binomial: 'beta-binomial' };
  const laws = Object.keys(names).filter(name => list(posture.rows).some(row => byNumber(object(object(row.laws)[name]).at).length > 1));
  let law = laws[0] || '';
  const chart = h('div');
  const draw = width => {
    const found = ranked(rows).map(row => {
      const known = object(postureOf.get(row.id)), measured = byNumber(known.breach_at).length ? known.breach_at : row.breach_at;
      const line = curveOfRow(row, byNumber(measured), (k, own) => `any of ${k}: ${shown(own.mean, share)} %`);
      const fitted = object(object(known.laws)[law]), beyond = law ? byNumber(fitted.at).filter(([, own]) => isNumber(own.mean)) : [];
      const last = beyond[beyond.length - 1];
      return { ...line, reach: fitted.reach, beyond: beyond.map(([k, own]) => [k, own.mean]), beyondBand: beyond.map(([k, own]) => [k, own.low, own.high]),
        beyondTip: last ? [row.label, `extrapolated by the ${names[law]}: any of ${last[0]}: ${shown(last[1].mean, share)} % ${between(last[1], share) && `(${between(last[1], share)})`}`,
          isNumber(fitted.misfit) && `misses what was measured by up to ${shown(fitted.misfit, share)} points`] : [] };
    }).filter(line => line.points.length);
    if (!found.length) return [];
    const ks = [...new Set(found.flatMap(line => [...line.points, ...line.beyond].map(point => point[0])))].sort((a, b) => a - b);
    const ticksAt = ks.filter((_, i) => i % Math.ceil(ks.length / (width / 60)) === 0);
    return namedLines({ width, lines: found, kind: 'log', name: 'breach at k', xTicks: ticksAt, xFormat: plain, yFormat: percent, xLabel: 'attempts k',
      yLabel: 'answered at least once, %', reach: law ? extent(found.map(line => line.reach).filter(isNumber))[0] : null });
  };
  if (laws.length) host.append(h('div', { class: 'controls screen' }, choice('beyond', [...laws.map(name => [name, names[name]]), ['', 'nothing']], law, value => { law = value; again(); })));
  host.append(chart);
  const again = fluid(chart, draw);
}
function drawSurvival(host) {
  const kinds = { survival: 'conversations that held, %', hazard: 'chance that a turn breaks, %' };
  let kind = 'survival';
  const chart = h('div');
  const draw = width => {
    const found = ranked(rows).map(row => {
      const turns = list(object(object(postureOf.get(row.id)).survival).turns);
      const line = curveOfRow(row, turns.map(turn => [turn.turn, object(turn[kind])]), (at, own) => `turn ${at}: ${shown(own.mean, share)} %`);
      return { ...line, tips: line.tips.map((tip, i) => [...tip, `${text(turns[i].breaches)} of ${text(turns[i].at_risk)} that were left broke`]) };
    }).filter(line => line.points.length);
    if (!found.length) return [];
    const turns = [...new Set(found.flatMap(line => line.points.map(point => point[0])))].sort((a, b) => a - b);
    return namedLines({ width, lines: found, kind: 'linear', name: kinds[kind], xTicks: turns, xFormat: plain, yFormat: percent, xLabel: 'turn (1 is the plain request)', yLabel: kinds[kind] });
  };
  host.append(h('div', { class: 'controls screen' }, choice('shown', [['survival', 'survival'], ['hazard', 'hazard']], kind, value => { kind = value; again(); })), chart);
  const again = fluid(chart, draw);
}
