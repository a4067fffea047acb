// Everything is drawn once; a drawing that fails says so in its place and leaves the others alone.
const DRAWINGS = { effects: drawEffects, strip: drawStrip, frontier: drawFrontier, wins: drawWins, improvement: drawImprovement, profiles: drawProfiles, posture: drawPosture, breach_at: drawBreachAt, survival: drawSurvival,
  attacks: drawAttacks, strata: drawStrata, tuning: drawTuning, costs: drawCosts, viewer: drawViewer };
function guarded(host, draw) {
  try { draw(host); } catch (error) { host.append(h('p', { class: 'notice' }, `This part could not be drawn: ${error.message}`)); }
}
function theme() {
  const root = document.documentElement, dark = () => root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  const button = h('button', { type: 'button', onclick: () => { root.dataset.theme = dark() ? 'light' : 'dark'; say(); } });
  const say = () => { button.textContent = dark() ? 'light' : 'dark'; button.setAttribute('aria-label', `switch to ${dark() ? 'light' : 'dark'} colours`); };
  say();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', say);
  document.querySelector('[data-theme-button]').append(button);
}
// A link to a row opens what it hides.
function reveal() {
  const target = location.hash.startsWith('#row-') ? document.getElementById(location.hash.slice(1)) : null;
  if (!target) return;
  target.open = true;
  target.scrollIntoView();
}
theme();
guarded(document.querySelector('[data-controls=board]') || document.body, drawBoard);
for (const host of document.querySelectorAll('[data-chart]')) guarded(host, DRAWINGS[host.dataset.chart]);
addEventListener('hashchange', reveal);
reveal();
document.documentElement.dataset.ready = '';
