import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { headerMessage, writeTrace } from '../../test/trace/trace-builder.js';
import { openTrace } from './open.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'open-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

it('a recording of a processor that was misconfigured is warned about when it is opened', () => {
  const warnings = (configured: number): string[] => {
    const header = headerMessage((fields) => void fields.u16(68, configured));
    const version = Buffer.concat([Buffer.from('85\n'), header]);
    const trace = writeTrace(path.join(folder, String(configured)), { version });
    const found: string[] = [];
    openTrace(trace, {}, (text) => found.push(text)).close();
    return found;
  };
  expect(warnings(1)).toEqual([expect.stringMatching(/SpecLockMap/)]);
  expect(warnings(2)).toEqual([]);
});
