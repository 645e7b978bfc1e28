import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ExitCode } from '../../src/engine/base/errors.js';
import { runCli } from '../cli/run-cli.js';

const trace = path.resolve(import.meta.dirname, '../../traces/skylake-pku/xcr0probe');
const WITHOUT_KEYS = ['--machine', 'emulated', '--cpu', 'EPYC-Rome'];

describe('a trace that needs more than the machine has', () => {
  it('is refused before it runs, naming the missing feature and what would help', async () => {
    const { code, stdout, stderr } = await runCli('replay', trace, ...WITHOUT_KEYS, '--no-completion');
    expect(stderr).toMatch(/XCR0 bit 9/);
    expect(stderr).toMatch(/protection keys/);
    expect(stderr).toMatch(/\+pku/);
    expect(stdout).toBe('');
    expect(code).toBe(ExitCode.machine);
  });

  it('replays where what is missing is kept in software', async () => {
    const { code, stdout, stderr } = await runCli('replay', trace, ...WITHOUT_KEYS);
    expect(stdout).toMatch(/^xcr0 0x207$/m);
    expect(stderr).toMatch(/XCR0 0x207 in the guest, 0x7 in the machine/);
    expect(code).toBe(0);
  });
});
