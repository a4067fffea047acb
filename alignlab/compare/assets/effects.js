// Differences to one reference with simultaneous intervals, and the strip of single seeds.
const ROW = 24;
function strips(width, found, draw, { values, xLabel, xFormat, zero, name, right = 0 }) {
  const longest = Math.max(...found.map(row => measure(row.label, 12.5))) + 26;
  const left = Math.min(longest, width < 500 ? 128 : 240), top = 6, bottom = 40;
  const height = top + bottom + ROW * found.length;
  const x = scale(extent(zero === undefined ? values : [...values, zero]), [left + 8, width - 12 - right], 'linear', [0.03, 0.03]);
  const svg = frame({ width, height, x, y: () => 0, xLabel, yLabel: '', xTicks: x.ticks((width - left) / 80), yTicks: [], xFormat, name,
    margin: { left, right: 12 + right, top, bottom } });
  if (zero !== undefined) svg.append(s('path', { class: 'zero', d: `M${x(zero).toFixed(1)} ${top}V${height - bottom}` }));
  const marks = [];
  found.forEach((row, i) => {
    const y = top + ROW * (i + 0.5);
    svg.append(s('g', { 'data-group': row.group, class: hueOf(row) }, shape(row, 8, y, 4.4, { class: 'solid' }),
      s('text', { class: 'who', x: 18, y: y + 4 }, fit(row.label, left - 22, 12.5))));
    marks.push(...draw(svg, row, x, y));
  });
  walk(marks);
  return svg;
}
// Differences of every row to `reference`: from the table against the baseline, or from all pairs turned to its side.
function differences(reference) {
  if (reference === '') return list(content.against_baseline).map(each => ({ ...each, row: byId.get(each.id) })).filter(each => each.row);
  return list(content.pairs).filter(pair => pair.a === reference || pair.b === reference).map(pair => {
    const turned = pair.a === reference, turn = value => isNumber(value) ? -value : null;
    return { ...pair, row: byId.get(turned ? pair.b : pair.a), difference: turned ? turn(pair.difference) : pair.difference,
      low: turned ? turn(pair.high) : pair.low, high: turned ? turn(pair.low) : pair.high };
  }).filter(each => each.row);
}
function drawEffects(host) {
  const baseline = content.baseline === 'sft' ? 'SFT, the start' : text((byId.get(content.baseline) || {}).label || content.baseline);
  const options = list(content.against_baseline).length ? [['', `baseline: ${baseline}`]] : [];
  const paired = new Set(list(content.pairs).flatMap(pair => [pair.a, pair.b]));
  options.push(...ranked(rows).filter(row => paired.has(row.id)).map(row => [String(row.id), row.label]));
  if (!options.length) return;
  let reference = options[0][0];
  const chart = h('div');
  const again = () => fluidly();
  const draw = width => {
    const found = differences(reference).filter(each => isNumber(each.difference)).sort((a, b) => b.difference - a.difference);
    if (!found.length) return [h('p', { class: 'soft' }, 'No difference to this reference is known.')];
    const of = new Map(found.map(each => [each.row, each])), wide = width > 760;
    return [strips(width, found.map(each => each.row), (svg, row, x, y) => {
      const each = of.get(row), lines = [row.label, `difference ${shown(each.difference, best, true)}`,
        between(each, best, true) && `simultaneous 95 % interval ${between(each, best, true)}`,
        isNumber(each.p) && `p = ${each.p < 0.001 ? each.p.toExponential(1) : each.p.toFixed(3)}`,
        each.separated ? 'told apart' : 'not told apart'].filter(Boolean);
      const span = isNumber(each.low) && isNumber(each.high) ? s('path', { class: `whisker ${hueOf(row)}`, 'data-group': row.group,
        d: `M${x(each.low).toFixed(1)} ${y}H${x(each.high).toFixed(1)}` }) : null;
      const mark = shape(row, x(each.difference), y, 5, { class: `${each.separated ? 'solid' : 'hollow'} ${hueOf(row)}`,
        'data-group': row.group, role: 'img', 'aria-label': lines.join(', ') });
      if (span) svg.append(span);
      svg.append(explain(mark, lines));
      if (wide) svg.append(s('text', { class: 'value', x: width - 4, y: y + 4, 'text-anchor': 'end' },
        `${shown(each.difference, best, true)}  [${shown(each.low, best, true)}, ${shown(each.high, best, true)}]`));
      return [mark];
    }, { values: found.flatMap(each => [each.difference, each.low, each.high]), zero: 0, name: 'differences', right: wide ? 170 : 0,
      xFormat: value => shown(value, { ...best, digits: best.form === 'percent' ? 0 : best.digits }, true), xLabel: `difference in ${best.label}` })];
  };
  host.append(h('div', { class: 'controls screen' }, choice('compared with', options.length > 1 ? [...options] : options, reference,
    value => { reference = value; again(); })), chart);
  const fluidly = fluid(chart, draw);
}
function drawStrip(host) {
  const keys = [...new Set(rows.flatMap(row => Object.entries(object(row.metrics)).filter(([, found]) => Object.keys(object(object(found).by_seed)).length)
    .map(([key]) => key)))];
  const order = [best.key, 'kl', 'win_rate_controlled', 'win_rate', 'breach', 'refusal_lookalike'];
  const place = name => order.includes(name) ? order.indexOf(name) : order.length;
  keys.sort((a, b) => place(a) - place(b));
  let chosen = keys[0];
  const chart = h('div');
  const draw = width => {
    const metric = metricOf(chosen), found = ranked(rows).filter(row => Object.keys(object(figure(row, chosen).by_seed)).length);
    const values = found.flatMap(row => Object.values(figure(row, chosen).by_seed)), starts = found.map(row => figure(row, chosen).sft);
    const start = starts.find(isNumber);
    return [strips(width, found, (svg, row, x, y) => {
      const own = figure(row, chosen);
      if (isNumber(own.low) && isNumber(own.high)) svg.append(s('path', { class: `band ${hueOf(row)}`, 'data-group': row.group,
        d: `M${x(own.low).toFixed(1)} ${y}H${x(own.high).toFixed(1)}` }));
      if (isNumber(own.mean)) svg.append(s('path', { class: `stroke ${hueOf(row)}`, 'data-group': row.group, d: `M${x(own.mean).toFixed(1)} ${y - 8}V${y + 8}` }));
      return Object.entries(own.by_seed).filter(([, value]) => isNumber(value)).map(([seed, value]) => {
        const lines = [row.label, `seed ${seed}: ${shown(value, metric)}`, isNumber(own.mean) && `mean ${shown(own.mean, metric)}`, between(own, metric) && `95 % interval ${between(own, metric)}`].filter(Boolean);
        const dot = s('circle', { class: `seed ${hueOf(row)}`, cx: x(value).toFixed(1), cy: y, r: 4.2, 'data-seed': seed, 'data-group': row.group,
          role: 'img', 'aria-label': lines.join(', ') });
        const mark = on => () => { for (const each of svg.querySelectorAll('.seed')) each.classList.toggle('same', on && each.dataset.seed === seed); };
        for (const [name, on] of [['pointerenter', true], ['focus', true], ['pointerleave', false], ['blur', false]]) dot.addEventListener(name, mark(on));
        svg.append(explain(dot, lines));
        return dot;
      });
    }, { values: [...values, ...found.flatMap(row => [figure(row, chosen).low, figure(row, chosen).high])], zero: start, name: 'seeds', xLabel: `${metric.label}${start === undefined ? '' : ' (upright line: SFT)'}`,
      xFormat: value => plain(metric.form === 'percent' ? 100 * value : value) })];
  };
  host.append(h('div', { class: 'controls screen' }, choice('figure', keys.map(key => [key, metricOf(key).label]), chosen, value => { chosen = value; again(); })), chart);
  const again = fluid(chart, draw);
}
