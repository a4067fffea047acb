// Gain against drift and against cost.
const TARGETS = [['gold', 'gold'], ['judge_score', 'held-out'], ['proxy', 'training reward']];
// Where gold is not known, points carry the gain in the primary figure under its name.
const goldKnown = rows.some(row => mean(row, 'gold') !== null);
const targetMetric = target => target === 'gold' && !goldKnown ? best : metricOf(target);
function curveOf(fit) {
  const { a, b } = fit;
  if (!isNumber(a) || !isNumber(b) || !isNumber(fit.kl_low) || !isNumber(fit.kl_high)) return null;
  const value = kl => { const d = Math.sqrt(kl); return fit.form === 'bon' ? d * (a - b * d) : d > 0 ? d * (a - b * Math.log(d)) : 0; };
  const top = fit.form === 'bon' ? a / (2 * b) : Math.exp(a / b - 1);
  const from = Math.sqrt(fit.kl_low), to = Math.sqrt(fit.kl_high);
  const points = Array.from({ length: 41 }, (_, i) => { const d = from + (to - from) * i / 40; return [d * d, value(d * d)]; });
  return { points, peak: isNumber(fit.peak) && top >= from && top <= to ? [top * top, value(top * top)] : null };
}
function drawFrontier(host) {
  const given = object(content.frontier), points = list(given.points).filter(point => byId.has(point.id) && isNumber(point.kl));
  const targets = TARGETS.filter(([key]) => points.some(point => isNumber(point[key])))
    .map(([key, words]) => [key, key === 'gold' && !goldKnown ? best.label : words]);
  if (!targets.length) return;
  // Where a diagnosis says that gold fell while the training reward rose, both are seen at once.
  const both = ['gold', 'proxy'], twofold = goldKnown && both.every(key => targets.some(([name]) => name === key));
  const parted = twofold && rows.some(row => list(row.flags).some(flag => flag.name === 'overoptimised'));
  let target = parted ? 'both' : (targets.find(([key]) => key === best.key) || targets[0])[0], axis = 'root', withFits = true;
  const chart = h('div');
  const draw = width => {
    const drawn = (target === 'both' ? both : [target]).map(key => panel(width, key, target === 'both' ? 320 : undefined));
    return [legend([...new Set(drawn.flatMap(each => each.found))]), ...drawn.map(each => each.svg)];
  };
  const panel = (width, target, height) => {
    const metric = targetMetric(target), seen = points.filter(point => isNumber(point[target]));
    const faint = seen.map(point => ({ row: byId.get(point.id), x: point.kl, y: point[target],
      lines: [byId.get(point.id).label, `seed ${text(point.seed)}: gain ${shown(point[target], metric, true)} at ${shown(point.kl, metricOf('kl'))} nats`] }));
    const bold = ranked(rows).map(row => {
      const own = seen.filter(point => point.id === row.id);
      if (!own.length) return null;
      const x = summary(own.map(point => point.kl)), y = summary(own.map(point => point[target]));
      return { row, x: x.mean, y: y.mean, xSpan: x, ySpan: y, lines: [row.label, `gain ${shown(y.mean, metric, true)}${between(y, metric, true) && ` (${between(y, metric, true)})`}`,
        `KL ${shown(x.mean, metricOf('kl'))} nats`, `${own.length} ${own.length === 1 ? 'seed' : 'seeds'}`] };
    }).filter(Boolean);
    const reach = list(given.best_of).filter(each => isNumber(each.kl) && isNumber(each[target]));
    const fits = withFits ? list(given.fits).filter(fit => fit.target === target).map(fit => ({ fit, curve: curveOf(fit),
      row: byId.get(fit.id) || rows.find(row => row.method === fit.id || row.name === fit.id) })).filter(each => each.curve) : [];
    const under = (svg, x, y) => {
      const zero = y(0);
      svg.append(s('path', { class: 'zero', d: `M54 ${zero.toFixed(1)}H${width - 14}` }));
      const path = each => each.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(' ');
      if (reach.length) svg.append(s('polyline', { class: 'reach', points: path([[0, 0], ...reach.map(each => [each.kl, each[target]])]) }),
        ...reach.map(each => explain(s('circle', { class: 'reach-dot', cx: x(each.kl).toFixed(1), cy: y(each[target]).toFixed(1), r: 3 }),
          [`best of ${text(each.n)}`, `gain ${shown(each[target], metric, true)} at ${shown(each.kl, metricOf('kl'))} nats`])));
      for (const { fit, curve, row } of fits) {
        const hue = row ? hueOf(row) : 'control', group = row ? row.group : text(fit.id);
        svg.append(explain(s('polyline', { class: `fit ${hue}`, 'data-group': group, points: path(curve.points) }), [text((row || {}).label || fit.id), text(fit.sentence)]));
        if (curve.peak) svg.append(explain(s('path', { class: `peak ${hue}`, 'data-group': group,
          d: `M${x(curve.peak[0]) - 5} ${y(curve.peak[1]) - 7}h10l-5 6z` }), ['peak of the fitted curve', text(fit.sentence)]));
      }
    };
    const curves = fits.flatMap(each => each.curve.points), wide = list(given.fits).length;
    return { found: bold.map(point => point.row), svg: scatter({ width, height, points: bold, faint, kind: axis, under, name: `${metric.label} against KL`,
      xs: [0, ...seen.map(point => point.kl), ...bold.map(point => point.xSpan.high), ...reach.map(each => each.kl), ...curves.map(point => point[0])],
      ys: [0, ...seen.map(point => point[target]), ...bold.flatMap(point => [point.ySpan.low, point.ySpan.high]), ...reach.map(each => each[target]), ...(wide ? curves.map(point => point[1]) : [])],
      xLabel: `KL to SFT, nats a reply${axis === 'root' ? ' (axis in √KL)' : ''}`, yLabel: `${metric.label}: gain over SFT` }) };
  };
  const controls = h('div', { class: 'controls screen' });
  if (targets.length > 1) controls.append(choice('gain in', twofold ? [...targets, ['both', 'gold and training reward']] : targets, target, value => { target = value; again(); }));
  controls.append(choice('axis', [['root', '√KL'], ['linear', 'KL']], axis, value => { axis = value; again(); }));
  if (list(given.fits).length) controls.append(choice('fits', [['on', 'shown'], ['off', 'hidden']], 'on', value => { withFits = value === 'on'; again(); }));
  host.append(controls, chart);
  const said = list(given.fits).map(fit => fit.sentence).filter(Boolean);
  if (said.length) host.append(h('details', {}, h('summary', {}, 'Fitted curves in words'), h('ul', {}, said.map(line => h('li', {}, line)))));
  const again = fluid(chart, draw);
}
function drawCosts(host) {
  const keys = ['flops_with_stages', 'seconds_with_stages', 'flops', 'seconds', 'sampled_tokens', 'labels', 'steps', 'inference_flops_per_reply', 'peak_memory_bytes', 'peak_memory'].filter(key => rows.filter(row => mean(row, key) > 0 && mean(row, 'gain') !== null).length > 1);
  if (!keys.length) return;
  let chosen = keys[0];
  const chart = h('div');
  const draw = width => {
    const metric = metricOf(chosen), found = ranked(rows).filter(row => mean(row, chosen) > 0 && mean(row, 'gain') !== null);
    const points = found.map(row => ({ row, x: mean(row, chosen), y: mean(row, 'gain'), ySpan: object(row.gain),
      lines: [row.label, `gain ${shown(mean(row, 'gain'), best, true)}${between(object(row.gain), best, true) && ` (${between(object(row.gain), best, true)})`}`, `${metric.label}: ${shown(mean(row, chosen), metric)}`] }));
    return [legend(found), scatter({ width, points, kind: 'log', name: 'gain against cost', xs: points.map(point => point.x), ys: [0, ...points.flatMap(point => [point.y, point.ySpan.low, point.ySpan.high])],
      xLabel: metric.label, yLabel: `${best.label}: gain over SFT`, xFormat: value => shown(value, metric) })];
  };
  host.append(h('div', { class: 'controls screen' }, choice('cost', keys.map(key => [key, metricOf(key).label]), chosen, value => { chosen = value; again(); })), chart);
  const again = fluid(chart, draw);
}
