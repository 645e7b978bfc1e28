import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ExitCode } from '../../src/engine/base/errors.js';
import { runCli } from '../cli/run-cli.js';

const trace = path.resolve(import.meta.dirname, '../../traces/skylake-pku/xcr0probe');

describe('a trace that needs more than the machine has', () => {
  it('is refused before it runs, naming the missing feature and what would help', async () => {
    const cpu = 'EPYC-Rome,+svm,+npt';
    const { code, stdout, stderr } = await runCli('replay', trace, '--machine', 'emulated', '--cpu', cpu);
    expect(stderr).toMatch(/XCR0 bit 9/);
    expect(stderr).toMatch(/protection keys/);
    expect(stderr).toMatch(/\+pku/);
    expect(stdout).toBe('');
    expect(code).toBe(ExitCode.machine);
  });
});
