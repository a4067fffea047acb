// Replies side by side. Whatever a model wrote is shown as the text it is.
const PAGE = 5;
function drawViewer(host) {
  const examples = list(content.examples).map((example, index) => ({ ...object(example), index, replies: list(object(example).replies) }));
  const ids = [...new Set(examples.flatMap(example => example.replies.map(reply => reply.id)))];
  const rowOf = id => byId.get(id) || { id, label: id === 'sft' ? 'SFT, the start' : text(id), hue: -1, shape: 0, control: true, group: text(id) };
  ids.sort((a, b) => (b === 'sft') - (a === 'sft') || rank(rowOf(a)) - rank(rowOf(b)));
  const first = ids.filter(id => id !== 'sft' && !rowOf(id).control);
  const state = { kind: '', attack: '', words: '', order: 'given', shown: new Set([...(ids.includes('sft') ? ['sft'] : []), ...first.slice(0, 3)]), count: PAGE };
  const score = reply => { const scores = object(reply.scores); return isNumber(scores[best.key]) ? scores[best.key] : Object.values(scores).find(isNumber); };
  const disagreement = example => {
    const scores = example.replies.filter(reply => state.shown.has(reply.id)).map(score).filter(isNumber);
    return scores.length > 1 ? Math.max(...scores) - Math.min(...scores) : -1;
  };
  const matches = example => (!state.kind || text(example.kind) === state.kind) && (!state.attack || text(example.attack || 'none') === state.attack)
    && (!state.words || [example.prompt, ...example.replies.filter(reply => state.shown.has(reply.id) && !reply.withheld).map(reply => reply.text)].some(words => text(words).toLowerCase().includes(state.words)));
  const place = h('div', { class: 'examples' }), status = h('p', { class: 'soft', role: 'status' }), more = h('button', { type: 'button', class: 'screen', onclick: () => { state.count += PAGE; draw(); } }, 'more');
  const card = reply => {
    const row = rowOf(reply.id), scores = Object.entries(object(reply.scores)).filter(([, value]) => isNumber(value));
    return h('article', { class: `reply ${hueOf(row)}` }, h('h4', {}, key(row), h('bdi', {}, clip(row.label, 60)), reply.verdict ? h('span', { class: 'verdict' }, text(reply.verdict)) : null),
      reply.withheld ? h('p', { class: 'soft words' }, '[withheld]') : h('p', { class: 'words' }, text(reply.text)),
      h('p', { class: 'scores' }, scores.map(([name, value]) => h('span', {}, `${metricOf(name).label} ${shown(value, metricOf(name))}`)), isNumber(reply.length) ? h('span', {}, `${reply.length} tokens`) : null));
  };
  const draw = () => {
    let found = examples.filter(matches);
    if (state.order === 'disagreement') found = found.map(example => [disagreement(example), example]).sort((a, b) => b[0] - a[0]).map(pair => pair[1]);
    const wanted = ids.filter(id => state.shown.has(id));
    place.replaceChildren(...found.slice(0, state.count).map(example => h('div', { class: 'example' },
      h('div', { class: 'request' }, h('p', { class: 'soft meta' }, `request ${example.index + 1}`, example.kind ? h('span', { class: 'tag' }, text(example.kind)) : null, example.attack ? h('span', { class: 'tag' }, `attack: ${text(example.attack)}`) : null),
        h('p', { class: 'words' }, text(example.prompt))),
      h('div', { class: 'replies' }, wanted.flatMap(id => example.replies.filter(reply => reply.id === id)).map(card)))));
    status.textContent = `${Math.min(state.count, found.length)} of ${found.length} requests${found.length < examples.length ? ` (${examples.length} in all)` : ''}`;
    more.hidden = state.count >= found.length;
  };
  const restart = () => { state.count = PAGE; draw(); };
  const options = (name, values, every, change) => values.length < 2 ? null : h('label', { class: 'choice' }, h('span', {}, name),
    h('select', { 'aria-label': name, onchange: event => { change(event.target.value); restart(); } }, h('option', { value: '' }, every), values.map(value => h('option', { value }, clip(value, 40)))));
  const kinds = [...new Set(examples.map(example => text(example.kind)))], attacks = [...new Set(examples.map(example => text(example.attack || 'none')))];
  host.append(h('div', { class: 'controls screen' },
    options('kind', kinds, 'all', value => { state.kind = value; }), options('attack', attacks, 'all', value => { state.attack = value; }),
    h('label', { class: 'choice' }, h('span', {}, 'find'), h('input', { type: 'search', size: 14, 'aria-label': 'find text', oninput: event => { state.words = event.target.value.toLowerCase(); restart(); } })),
    choice('order', [['given', 'as given'], ['disagreement', 'largest disagreement']], state.order, value => { state.order = value; restart(); })),
  h('details', { class: 'screen pick', open: ids.length <= 8 }, h('summary', {}, 'Methods shown'), h('div', { class: 'legend' }, ids.map(id => {
    const row = rowOf(id), button = h('button', { type: 'button', 'aria-pressed': String(state.shown.has(id)), onclick: () => {
      if (!state.shown.delete(id)) state.shown.add(id);
      button.setAttribute('aria-pressed', String(state.shown.has(id)));
      draw();
    } }, key(row), h('bdi', {}, clip(row.label, 34)));
    return button;
  }))), status, place, more);
  draw();
}
