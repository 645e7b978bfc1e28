import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { runCli } from './run-cli.js';

describe('the command line', () => {
  it('prints help and its version to standard output', async () => {
    const help = await runCli('--help');
    expect(help.code).toBe(0);
    expect(help.stdout).toContain('Usage: revenant');
    expect(help.stdout).toContain('Exit codes:');
    const version = await runCli('--version');
    expect(version).toMatchObject({ code: 0, stderr: '' });
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(await runCli('-V')).toEqual(version);
    for (const command of ['', 'replay', 'gdb', 'call', 'ci', 'worker', 'doctor']) {
      const { stdout } = await runCli(...command.split(' ').filter(Boolean), '--help');
      for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
    }
  });

  it.each(['replay', 'gdb', 'serve', 'checkpoint', 'info', 'dump', 'doctor'])(
    '%s of a folder of traces names some, and --all',
    async (command) => {
      const { code, stdout, stderr } = await runCli(command, 'traces/zen2');
      expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
      expect(stderr).toMatch(
        /^revenant: traces\/zen2 is not a trace, but contains traces: traces\/zen2\/ambiguous, .*\.\.\.\.\n/,
      );
      expect(stderr).toContain('`revenant replay --all traces/zen2` replays all of them.');
    },
  );

  it("takes rr's latest trace where none is named", async () => {
    vi.stubEnv('_RR_TRACE_DIR', fs.mkdtempSync(path.join(os.tmpdir(), 'usage-')));
    const folder = process.env._RR_TRACE_DIR!;
    try {
      for (const words of [
        ['info'],
        ['dump', '1-2'],
        ['call', '*root'],
        ['gdb', '--', '-batch'],
        ['replay'],
      ]) {
        const { code, stderr } = await runCli(...words);
        expect({ code, stderr }).toMatchObject({
          code: 3,
          stderr: expect.stringMatching(/No trace is given, and rr has none here/) as string,
        });
      }
      fs.symlinkSync(path.resolve('traces/zen2/crash'), path.join(folder, 'latest-trace'));
      const { code, stdout, stderr } = await runCli('dump', '2');
      expect(code).toBe(0);
      expect(stdout).toMatch(/^ +2 /);
      expect(stderr).toBe(`revenant: rr's latest trace: ${path.resolve('traces/zen2/crash')}\n`);
    } finally {
      vi.unstubAllEnvs();
      fs.rmSync(folder, { recursive: true });
    }
  });

  it.each([
    ['no such command', ['replya', 'x'], /unknown command/],
    ['no such option', ['info', 'x', '--nope'], /unknown option/],
    ['--all of nothing', ['replay', '--all'], /needs folders/],
    ['no expression', ['call', 'traces/zen2/crash'], /missing required argument 'expression'/],
    ['two traces without --all', ['replay', 'a', 'b'], /one trace/],
    ['--only without --all', ['replay', 'a', '--only', 'b'], /--all/],
    ['an invalid machine', ['replay', 'x', '--machine', 'moon'], /host, process, emulated, auto/],
    ['an invalid memory size', ['replay', 'x', '--memory', 'lots'], /size/],
    ['too little memory', ['replay', 'x', '--memory', '4k'], /at least 4M/],
    ['an invalid place', ['replay', 'x', '--goto', '-1'], /Invalid --goto value .-1./],
    [
      'a frame past the end',
      ['replay', 'traces/skylake-pku/tree', '--goto', '9999'],
      /no frame 9999: .* ends with frame 165/,
    ],
    ['a stall limit of zero', ['replay', 'x', '--stall-limit', '0'], /seconds/],
  ])('refuses %s with exit code 2', async (_name, argv, message) => {
    const result = await runCli(...argv);
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(message);
    expect(result.stdout).toBe('');
  });
});
