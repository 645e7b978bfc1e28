import fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EXITS } from '../engine/base/errors.js';
import { runCli } from '../../test/cli/run-cli.js';

const usage = fs.readFileSync(new URL('../../docs/usage.md', import.meta.url), 'utf8');

describe('the exit codes', () => {
  it('are unique', () => {
    const codes = Object.values(EXITS).map(({ code }) => code);
    expect(new Set(codes).size).toBe(codes.length);
  });

  it('are in docs/usage.md as in the table', () => {
    const rows = [...usage.matchAll(/^\| (\d+) +\| (.*?) +\|$/gm)].map(([, code, meaning]) => ({
      code: Number(code),
      meaning,
    }));
    expect(rows).toEqual(Object.values(EXITS));
  });

  it('are printed by --help', async () => {
    const { stdout } = await runCli('--help');
    const unwrapped = stdout.replace(/\n {5}/g, ' ');
    for (const { code, meaning } of Object.values(EXITS))
      expect(unwrapped).toContain(`${String(code).padStart(3)}  ${meaning.replaceAll('`', '')}\n`);
  });
});
