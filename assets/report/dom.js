/** Makes elements. Texts are set as text: names and outputs of programs are never markup. */

/**
 * An element with attributes, listeners (`onclick`) and children; null children are left out.
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...unknown} children
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A table with a caption for readers of screens; cells are texts or elements. */
export function table(label, heads, rows, kind = '') {
  const head = el('tr', {}, ...heads.map((text) => el('th', { scope: 'col' }, text)));
  const box = el(
    'table',
    { 'aria-label': label, class: kind || null },
    el('thead', {}, head),
    el('tbody', {}, ...rows),
  );
  return el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': label }, box);
}

/** A row of a table. */
export function row(cells, attributes = {}) {
  return el('tr', attributes, ...cells.map((cell) => (cell instanceof Element ? cell : el('td', {}, cell))));
}

export const mono = (text, more = '') => el('td', { class: `mono ${more}` }, text);

/** Pairs of a name and a text; pairs without a text are omitted. */
export function facts(pairs) {
  const shown = pairs.filter(([, text]) => text !== null && text !== undefined && text !== '');
  return el('dl', {}, ...shown.flatMap(([name, text]) => [el('dt', {}, name), el('dd', {}, text)]));
}

/** Whole numbers with separators. */
export const grouped = (value) => value.toLocaleString('en');
