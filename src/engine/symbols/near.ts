/** Suggestions of similar names. Pure. */
import { RevenantError } from '../base/errors.js';

const MOST = 5;

/** Those closest to a name that does not exist, best first; at most five. */
export function nearMisses(wanted: string, names: Iterable<string>): string[] {
  const lower = wanted.toLowerCase();
  const reach = Math.max(1, Math.floor(wanted.length / 3));
  const found = new Map<string, number>();
  for (const name of names) {
    if (found.has(name) || name === '') continue;
    const other = name.toLowerCase();
    const distance =
      Math.abs(other.length - lower.length) > reach ? Infinity : editDistance(lower, other, reach);
    if (distance <= reach) found.set(name, distance);
    // Half a name, or one with what a compiler or a habit added: `insert` for `tree_insert`.
    else if (lower.length >= 3 && other.includes(lower)) found.set(name, reach + other.length - lower.length);
  }
  return [...found]
    .sort(([left, near], [right, far]) => near - far || left.length - right.length || (left < right ? -1 : 1))
    .slice(0, MOST)
    .map(([name]) => name);
}

/** Insertions, deletions, changes and swaps of neighbours; Infinity for more than `limit`. */
function editDistance(left: string, right: string, limit: number): number {
  let [before, above]: number[][] = [[], Array.from({ length: right.length + 1 }, (_, index) => index)];
  for (let i = 1; i <= left.length; i++) {
    const row = [i];
    let least = i;
    for (let j = 1; j <= right.length; j++) {
      const change = above[j - 1] + Number(left[i - 1] !== right[j - 1]);
      let cost = Math.min(above[j] + 1, row[j - 1] + 1, change);
      if (i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1])
        cost = Math.min(cost, before[j - 2] + 1);
      row.push(cost);
      least = Math.min(least, cost);
    }
    if (least > limit) return Infinity;
    [before, above] = [above, row];
  }
  return above[right.length];
}

/** A sentence for a hint: `There are insert, insert_node.`; or '' if no name is similar. */
export const nearText = (names: readonly string[]): string =>
  names.length === 0 ? '' : `There ${names.length === 1 ? 'is' : 'are'} ${names.join(', ')}.`;

const MOST_CANDIDATES = 12;

/** @param titles what has the name */
export function ambiguous(name: string, titles: readonly string[]): RevenantError {
  const more = titles.length > MOST_CANDIDATES ? ` and ${titles.length - MOST_CANDIDATES} more` : '';
  const list = titles.slice(0, MOST_CANDIDATES).join(', ');
  return new RevenantError('E_USAGE', `${name} is ambiguous: there are ${list}${more}.`, 'Name one of them.');
}
