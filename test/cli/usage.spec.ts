import { describe, expect, it } from 'vitest';
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
  });

  it.each([
    ['no such command', ['replya', 'x'], /unknown command/],
    ['no such option', ['info', 'x', '--nope'], /unknown option/],
    ['no trace', ['replay'], /missing required argument/],
    ['two traces without --all', ['replay', 'a', 'b'], /one trace/],
    ['--only without --all', ['replay', 'a', '--only', 'b'], /--all/],
    ['a machine that is none', ['replay', 'x', '--machine', 'moon'], /host, emulated, auto/],
    ['a memory size that is none', ['replay', 'x', '--memory', 'lots'], /size/],
    ['too little memory', ['replay', 'x', '--memory', '4k'], /at least 4M/],
    ['a place that is none', ['replay', 'x', '--goto', '-1'], /-1 is no place/],
    [
      'a frame beyond the end',
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
