/** Comments cite docs/rr-traces.md by section: each cited section must exist. */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const root = path.resolve(import.meta.dirname, '..');
const kinds = ['.ts', '.js', '.mjs', '.cc', '.h', '.S', '.py'];

/** Source files below `folder`, relative to the project. */
const sources = (folder: string): string[] =>
  fs
    .readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => kinds.includes(path.extname(name)))
    .map((name) => path.join(folder, name));

const sections = new Set(
  [
    ...fs.readFileSync(path.join(root, 'docs/rr-traces.md'), 'utf8').matchAll(/^#{2,3} (\d+(?:\.\d+)?)\b/gm),
  ].map(([, number]) => number),
);

/** "rr-traces.md 6.3", "rr-traces.md 4.3 and 7.4", "rr-traces.md 7.6, 7.7". */
const citation = /rr-traces\.md (\d+\.\d+(?:(?:,| and) \d+\.\d+)*)/g;

const cited = (text: string): string[] =>
  [...text.matchAll(citation)].flatMap(([, list]) => list.split(/, | and /));

describe('citations of docs/rr-traces.md', () => {
  it('name sections that it has', () => {
    let found = 0;
    for (const file of ['src', 'native', 'test', 'scripts'].flatMap(sources)) {
      if (file === 'test/citations.spec.ts') continue;
      for (const section of cited(fs.readFileSync(path.join(root, file), 'utf8'))) {
        found++;
        expect(sections, `${file} cites rr-traces.md ${section}`).toContain(section);
      }
    }
    expect(found).toBeGreaterThan(0);
  });

  it('are read in each of their forms', () => {
    expect(cited('(rr-traces.md 4.3 and 7.4) (kernel/rseq.c; rr-traces.md 8.3, step 5)')).toEqual([
      '4.3',
      '7.4',
      '8.3',
    ]);
  });
});
