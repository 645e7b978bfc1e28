import { describe, expect, it } from 'vitest';
import { RevenantError } from '../../engine/base/errors.js';
import { parseManifest, readManifest } from './read.js';

const problems = (text: string): string => {
  try {
    parseManifest(text, 'm.yaml');
  } catch (error) {
    expect(error).toBeInstanceOf(RevenantError);
    expect((error as RevenantError).code).toBe('E_MANIFEST');
    return (error as Error).message;
  }
  return 'none';
};

const withEntry = (...lines: string[]): string =>
  ['version: 1', 'traces:', '  - paths: a', ...lines.map((line) => `    ${line}`), ''].join('\n');

describe('a manifest', () => {
  it('is YAML or JSON', () => {
    const yaml = parseManifest(withEntry('timeout: 10m'), 'm.yaml');
    const json = parseManifest('{"version": 1, "traces": [{"paths": "a", "timeout": "10m"}]}', 'm.json');
    expect(json.manifest).toEqual(yaml.manifest);
    expect(yaml.lineOfEntry(0)).toBe(3);
  });

  it('is refused with the place of each mistake', () => {
    expect(problems('version: 1\ntraces: [\n')).toMatch(/m\.yaml:\d+:\d+: /);
    expect(problems(withEntry('expect:', '  status: 300'))).toMatch(
      /m\.yaml:5:15: traces\[0\]\.expect\.status: must be <= 255; found 300/,
    );
    expect(problems(withEntry('timout: 3'))).toMatch(
      /m\.yaml:4:5: traces\[0\]: unknown property "timout"; did you mean "timeout"\? \(known: name, paths/,
    );
    expect(problems('version: 2\ntraces:\n  - paths: a\n')).toMatch(/m\.yaml:1:10: version: must be/);
    expect(problems(withEntry('machine: fast'))).toMatch(
      /m\.yaml:4:14: .*must be one of auto, host, process, emulated; found "fast"/,
    );
    expect(problems(withEntry('machine: emulate'))).toMatch(/found "emulate"; did you mean "emulated"\?/);
    expect(problems('traces: {}\nversion: 1\n')).toMatch(/m\.yaml:1:9: traces: must be array/);
    expect(problems('')).toMatch(/m\.yaml:1:1: must be object/);
  });

  it('is refused where its aliases make more of it than anybody wrote', () => {
    const names = 'abcdefghij'.split('');
    const bomb = names.map((name, at) => {
      const below =
        at === 0
          ? '"x"'
          : Array<string>(9)
              .fill(`*${names[at - 1]}`)
              .join(', ');
      return `  ${name}: &${name} [${below}]`;
    });
    expect(problems(['version: 1', 'bomb:', ...bomb, ''].join('\n'))).toMatch(
      /m\.yaml:4:10: aliases: Excessive alias count/,
    );
    expect(problems('version: 1\ntraces: &all [*all]\n')).toMatch(/m\.yaml:2:15: aliases: /);
    expect(problems(`version: 1\ntraces: ${'['.repeat(100_000)}\n`)).toMatch(/m\.yaml:\d+:\d+: /);
    expect(problems('version: 1\ntraces: *nowhere\n')).toMatch(/m\.yaml:2:9: .*nowhere/);
  });

  it('is refused where it cannot be read, with the reason', () => {
    expect(() => readManifest('/nowhere/m.yaml')).toThrow(
      /Cannot read the manifest \/nowhere\/m\.yaml: no such file/,
    );
    expect(() => readManifest('/')).toThrow(/Cannot read the manifest \/: illegal operation on a directory/);
  });

  it('reports missing parts of a question', () => {
    const text = problems(withEntry('questions:', '  - at: exit', '    expression: f()'));
    expect(text).toMatch(/m\.yaml:5:9: traces\[0\]\.questions\[0\]/);
    expect(problems(withEntry('questions:', '  - { at: nowhere, expression: f(), equals: 1 }'))).toMatch(
      /questions\[0\]\.at: must be one of exit; found "nowhere"/,
    );
  });

  it('is validated beyond the schema', () => {
    expect(problems(withEntry('expect:', '  stdout: { matches: "(" }'))).toMatch(
      /m\.yaml:5:26: .*stdout\.matches: .*[Uu]nterminated group/,
    );
    expect(problems(withEntry('timeout: 0s'))).toMatch(/m\.yaml:4:14: .*above zero/);
    expect(problems(withEntry('expect: { status: 1, signal: SIGSEGV }'))).toMatch(/exclude each other/);
  });
});
