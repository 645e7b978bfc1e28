import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  addonFile,
  importProblem,
  koffiFile,
  layerOf,
  layers,
  middle,
  middleProblems,
} from '../lint/layers.js';

const root = path.resolve(import.meta.dirname, '..');

const sources = fs
  .readdirSync(path.join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .map((name) => `src/${name.split(path.sep).join('/')}`)
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts'));

/** Modules named in import and export clauses and in import() of a source file. */
function importsOf(file: string): string[] {
  const text = fs.readFileSync(path.join(root, file), 'utf8');
  const clauses =
    /^(?:import|export)\b[^;'"]*?\bfrom\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm;
  return [...text.matchAll(clauses)].map((match) => match[1] ?? match[2]);
}

const resolved = (file: string, name: string): string =>
  path.posix.join(path.posix.dirname(file), name).replace(/\.js$/, '.ts');

describe('the import graph', () => {
  it('has every source file in a layer', () => {
    expect(sources.length).toBeGreaterThan(5);
    expect(sources.filter((file) => layerOf(file) === null)).toEqual([]);
  });

  it('goes down the layers only', () => {
    const problems = sources.flatMap((file) =>
      importsOf(file)
        .filter((name) => name.startsWith('.'))
        .map((name) => importProblem(file, resolved(file, name)))
        .filter((problem) => problem !== null)
        .map((problem) => `${file}: ${problem}`),
    );
    expect(problems).toEqual([]);
  });

  it('uses every permission that the table gives', () => {
    const used = new Set(
      sources.flatMap((file) =>
        importsOf(file)
          .filter((name) => name.startsWith('.'))
          .map((name) => `${layerOf(file)} -> ${layerOf(resolved(file, name))}`),
      ),
    );
    const given = Object.entries(layers).flatMap(([layer, below]) =>
      below.map((other) => `${layer} -> ${other}`),
    );
    expect(given.filter((permission) => !used.has(permission))).toEqual([]);
    expect(Object.keys(layers).filter((layer) => !sources.some((file) => layerOf(file) === layer))).toEqual(
      [],
    );
  });

  it('names layers that contain no cycle', () => {
    const order = Object.keys(layers);
    for (const [layer, below] of Object.entries(layers)) {
      for (const other of below)
        expect(order.indexOf(other), `${layer} -> ${other}`).toBeLessThan(order.indexOf(layer));
    }
  });

  it('has no cycle between files', () => {
    const state = new Map<string, 'open' | 'done'>();
    const cycles: string[] = [];
    const visit = (file: string, trail: string[]): void => {
      if (state.get(file) === 'done') return;
      if (state.get(file) === 'open') {
        cycles.push([...trail.slice(trail.indexOf(file)), file].join(' -> '));
        return;
      }
      state.set(file, 'open');
      for (const name of importsOf(file).filter((other) => other.startsWith('.'))) {
        const target = resolved(file, name);
        if (sources.includes(target)) visit(target, [...trail, file]);
      }
      state.set(file, 'done');
    };
    for (const file of sources) visit(file, []);
    expect(cycles).toEqual([]);
  });

  it('loads the addon and koffi in one file each', () => {
    const users = (pattern: RegExp): string[] =>
      sources.filter((file) => pattern.test(fs.readFileSync(path.join(root, file), 'utf8')));
    expect(users(/['"`][^'"`\n]*\.node['"`]/).filter((file) => file !== addonFile)).toEqual([]);
    expect(users(/['"]koffi['"]/).filter((file) => file !== koffiFile)).toEqual([]);
  });

  it('opens, polls and reads places in the middle only', () => {
    const frontEnds = sources.filter((file) =>
      middle.frontEnds.some((folder) => file.startsWith(`${folder}/`)),
    );
    expect(frontEnds.length).toBeGreaterThan(50);
    expect(
      frontEnds.flatMap((file) =>
        middleProblems(file, fs.readFileSync(path.join(root, file), 'utf8')).map(
          (problem) => `${file}: ${problem}`,
        ),
      ),
    ).toEqual([]);
    expect(middleProblems('src/cli/x.ts', 'while (!target.poll());')).toHaveLength(1);
    expect(middleProblems('src/api/x.ts', 'await openTransport(kind, {})')).toHaveLength(1);
    expect(middleProblems('src/jobs/run/x.ts', 'parsePlace(text)')).toHaveLength(1);
    expect(middleProblems('src/recording/stops.ts', 'target.poll()')).toEqual([]);
  });

  it('says why an upward import is refused', () => {
    expect(importProblem('src/engine/trace/reader.ts', 'src/engine/kvm/machine.ts')).toContain(
      'may not import',
    );
    expect(importProblem('src/engine/base/errors.ts', 'src/engine/trace/frame.ts')).toContain(
      'may not import',
    );
    expect(importProblem('src/engine/mm/vma.ts', 'src/engine/replay/plan/plan.ts')).toContain(
      'may not import',
    );
    expect(importProblem('src/jobs/model/spec.ts', 'src/jobs/run/pool.ts')).toContain('may not import');
    expect(importProblem('src/cli/commands/replay.ts', 'src/engine/replay/session.ts')).toBeNull();
  });
});
