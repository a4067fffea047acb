// The leaderboard: choice of columns, order, filters. The table itself is in the page already.
function drawBoard() {
  const table = document.getElementById('board');
  if (!table) return;
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells], all = [...body.rows];
  const controls = document.querySelector('[data-controls=board]');
  const cellRows = [...all, ...(table.tFoot ? table.tFoot.rows : [])];
  const views = ['overview', 'quality', 'drift', 'posture', 'cost'].filter(view =>
    heads.some(head => head.dataset.views.split(' ').includes(view) && !head.dataset.views.includes('overview')) || view === 'overview');
  const show = view => {
    heads.forEach((head, i) => {
      const on = head.dataset.views === 'fixed' || head.dataset.views.split(' ').includes(view);
      head.hidden = !on;
      for (const row of cellRows) row.cells[i].hidden = !on;
    });
  };
  heads.forEach((head, i) => {
    const words = head.textContent.trim();
    if (head.classList.contains('span')) return;
    const button = h('button', { type: 'button', onclick: () => sort(i) }, words);
    if (head.dataset.tip) explain(button, [words, head.dataset.tip]);
    head.replaceChildren(button);
  });
  let current = -1, down = true;
  const sort = column => {
    const number = !heads[column].classList.contains('words');
    down = column === current ? !down : number && heads[column].dataset.key !== 'rank';
    current = column;
    heads.forEach((head, i) => {
      if (i === column) head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    });
    const value = row => row.cells[column].dataset.sort || '';
    const compare = (a, b) => {
      const first = value(a), second = value(b);
      if (first === '' || second === '') return (first === '') - (second === ''); // Unknown figures come last either way.
      const order = number ? Number(first) - Number(second) : first.localeCompare(second);
      return down ? -order : order;
    };
    body.append(...[...all].sort(compare));
  };
  const state = { words: '', group: '', controls: true };
  const count = h('span', { class: 'soft', role: 'status' });
  const filter = () => {
    let seen = 0;
    for (const line of all) {
      const row = rows[Number(line.dataset.row)];
      const on = row.label.toLowerCase().includes(state.words) && (!state.group || row.group === state.group)
        && (state.controls || !row.control);
      line.hidden = !on;
      seen += on;
    }
    count.textContent = seen === all.length ? '' : `${seen} of ${all.length}`;
  };
  const groups = [...new Set(rows.filter(row => !row.control).map(row => row.group))].sort();
  controls.append(
    choiceOf('columns', [...views.map(view => [view, view === 'posture' ? 'safety' : view]), ['all', 'all']], 'overview', show),
    h('label', { class: 'choice' }, h('span', {}, 'find'), h('input', { type: 'search', size: 12, 'aria-label': 'find a method',
      oninput: event => { state.words = event.target.value.toLowerCase(); filter(); } })));
  if (groups.length > 1 && groups.length < all.length) {
    controls.append(choice('method', [['', 'all methods'], ...groups.map(group => [group, group]), ...Array(4 - Math.min(4, groups.length)).fill(null)]
      .filter(Boolean), '', value => { state.group = value; filter(); }));
  }
  if (rows.some(row => row.control)) {
    controls.append(h('label', { class: 'choice' }, h('input', { type: 'checkbox', checked: true,
      onchange: event => { state.controls = event.target.checked; filter(); } }), 'controls'));
  }
  controls.append(count);
  show('overview');
}
// As buttons even where there are more than a few.
function choiceOf(name, options, value, changed) {
  const pieces = [];
  const pick = key => { pieces.forEach((button, i) => button.setAttribute('aria-pressed', String(options[i][0] === key))); changed(key); };
  pieces.push(...options.map(([key, words]) => h('button', { type: 'button', 'aria-pressed': String(key === value), onclick: () => pick(key) }, words)));
  return h('div', { class: 'choice', role: 'group', 'aria-label': name }, h('span', {}, name), h('span', { class: 'buttons' }, pieces));
}
