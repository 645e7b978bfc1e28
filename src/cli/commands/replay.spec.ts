import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { headerMessage, writeTrace } from '../../../test/trace/trace-builder.js';
import type { CommandIo } from '../output.js';
import { openTrace } from './replay.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'open-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

it('a recording of a processor that was misconfigured is warned about when it is opened', () => {
  const warnings = (configured: number): string => {
    const header = headerMessage((fields) => void fields.u16(68, configured));
    const version = Buffer.concat([Buffer.from('85\n'), header]);
    const trace = writeTrace(path.join(folder, String(configured)), { version });
    let text = '';
    const io = { err: (line: string) => void (text += line) } as CommandIo;
    openTrace(trace, { stallLimit: 1, machine: 'auto' }, io).close();
    return text;
  };
  expect(warnings(1)).toMatch(/^revenant: warning: .*SpecLockMap/);
  expect(warnings(2)).toBe('');
});
